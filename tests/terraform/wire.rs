//! The lines of a plan and of an apply as golden files. What differs from run to run is a word in capitals there; of
//! terraform's own lines only those are there that every version of it prints.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::curl::Answer;
use crate::support::golden::assert_golden;
use crate::support::terraform::site::Site;
use crate::support::terraform::text as hcl;
use crate::support::wait_until;

/// What terraform has said for years.
const LASTING: &[&str] = &[
    "Terraform has been successfully initialized!",
    "  # terraform_data.a will be created",
    "Plan: 1 to add, 0 to change, 0 to destroy.",
    "terraform_data.a: Creating...",
    "Apply complete! Resources: 1 added, 0 changed, 0 destroyed.",
];

/// A line of ours, or one of terraform's that lasts.
fn is_kept(line: &str) -> bool {
    let event: Value = serde_json::from_str(line).expect("a line is JSON");
    let message = event["message"].as_str().unwrap_or_default();
    match event["phase"].as_str() {
        Some("heartbeat") => false,
        Some("tf_init" | "tf_plan" | "tf_apply") => {
            LASTING.contains(&message) || message.contains("plan_digest")
        }
        _ => true,
    }
}

#[track_caller]
fn assert_lines(name: &str, answer: &Answer, site: &Site, sha: &str) {
    let outcome = answer.assert_ok().outcome();
    let digest = outcome["plan_digest"].as_str().expect("a digest");
    let url = site.repository.url();
    let known = [
        (digest, "sha256:DIGEST"),
        (&url, "REPOSITORY"),
        (sha, "COMMIT"),
        (&sha[..7], "SHORT"),
    ];
    let lines = answer.lines.iter().map(|(_, line)| line.as_str());
    let kept: String = lines
        .filter(|line| is_kept(line))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_golden(name, &kept, &known);
}

#[test]
fn the_lines_of_a_plan_and_of_an_apply_are_those_that_are_promised() {
    let site = Site::new();
    let sha = site.commit(&hcl::chain(&["a"]));
    let planned = site.start_plan(json!({"sha": sha, "approved_pr": 7})).finish();
    assert_lines("tf-plan.ndjson", &planned, &site, &sha);
    // Its last line comes before its place in the queue goes: an apply would say that it waits.
    let id = planned.outcome()["run_id"].as_str().expect("a run id").to_owned();
    wait_until("the queue is empty", Duration::from_secs(10), || {
        let mut tickets = fs::read_dir(site.deployer.runtime().join("queue"))
            .expect("the queue")
            .flatten();
        !tickets.any(|entry| entry.file_name().to_string_lossy().ends_with(&id))
    });
    let applied = site.start_apply(json!({"sha": sha, "approved_pr": 7})).finish();
    assert_lines("tf-apply.ndjson", &applied, &site, &sha);
}
