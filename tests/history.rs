//! [history] The host remembers who deployed what and what became of it, and the way back.

use std::fs;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::golden::assert_golden;
use crate::support::host::Host;
use crate::support::oidc::Issuer;
use crate::support::process::{Running, output_of, text};
use crate::support::wait_until;

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text(&output.stdout).lines().map(parse).collect()
}

/// A setup whose command writes down the versions that it is told to deploy, and fails while there is a file `bad`.
fn tracing(issuer: &Issuer) -> Setup {
    let mut setup = Setup::new(issuer);
    let folder = setup.folder().path().display();
    setup.command_script(&format!(
        "echo $DEPLOYER_VERSION $DEPLOYER_SHA >>{folder}/deployed; test ! -e {folder}/bad"
    ));
    setup
}

fn deployed(setup: &Setup) -> Vec<String> {
    let text = fs::read_to_string(setup.folder().join("deployed")).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[track_caller]
fn deploy(setup: &Setup, arguments: &[&str], status: i32) {
    let output = setup.run(&[&["deploy"], arguments].concat());
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
}

fn post(deployer: &Deployer, issuer: &Issuer, body: &str) {
    let answer = deployer.client().post("/deploy", &issuer.mint(AUDIENCE), body);
    answer.assert_ok();
}

/// Runs a command of ours on a terminal.
fn typed(setup: &Setup, line: &str) -> String {
    let mut script = setup.on_a_terminal(line);
    text(&output_of(script.env("NO_COLOR", "1"), b"").stdout).replace('\r', "")
}

#[test]
fn every_run_is_remembered_with_who_asked_and_what_came_of_it() {
    let issuer = Issuer::start();
    let deployer = tracing(&issuer).start();
    assert!(typed(&deployer, "history").contains("no run yet"));
    post(&deployer, &issuer, r#"{"version":"1.2.3","sha":"abc1234"}"#);
    deploy(&deployer, &["1.2.4", "--dry-run"], 0);
    deployer.folder().write("bad", "");
    deploy(&deployer, &["1.2.5"], 1);
    let runs = lines(&deployer.run(&["history"]));
    let of = |name: &str| runs.iter().map(|run| run[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("version"), ["1.2.5", "1.2.4", "1.2.3"], "newest first");
    assert_eq!(of("status"), ["fail", "ok", "ok"]);
    assert_eq!(runs[1]["dry_run"], true);
    let origin = &runs[2]["origin"];
    assert_eq!(
        (&origin["actor"], &origin["repository"], &origin["from"]),
        (&"octocat".into(), &"engram-app/engram".into(), &"token".into())
    );
    assert!(
        origin["run_id"].is_string() && origin["run_attempt"].is_string(),
        "{origin}"
    );
    assert!(
        origin["workflow_ref"].is_string() && origin["jti"].is_null(),
        "{origin}"
    );
    assert_eq!(runs[0]["origin"]["from"], "local");

    let table = typed(&deployer, "history");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    for (row, word) in rows.iter().zip(["OUTCOME", "FAIL", "ok, dry run", "ok"]) {
        assert_eq!(row.find(word), rows[0].find("OUTCOME"), "{table}");
    }
    let job = format!(
        "octocat of engram-app/engram, CI run {}, attempt {}",
        text_of(origin, "run_id"),
        text_of(origin, "run_attempt")
    );
    assert!(
        rows[3].contains("1.2.3    abc1234") && rows[3].ends_with(&job),
        "{table}"
    );
    assert!(rows[1].ends_with("root on this host"), "{table}");
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

#[test]
fn what_is_at_work_is_in_the_history_and_stands_in_the_way_of_a_rollback() {
    let mut setup = Setup::new(&Issuer::start());
    let go = setup.folder().join("go");
    setup.command_script(&format!("until [ -e {} ]; do sleep 0.05; done", go.display()));
    let mut first = Running::start(
        &mut setup.command(&["deploy", "1.0.0"]),
        &setup.folder().join("first"),
    );
    let states = || {
        let runs = lines(&setup.run(&["history"]));
        runs.iter()
            .map(|run| run["state"].as_str().unwrap_or("-").to_owned())
            .collect::<Vec<_>>()
    };
    let soon = Duration::from_secs(10);
    wait_until("the first runs", soon, || states() == ["running"]);
    let mut second = Running::start(
        &mut setup.command(&["deploy", "2.0.0"]),
        &setup.folder().join("second"),
    );
    wait_until("the second waits", soon, || states() == ["running", "queued"]);
    let refused = setup.run(&["rollback"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(
        text(&refused.stderr).contains(" is running: "),
        "{}",
        text(&refused.stderr)
    );
    setup.folder().write("go", "");
    wait_until("both end", soon, || first.ended() && second.ended());
    assert_eq!(states(), ["-", "-"]);
}

#[test]
fn the_version_before_is_deployed_again_by_a_word() {
    let setup = tracing(&Issuer::start());
    let nothing = setup.run(&["rollback"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(text(&nothing.stderr).contains("nothing tells of a version that was healthy"));
    deploy(&setup, &["1.0.0", "--sha", "abc1234"], 0);
    let nothing = setup.run(&["rollback"]);
    assert_eq!(nothing.status.code(), Some(3));
    assert!(
        text(&nothing.stderr).contains("1.0.0"),
        "{}",
        text(&nothing.stderr)
    );
    deploy(&setup, &["2.0.0"], 0);
    deploy(&setup, &["3.0.0"], 0);

    let dry = setup.run(&["rollback", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(0), "{}", text(&dry.stderr));
    assert_eq!(deployed(&setup), ["1.0.0 abc1234", "2.0.0", "3.0.0"]);
    let back = setup.run(&["rollback", "--json"]);
    let said = text(&back.stderr);
    assert!(
        said.contains("3.0.0 (run ") && said.contains("going back to 2.0.0"),
        "{said}"
    );
    let outcome = lines(&back).pop().expect("an outcome");
    assert_eq!(
        (&outcome["status"], &outcome["version"]),
        (&"ok".into(), &"2.0.0".into())
    );
    let again = typed(&setup, "rollback");
    assert!(
        again.contains("2.0.0 (run ") && again.contains("going back to 1.0.0"),
        "{again}"
    );
    assert_eq!(
        deployed(&setup).last().map(String::as_str),
        Some("1.0.0 abc1234"),
        "with its commit"
    );
    assert_eq!(
        setup.run(&["rollback"]).status.code(),
        Some(3),
        "never forward again"
    );
}

#[test]
fn a_real_container_goes_back_by_a_word_also_where_requests_may_not() {
    let host = Host::docker_with(|setup| {
        setup.set("DEPLOYER_ALLOW_DOWNGRADE", "no");
    });
    host.push("2.0.1", "");
    host.deploy("2.0.0").assert_ok();
    host.deploy("2.0.1").assert_ok();
    let error = host.deploy("2.0.0").assert_failed();
    assert!(error.contains("DEPLOYER_ALLOW_DOWNGRADE=no"), "{error}");
    let back = host.deployer.run(&["rollback"]);
    assert!(
        text(&back.stderr).contains("2.0.1 (run "),
        "{}",
        text(&back.stderr)
    );
    assert_eq!(lines(&back).last().expect("an outcome")["status"], "ok");
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
}

#[test]
fn after_a_failure_half_way_the_last_healthy_version_is_the_way_back() {
    let mut setup = tracing(&Issuer::start());
    deploy(&setup, &["1.0.0"], 0);
    deploy(&setup, &["2.0.0"], 0);
    let bad = setup.folder().write("bad", "");
    deploy(&setup, &["3.0.0"], 1);
    fs::remove_file(bad).expect("taking it away");
    let gone_back = |setup: &Setup, why: &str, version: &str| {
        let back = setup.run(&["rollback", "--json"]);
        let said = text(&back.stderr);
        assert!(said.contains(why), "{said}");
        assert_eq!(lines(&back).last().expect("an outcome")["version"], version);
    };
    gone_back(&setup, "failed half-way", "2.0.0");
    // One that failed before it touched anything leaves live what was.
    setup.set("DEPLOYER_COMMAND_PATH", "/nonexistent/command");
    deploy(&setup, &["3.0.1"], 1);
    setup.set("DEPLOYER_COMMAND_PATH", setup.folder().join("command"));
    gone_back(&setup, "2.0.0 (run ", "1.0.0");
}

#[test]
fn the_documents_are_what_their_readers_were_promised() {
    let issuer = Issuer::start();
    let deployer = tracing(&issuer).start();
    post(&deployer, &issuer, r#"{"version":"1.2.3","sha":"abc1234"}"#);
    deploy(&deployer, &["1.2.4", "--dry-run"], 0);
    deployer.folder().write("bad", "");
    deploy(&deployer, &["1.2.5"], 1);
    let command = deployer.folder().join("command").display().to_string();
    let history = deployer.run(&["history", "--json"]);
    let ci = lines(&history)[2]["origin"].clone();
    let known = [
        (command.as_str(), "PROGRAM"),
        (text_of(&ci, "run_id"), "CI_RUN"),
        (text_of(&ci, "sha"), "CI_SHA"),
    ];
    let get = |path: &str| deployer.client().get(path).body() + "\n";
    assert_golden("status.json", &get("/status"), &known);
    assert_golden("runs.json", &get("/runs"), &known);
    assert_golden("history.ndjson", &text(&history.stdout), &known);
}
