//! A run that is killed with KILL in any of its phases: it is recorded, nothing secret is left, and the next one works.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::long_tests;
use crate::support::process::text;
use crate::support::terraform::at_work;
use crate::support::terraform::site::{AWS_SECRET, Site, run_id};
use crate::support::terraform::text as hcl;
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(30);

/// A site whose git and terraform take their time at their start, so that each phase can be met in its middle.
fn slow_site() -> Site {
    Site::with(|setup| {
        for (name, variable) in [
            ("terraform", "DEPLOYER_TF_BINARY_PATH"),
            ("git", "DEPLOYER_TF_GIT_BINARY_PATH"),
        ] {
            let real = setup.setting(variable).to_owned();
            let slow = setup.executable(name, &format!("sleep 0.15; exec '{real}' \"$@\""));
            setup.set(variable, slow);
        }
    })
}

/// Starts a run, kills it when its log has this text, and has it completed.
#[track_caller]
fn kill_at(site: &Site, path: &str, sha: &str, text_of_log: &str) -> Value {
    let mut call = match path {
        "/tf-plan" => site.start_plan(json!({"sha": sha})),
        _ => site.start_apply(json!({"sha": sha})),
    };
    let id = run_id(&mut call);
    let run = at_work::run_process(&site.deployer.runtime(), &id);
    let log = site.deployer.runs().join(&id).join("log.ndjson");
    wait_until(text_of_log, SOON, || {
        fs::read_to_string(&log).is_ok_and(|log| log.contains(text_of_log))
    });
    at_work::signal(run, Signal::SIGKILL);
    let output = site.deployer.run(&["recover"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let outcome = site.outcome(&id);
    site.no_terraform_is_left(SOON);
    assert_eq!(
        site.left_behind(),
        Vec::<PathBuf>::new(),
        "killed at {text_of_log:?} of {path}"
    );
    assert_eq!(site.lock(), None, "killed at {text_of_log:?} of {path}");
    let kept = fs::read_dir(site.deployer.runs().join(&id))
        .expect("its folder")
        .flatten();
    let kept: Vec<_> = kept.map(|entry| entry.file_name()).collect();
    assert!(!kept.iter().any(|name| name == "output"), "{kept:?}");
    outcome
}

#[test]
fn a_run_that_is_killed_in_any_phase_is_recorded_and_leaves_nothing_and_the_next_one_works() {
    let site = slow_site();
    site.commit("");
    let sha = site.propose(&hcl::chain(&["a"]));
    let (fetch, init, plan, shown, apply) = (
        "\"git_fetch\"",
        "Initializing the backend",
        "will be created",
        "\"Plan: ",
        "Creating...",
    );
    let phases = [fetch, "checked out", init, plan, shown, "plan_digest", apply];
    let some = |index: &usize| long_tests() || index.is_multiple_of(2);
    for at in (0..5).filter(some).map(|index| phases[index]) {
        let outcome = kill_at(&site, "/tf-plan", &sha, at);
        assert_eq!(outcome["interrupted"], true, "{at}: {outcome}");
        site.plan(&sha).assert_ok();
    }
    for index in (0..7).filter(some) {
        let (at, name) = (phases[index], format!("number_{index}"));
        let outcome = kill_at(&site, "/tf-apply", &site.commit(&hcl::chain(&[&name])), at);
        assert_eq!(outcome["interrupted"], true, "{at}: {outcome}");
        let error = outcome["error"].as_str().expect("an error");
        assert!(error.starts_with("interrupted"), "{error}");
        // What had begun was let finish, and the record says so; nothing begins that had not.
        let made = site.resources() == [name];
        assert_eq!(made, error.contains("Apply complete!"), "{at}: {error}");
        assert!(made == (at == apply) || at == "plan_digest", "{at}: {error}");
    }
    let last = site.commit(&hcl::chain(&["a"]));
    site.apply(&last, None).assert_ok();
    assert_eq!(site.resources(), ["a"]);
}

#[test]
fn a_key_that_terraform_prints_after_its_run_was_killed_is_shown_to_nobody() {
    let site = slow_site();
    let leaks = "echo begun; sleep 1; echo the key is $AWS_SECRET_ACCESS_KEY";
    let sha = site.commit(&hcl::making("leaks", leaks, ""));
    let outcome = kill_at(&site, "/tf-apply", &sha, "begun");
    let id = outcome["run_id"].as_str().expect("a run id");
    let log = fs::read_to_string(site.deployer.runs().join(id).join("log.ndjson")).expect("its log");
    assert!(log.contains("the key is ***"), "{log}");
    assert!(
        !log.contains(AWS_SECRET) && !outcome.to_string().contains(AWS_SECRET),
        "{log}"
    );
}

#[test]
fn what_a_killed_run_shows_of_its_plan_goes_with_the_next_one() {
    let site = slow_site();
    let sha = site.commit(&hcl::sensitive("password", "canary-shown"));
    // In the middle of `terraform show`, whose document has every secret of the plan in clear.
    let mut call = site.start_apply(json!({"sha": sha}));
    let id = run_id(&mut call);
    let run = at_work::run_process(&site.deployer.runtime(), &id);
    let shown = site.workdir().join("show.json");
    wait_until("the plan is shown", SOON, || shown.exists());
    at_work::signal(run, Signal::SIGKILL);
    let output = site.deployer.run(&["recover"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(site.outcome(&id)["interrupted"], true);
    assert!(!shown.exists(), "it is left where only root reads, but for good");
    assert_eq!(site.left_behind(), Vec::<PathBuf>::new());
}
