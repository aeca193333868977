//! What ends a run before its own end: its time, an operator, a state that does not answer.

use std::time::{Duration, Instant};

use serde_json::json;

use super::assert_without;
use crate::support::long_tests;
use crate::support::terraform::provider::SlowProvider;
use crate::support::terraform::site::{Site, run_id};
use crate::support::terraform::text as hcl;
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(30);

/// A plan whose state has stopped to answer in its middle; the call, and the run.
fn hung_plan(site: &Site) -> (crate::support::curl::Call, String) {
    let sha = site.commit(&(hcl::chain(&["a"]) + &hcl::waiting(&hcl::sleeper(), 1)));
    let mut call = site.start_plan(json!({"sha": sha}));
    let id = run_id(&mut call);
    wait_until("the state is locked", SOON, || site.lock().is_some());
    site.bucket.pause();
    (call, id)
}

#[test]
fn a_plan_whose_state_does_not_answer_is_ended_by_force() {
    let site = Site::new();
    let (call, id) = hung_plan(&site);
    for arguments in [&["cancel", &id][..], &["cancel", &id, "--force"]] {
        assert!(site.deployer.run(arguments).status.success());
    }
    let forced = Instant::now();
    let answer = call.finish();
    answer.assert_failed();
    assert_eq!(answer.outcome()["cancelled"], true, "{answer:#?}");
    assert!(
        forced.elapsed() < Duration::from_secs(60),
        "{:?}",
        forced.elapsed()
    );
    site.no_terraform_is_left(SOON);
    assert_eq!(site.left_behind(), Vec::<std::path::PathBuf>::new());
    site.bucket.resume();
}

#[test]
fn a_plan_whose_state_does_not_answer_is_ended_by_its_time() {
    if !long_tests() {
        return;
    }
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_RUN_MAX", "5s");
    });
    let (call, _) = hung_plan(&site);
    let answer = call.finish();
    assert_eq!(answer.assert_failed(), "the run was not done within 5s");
    site.no_terraform_is_left(SOON);
    site.bucket.resume();
}

#[test]
fn an_apply_that_is_past_its_time_ends_what_it_is_making_and_makes_no_more() {
    if !long_tests() {
        return;
    }
    let provider = SlowProvider::new();
    let site = Site::with(|setup| {
        setup.set("DEPLOYER_TF_CLI_CONFIG_FILE", provider.cli_config());
        setup.set("DEPLOYER_TF_RUN_MAX", "8s");
    });
    let things = hcl::slow_things(&[("first", 0), ("slow", 12), ("last", 0)]);
    let answer = site.apply(&site.commit(&things), None);
    assert_eq!(answer.assert_failed(), "the run was not done within 8s");
    assert_eq!(
        site.resources(),
        ["first", "slow"],
        "one INT, and then it was waited for"
    );
    assert_eq!(site.lock(), None);
    assert!(
        answer.body().contains("asked `terraform apply` to end"),
        "{answer:#?}"
    );
}

#[test]
fn a_plan_that_was_interrupted_is_applied_by_nobody() {
    let site = Site::new();
    let sha = site.commit(&(hcl::chain(&["a"]) + &hcl::waiting(&hcl::sleeper(), 2)));
    let mut call = site.start_apply(json!({"sha": sha}));
    let id = run_id(&mut call);
    wait_until("the state is locked", SOON, || site.lock().is_some());
    assert!(site.deployer.run(&["cancel", &id]).status.success());
    let answer = call.finish();
    assert_eq!(answer.assert_failed(), "cancelled before anything was changed");
    assert_without(&answer, &["tf_apply"]);
    // Terraform itself saves a state when it is interrupted: an empty one.
    assert_eq!((site.resources(), site.lock()), (Vec::<String>::new(), None));
    assert_eq!(site.left_behind(), Vec::<std::path::PathBuf>::new());
}
