//! What an operator and a CI job are told: how a run ended, in the daemon's log; and of a container that failed its last
//! lines, without what its `env_file` keeps from others.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use crate::support::curl::Answer;
use crate::support::host::{BACKENDS, Host, declaration};
use crate::support::wait_until;

/// The lines of the container's own log in an answer.
fn relayed(answer: &Answer) -> Vec<String> {
    let events = answer.events();
    let logs = events.iter().filter(|event| event["phase"] == "logs");
    logs.map(|event| event["message"].as_str().expect("a text").to_owned())
        .collect()
}

#[test]
fn the_log_says_how_each_run_ended() {
    for made in BACKENDS {
        let host = made(&|setup| {
            setup.set("DEPLOYER_HEALTH_MAX_WAIT", "20s");
        });
        host.push("2.0.1", "exit=1");
        let (failed, done) = (host.deploy("2.0.1"), host.deploy("2.0.0"));
        failed.assert_failed();
        done.assert_ok();
        let back = format!(" s, rolled back to 1.0.0: {}: not healthy", host.name);
        for (level, answer, begin, middle) in [
            ("ERROR", failed, "deploy 2.0.1 failed after ", back.as_str()),
            ("INFO", done, "deploy 2.0.0 is ok after ", " s"),
        ] {
            let begin = format!(
                "run {}: {begin}",
                answer.outcome()["run_id"].as_str().expect("a run id")
            );
            let parts = [&format!(" {level} "), begin.as_str(), middle];
            // It comes after the result, for which the caller waits.
            wait_until("the log says it", Duration::from_secs(5), || {
                let log = host.deployer.log();
                log.lines()
                    .any(|line| parts.iter().all(|part| line.contains(part)))
            });
        }
    }
}

#[test]
fn no_value_of_an_env_file_is_in_the_lines_of_a_container_that_failed() {
    let host = Host::docker();
    let file = host
        .deployer
        .folder()
        .write("app.env", "# for 2.0.0\nBEHAVE=hunter22-secret\nLEVEL=info\n");
    let mut declared = declaration(host.port);
    declared["env_file"] = json!(file);
    let path = format!("containers/{}.json", host.name);
    host.deployer.folder().write(&path, declared.to_string());
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("chmod");
    let answer = host.deploy("2.0.0");
    answer.assert_failed();
    assert!(!answer.body().contains("hunter22"), "{}", answer.body());
    let said = format!("{}: BEHAVE has an unknown word: ***", host.name);
    assert!(
        relayed(&answer)
            .iter()
            .any(|line| line.contains("unknown word: ***")),
        "{said}: {}",
        answer.body()
    );
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
}

#[test]
fn no_line_of_a_container_is_shown_where_the_operator_wants_none() {
    for made in BACKENDS {
        let host = made(&|setup| {
            setup.set("DEPLOYER_RELAY_LOGS", "off");
        });
        host.push("2.0.1", "surprise=1");
        let answer = host.deploy("2.0.1");
        answer.assert_failed();
        let said = format!("{}: its log is not shown: DEPLOYER_RELAY_LOGS is off", host.name);
        assert_eq!(relayed(&answer), [said], "{}", answer.body());
    }
}
