//! [terraform] Plan and apply, with the real terraform and the real git: what is reviewed is what is applied, and whatever
//! happens to us costs no more than it would have cost terraform alone.

mod app;
mod basics;
mod canary;
mod commits;
mod drift;
mod ends;
mod hostile;
mod inits;
mod killed;
mod midway;
mod modules;
mod plan_digest;
mod queue;
mod rig;
mod signal_table;
mod users;
mod wire;

use serde_json::Value;

use crate::support::curl::Answer;

/// Fails unless the run went through these phases in this order, whatever else it went through.
#[track_caller]
fn assert_in_order(answer: &Answer, expected: &[&str]) {
    let phases = answer.phases();
    let mut rest = phases.iter();
    let missing = expected.iter().find(|wanted| !rest.any(|phase| phase == *wanted));
    assert_eq!(missing, None, "not in its place in {phases:?}: {answer:#?}");
}

/// Fails when the run came to one of these phases.
#[track_caller]
fn assert_without(answer: &Answer, unexpected: &[&str]) {
    let phases = answer.phases();
    let found = unexpected
        .iter()
        .find(|name| phases.iter().any(|phase| phase == *name));
    assert_eq!(found, None, "{answer:#?}");
}

/// The digest in an outcome; fails unless it is one.
#[track_caller]
fn digest_of(outcome: &Value) -> String {
    let digest = outcome["plan_digest"].as_str().expect("a plan_digest");
    let digits = digest.strip_prefix("sha256:").expect("its name");
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    assert!(digits.len() == 64 && digits.bytes().all(hex), "{digest}");
    digest.to_owned()
}

/// The lines of one phase.
fn lines_of(answer: &Answer, phase: &str) -> Vec<String> {
    let events = answer.events();
    let lines = events.iter().filter(|event| event["phase"] == phase);
    lines
        .map(|event| event["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}
