//! [signal_table] What is left of state and lock when something dies in the middle of a plan or of an apply: nothing worse
//! than what terraform alone would leave, and the record says what to do.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Once;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::midway::{Event, HEAD, Left, Midway};
use crate::support::long_tests;
use crate::support::terraform::site::Site;
use crate::support::terraform::{at_work, bucket, text as hcl};

/// Prints a row past the test harness, which shows nothing of a test that succeeds.
fn print(row: &str) {
    static BEGUN: Once = Once::new();
    let print = |line: &str| drop(std::io::stderr().write_all(format!("{line}\n").as_bytes()));
    BEGUN.call_once(|| print(HEAD));
    print(row);
}

/// Nothing worse than terraform alone: only what kills terraform itself may leave a lock, and that and an operator's force
/// something that was made and that the state does not know.
#[track_caller]
fn assert_no_worse(event: Event, left: &Left, row: &str) {
    if event != Event::TerraformKilled {
        assert_eq!(left.lock, None, "{row}");
    }
    if ![Event::TerraformKilled, Event::Forced].contains(&event) {
        assert_eq!(left.lost(), Vec::<&str>::new(), "{row}");
    }
    assert!(
        left.outcome["status"].is_string(),
        "the run has a recorded end: {row}"
    );
}

fn meets_in_an_apply(event: Event) {
    let left = Midway::apply().meet(event);
    let row = left.row("apply", event);
    print(&row);
    assert_no_worse(event, &left, &row);
    match event {
        Event::CallerGone | Event::ServeTerm | Event::SessionKilled => {
            assert_eq!(left.outcome["status"], "ok", "{row}");
            assert_eq!(left.resources, ["first", "last", "slow"], "{row}");
        }
        Event::Cancelled | Event::RunTerm => {
            assert_eq!(left.outcome["status"], "fail", "{row}");
            assert_eq!(left.outcome["cancelled"], true, "{row}: {}", left.outcome);
            assert_eq!(left.resources, ["first", "slow"], "{row}");
            assert!(
                left.made("slow") && !left.made("last"),
                "one INT, and not two: {row}"
            );
        }
        Event::Forced => {
            assert_eq!(left.outcome["cancelled"], true, "{row}: {}", left.outcome);
            assert_eq!(left.resources, ["first"], "{row}");
            assert!(!left.made("slow") && !left.made("last"), "{row}");
            assert_says_what_to_do(&left, "missing from its state", &row);
        }
        Event::RunKilled => {
            assert_eq!(left.outcome["interrupted"], true, "{row}: {}", left.outcome);
            assert!(left.resources.contains(&"slow".to_owned()), "{row}");
            assert_says_what_to_do(&left, "plan", &row);
        }
        Event::TerraformKilled => {
            assert_eq!(left.outcome["status"], "fail", "{row}");
            assert!(!left.made("last"), "{row}");
            assert_says_what_to_do(&left, "lock", &row);
        }
    }
}

fn meets_in_a_plan(event: Event) {
    let left = Midway::plan().meet(event);
    let row = left.row("plan", event);
    print(&row);
    assert_no_worse(event, &left, &row);
    assert_eq!(left.resources, Vec::<String>::new(), "{row}");
    match event {
        Event::ServeTerm => assert_eq!(left.outcome["status"], "ok", "{row}"),
        Event::CallerGone | Event::Cancelled | Event::Forced | Event::RunTerm => {
            assert_eq!(left.outcome["cancelled"], true, "{row}: {}", left.outcome);
        }
        // With the session goes who would have seen the caller go: it may end either way, but it ends.
        Event::SessionKilled => {}
        Event::RunKilled => assert_eq!(left.outcome["interrupted"], true, "{row}: {}", left.outcome),
        Event::TerraformKilled => {
            assert_eq!(left.outcome["status"], "fail", "{row}");
            assert_says_what_to_do(&left, "lock", &row);
        }
    }
}

/// The record has this word in what it says to whoever reads it.
#[track_caller]
fn assert_says_what_to_do(left: &Left, word: &str, row: &str) {
    let said = format!("{} {}", left.error(), left.outcome["advice"]);
    assert!(said.contains(word), "no word of {word}: {row}: {}", left.outcome);
}

#[test]
fn signal_table_apply_caller_gone() {
    meets_in_an_apply(Event::CallerGone);
}

#[test]
fn signal_table_apply_run_killed() {
    meets_in_an_apply(Event::RunKilled);
}

#[test]
fn signal_table_apply_terraform_killed() {
    meets_in_an_apply(Event::TerraformKilled);
}

#[test]
fn signal_table_apply_cancelled() {
    meets_in_an_apply(Event::Cancelled);
}

#[test]
fn signal_table_apply_forced() {
    meets_in_an_apply(Event::Forced);
}

#[test]
fn signal_table_plan_caller_gone() {
    meets_in_a_plan(Event::CallerGone);
}

#[test]
fn signal_table_plan_run_killed() {
    meets_in_a_plan(Event::RunKilled);
}

#[test]
fn signal_table_plan_terraform_killed() {
    meets_in_a_plan(Event::TerraformKilled);
}

#[test]
fn signal_table_the_other_rows() {
    let events = match long_tests() {
        true => &[Event::ServeTerm, Event::SessionKilled, Event::RunTerm][..],
        false => &[Event::ServeTerm][..],
    };
    for event in events {
        meets_in_an_apply(*event);
        if long_tests() {
            meets_in_a_plan(*event);
        }
    }
    if long_tests() {
        meets_in_a_plan(Event::Cancelled);
        meets_in_a_plan(Event::Forced);
    }
}

#[test]
fn after_a_run_that_was_killed_the_next_one_goes_on() {
    let midway = Midway::apply();
    let run = at_work::run_process(&midway.site.deployer.runtime(), &midway.id);
    at_work::signal(run, Signal::SIGKILL);
    let sha = midway.site.repository.head();
    // It waits for what the dead one left at work, and then makes the rest.
    midway.site.apply(&sha, None).assert_ok();
    assert_eq!(midway.site.resources(), ["first", "last", "slow"]);
    assert_eq!(midway.site.lock(), None);
    assert_eq!(midway.site.outcome(&midway.id)["interrupted"], true);
    let book = midway.provider.as_ref().expect("a provider").book();
    let begun = book.iter().filter(|line| *line == "create-begin slow");
    assert_eq!(begun.count(), 1, "nothing was made twice: {book:?}");
}

#[test]
fn a_lock_that_another_holds_is_named_and_left_alone() {
    let site = Site::new();
    let sha = site.commit(&hcl::chain(&["a"]));
    site.lock_by_another();
    let lock = site.lock();
    for answer in [site.plan(&sha), site.apply(&sha, None)] {
        let error = answer.assert_failed();
        let id = "3f1c9a5e-1111-2222-3333-444455556666";
        for part in ["ada@laptop", "2026-01-02", id] {
            assert!(answer.body().contains(part), "{part}: {answer:#?}");
        }
        assert!(error.contains("locked"), "{error}");
    }
    assert_eq!(site.lock(), lock, "never unlocked by us");
    assert_eq!(site.state(), None);
}

#[test]
fn a_state_that_could_not_be_saved_is_kept_and_the_result_says_where() {
    let mut midway = Midway::apply();
    midway.site.bucket.end();
    let call = midway.call.take().expect("a caller");
    // terraform itself tries for a while.
    let answer = call.finish();
    let error = answer.assert_failed();
    let kept = answer
        .body()
        .split(|c: char| c == '"' || c.is_whitespace())
        .find(|word| word.contains("errored") && word.starts_with('/'))
        .map(|word| PathBuf::from(word.trim_end_matches([':', ',', ';', '.'])));
    let kept = kept.unwrap_or_else(|| panic!("it is not said where: {error}: {answer:#?}"));
    let mode = std::fs::metadata(&kept).expect("the state").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{}", kept.display());
    let state: Value =
        serde_json::from_slice(&std::fs::read(&kept).expect("the state")).expect("a state is JSON");
    let known = bucket::resources(&state);
    assert!(known.contains(&"slow".to_owned()), "{known:?}");
    // It outlives the next run.
    let _ = midway.site.plan(&midway.site.repository.head());
    assert!(kept.exists(), "{}", kept.display());
}
