//! [follow] A run does not know who is listening: a caller that goes changes nothing, and another sees it all.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::support::curl::Call;
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::Issuer;
use crate::support::process::text;
use crate::support::wait_until;

struct Watched {
    issuer: Issuer,
    deployer: Deployer,
    gate: PathBuf,
}

/// A deployer whose command says something, waits for the gate and says something more.
fn watched() -> Watched {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let gate = setup.folder().join("gate");
    setup.command_script(&format!(
        "echo before the gate; while [ ! -e {} ]; do sleep 0.05; done; echo after the gate",
        gate.display()
    ));
    Watched {
        issuer,
        deployer: setup.start(),
        gate,
    }
}

impl Watched {
    /// A run that has come to the gate; its id.
    fn run(&self) -> (Call, String) {
        let token = self.issuer.mint(AUDIENCE);
        let mut call = self
            .deployer
            .client()
            .start_post("/deploy", &token, r#"{"version":"1.0.0"}"#);
        let first: Value = serde_json::from_str(&call.wait_for("run_id")).unwrap();
        call.wait_for("before the gate");
        (call, first["run_id"].as_str().unwrap().to_owned())
    }

    fn open_gate(&self) {
        fs::write(&self.gate, "").unwrap();
    }
}

#[test]
fn a_caller_that_vanishes_changes_nothing_about_the_outcome() {
    let watched = watched();
    let (call, id) = watched.run();
    call.vanish();
    std::thread::sleep(Duration::from_millis(300));
    watched.open_gate();
    let ended = || {
        watched
            .deployer
            .status()
            .is_some_and(|status| status["run_id"] == id.as_str())
    };
    wait_until("the run ends without its caller", Duration::from_secs(20), ended);
    assert_eq!(watched.deployer.status().unwrap()["status"], "ok");
}

#[test]
fn a_second_caller_sees_the_same_lines_from_the_start() {
    let watched = watched();
    let (first, id) = watched.run();
    let path = format!("/runs/{id}/log");
    let second = watched
        .deployer
        .client()
        .start_get(&path, &watched.issuer.mint(AUDIENCE));
    std::thread::sleep(Duration::from_millis(200));
    watched.open_gate();
    let (first, second) = (first.finish(), second.finish());
    assert_eq!(first.body(), second.body());
    first.assert_ok();
    // And so does one that comes when all is over, and the file itself.
    let late = watched
        .deployer
        .client()
        .start_get(&path, &watched.issuer.mint(AUDIENCE))
        .finish();
    let log = fs::read_to_string(watched.deployer.runs().join(&id).join("log.ndjson")).unwrap();
    assert_eq!(late.body(), log.trim_end());
    assert_eq!(late.body(), first.body());
}

#[test]
fn the_host_sees_the_rest_of_a_run_whose_caller_vanished() {
    let watched = watched();
    let (call, id) = watched.run();
    call.vanish();
    let mut command = watched.deployer.command(&["log", "-f", &id]);
    let host = std::thread::spawn(move || command.output().unwrap());
    std::thread::sleep(Duration::from_millis(200));
    watched.open_gate();
    let output = host.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = text(&output.stdout);
    assert!(
        lines.contains("before the gate") && lines.contains("after the gate"),
        "{lines}"
    );
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["status"], &last["run_id"]),
        (&Value::from("ok"), &Value::from(id))
    );
}

#[test]
fn the_first_line_names_the_run_and_the_last_one_is_the_status() {
    let watched = watched();
    watched.open_gate();
    let (call, id) = watched.run();
    let answer = call.finish();
    assert_eq!(answer.header("run-id"), Some(id.as_str()));
    let events = answer.events();
    assert_eq!(events[0]["run_id"], id.as_str());
    let inner = &events[1..events.len() - 1];
    assert!(
        inner
            .iter()
            .all(|event| event.get("run_id").is_none() && event["phase"].is_string()),
        "{events:#?}"
    );
    assert_eq!(answer.outcome(), watched.deployer.status().unwrap());
}

#[test]
fn many_lines_that_come_at_once_reach_the_caller_each_once_and_in_order() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup.command_script("seq -f 'line %.0f of many' 20000");
    let deployer = setup.start();
    let token = issuer.mint(AUDIENCE);
    let answer = deployer
        .client()
        .start_post("/deploy", &token, r#"{"version":"1.0.0"}"#)
        .finish();
    answer.assert_ok();
    let messages: Vec<String> = answer
        .events()
        .iter()
        .filter_map(|event| event["message"].as_str().map(str::to_owned))
        .filter(|message| message.ends_with(" of many"))
        .collect();
    let expected: Vec<String> = (1..=20_000)
        .map(|number| format!("line {number} of many"))
        .collect();
    assert!(messages == expected, "{} lines came", messages.len());
}
