//! As a GitHub App: a token opens the one repository for one fetch, and is taken back whatever became of that.

use std::time::{Duration, Instant};

use serde_json::json;

use super::assert_without;
use crate::support::curl::Answer;
use crate::support::github_api::Mood;
use crate::support::long_tests;
use crate::support::process::go_first;
use crate::support::terraform::forge::{Forge, authorization};
use crate::support::terraform::site::{Site, run_id};
use crate::support::terraform::text as hcl;
use crate::support::wait_until;

/// Longer than anything here takes on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// A server that never answers.
const FOR_EVER: Duration = Duration::from_secs(600);

/// A site, and the forge before it.
#[track_caller]
fn site_with(settings: &[(&str, &str)]) -> (Site, Forge) {
    let mut forge = None;
    let site = Site::with(|setup| {
        for (name, value) in settings {
            setup.set(name, value);
        }
        forge = Some(Forge::before(setup));
    });
    (site, forge.expect("a forge"))
}

/// Every token that was given is taken back.
#[track_caller]
fn assert_revoked(forge: &Forge, given: usize) {
    wait_until("the tokens are revoked", SOON, || {
        forge.api.revoked().len() == given
    });
    assert_eq!(forge.api.given(), forge.api.revoked());
}

#[test]
fn a_private_repository_is_planned_and_applied_with_a_token_for_each_run() {
    let (site, forge) = site_with(&[]);
    site.commit("");
    let sha = site.propose(&hcl::chain(&["a"]));
    forge.wants_the_next(Duration::ZERO);
    site.plan(&sha).assert_ok();
    assert_revoked(&forge, 1);
    let merged = site.repository.merge();
    forge.wants_the_next(Duration::ZERO);
    site.apply(&merged, None).assert_ok();
    assert_revoked(&forge, 2);
    assert_eq!(site.resources(), ["a"]);
    let wanted = forge.api.given();
    let wanted: Vec<String> = wanted.iter().map(|token| authorization(token)).collect();
    // git before 2.46 first asks without a token, and shows it when it is told to.
    let seen = forge.server.seen().into_iter();
    let shown: Vec<String> = seen.filter_map(|request| request.authorization).collect();
    assert!(shown.len() >= 2, "one for each run: {shown:?}");
    for shown in shown {
        assert!(wanted.contains(&shown), "{shown}");
    }
}

#[test]
fn a_token_is_revoked_when_the_checkout_fails() {
    let (site, forge) = site_with(&[]);
    site.commit("");
    forge.wants_the_next(Duration::ZERO);
    let error = site.plan(&"0".repeat(40)).assert_failed();
    assert!(error.contains("no such commit"), "{error}");
    assert_revoked(&forge, 1);
    // One that the server does not take.
    let error = site.apply(&site.repository.head(), None).assert_failed();
    assert!(error.contains("refuses the credentials"), "{error}");
    assert_revoked(&forge, 2);
}

#[test]
fn a_token_is_revoked_when_the_run_is_cancelled_in_the_middle_of_the_fetch() {
    // It is against a deadline of the daemon's that is measured below.
    go_first();
    let (site, forge) = site_with(&[]);
    let sha = site.commit("");
    for (count, path) in [(1, "/tf-plan"), (2, "/tf-apply")] {
        let before = forge.server.seen().len();
        forge.wants_the_next(FOR_EVER);
        let mut call = match path {
            "/tf-plan" => site.start_plan(json!({"sha": sha})),
            _ => site.start_apply(json!({"sha": sha})),
        };
        let id = run_id(&mut call);
        wait_until("git asks", SOON, || forge.server.seen().len() > before);
        let cancelled = Instant::now();
        assert!(site.deployer.run(&["cancel", &id]).status.success());
        let answer = call.finish();
        answer.assert_failed();
        assert_eq!(answer.outcome()["cancelled"], true, "{answer:#?}");
        assert!(cancelled.elapsed() < Duration::from_secs(9), "git ends by TERM");
        assert_revoked(&forge, count);
    }
}

#[test]
fn a_plan_whose_caller_goes_in_the_middle_of_the_fetch_gives_its_token_back() {
    let (site, forge) = site_with(&[]);
    let sha = site.commit("");
    forge.wants_the_next(FOR_EVER);
    let mut call = site.start_plan(json!({"sha": sha}));
    let id = run_id(&mut call);
    wait_until("git asks", SOON, || !forge.server.seen().is_empty());
    call.vanish();
    assert_revoked(&forge, 1);
    assert_eq!(site.outcome(&id)["cancelled"], true);
}

#[test]
fn a_git_server_that_stalls_costs_no_more_than_the_runs_time_and_the_token_is_revoked() {
    let (site, forge) = site_with(&[("DEPLOYER_TF_RUN_MAX", "2s")]);
    let sha = site.commit("");
    forge.wants_the_next(FOR_EVER);
    let error = site.plan(&sha).assert_failed();
    assert_eq!(error, "the run was not done within 2s");
    assert_revoked(&forge, 1);
}

#[test]
fn a_git_server_that_stalls_is_given_up_after_its_silence() {
    if !long_tests() {
        return;
    }
    let (site, forge) = site_with(&[]);
    let sha = site.commit("");
    forge.wants_the_next(FOR_EVER);
    let error = site.plan(&sha).assert_failed();
    assert!(error.contains("did not answer to the end"), "{error}");
    assert_revoked(&forge, 1);
}

#[test]
fn a_token_that_cannot_be_revoked_is_said_and_fails_nothing() {
    let (site, forge) = site_with(&[]);
    let sha = site.commit(&hcl::chain(&["a"]));
    forge.wants_the_next(Duration::from_millis(300));
    let call = site.start_apply(json!({"sha": sha}));
    wait_until("git asks", SOON, || !forge.server.seen().is_empty());
    forge.api.is(Mood::Broken);
    let answer = call.finish();
    answer.assert_ok();
    let said = answer.body();
    assert!(said.contains("warning: the token could not be revoked"), "{said}");
    assert!(!said.contains(&forge.api.given()[0]));
}

#[test]
fn an_app_that_gets_no_token_fetches_nothing_and_the_run_says_why() {
    let (site, forge) = site_with(&[]);
    let sha = site.commit("");
    let fails = |words: &str| {
        let answer: Answer = site.plan(&sha);
        let error = answer.assert_failed();
        assert!(error.contains(words), "{error}");
        assert_without(&answer, &["tf_init"]);
    };
    for (mood, words) in [
        (Mood::Suspended, "the app may not read infra"),
        (Mood::WithoutPermission, "Contents (read)"),
        (Mood::SecondaryLimit, "try again in 42 s"),
        (Mood::Broken, "GitHub is in trouble"),
    ] {
        forge.api.is(mood);
        fails(words);
    }
    forge.api.is(Mood::Good);
    forge.api.is_ahead(-300);
    fails("this host's clock is");
    std::fs::remove_file(forge.pem()).expect("removing the key");
    fails("app.pem");
    assert_eq!(forge.server.seen(), []);
}
