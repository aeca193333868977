//! A version that does not work: the sentence says what was seen, and the one before runs again where the backend
//! `docker` can see to it.

use super::{id_of, image_of, messages};
use serde_json::json;

use crate::support::curl::Answer;
use crate::support::docker::{docker, inspect};
use crate::support::host::Host;

/// Deploys a version that misbehaves in these words; what was said, and the error without the name of its container.
#[track_caller]
fn fail(host: &Host, version: &str, words: &str) -> (Answer, String) {
    host.push(version, words);
    let answer = host.deploy(version);
    let error = answer.assert_failed();
    let name = format!("{}: ", host.name);
    let why = error.strip_prefix(&name).unwrap_or_else(|| panic!("{error}"));
    (answer, why.to_owned())
}

/// With backend `docker` the one before is the same container as ever, and nothing else is left.
#[track_caller]
fn assert_back(host: &Host, before: &str, error: &str) {
    assert!(error.ends_with("; what was changed is back as it was"), "{error}");
    assert_eq!(id_of(&host.name), before);
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
    assert_eq!(host.containers.names(), [host.name.as_str()]);
    let policy = &inspect(&host.name).expect("a container")["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(policy, "on-failure", "as before, and not as a kept one's");
    let status = host.deployer.status().expect("a status");
    assert_eq!(status["status"], "fail");
    assert_eq!(
        status["rolled_back"],
        json!([{"container": host.name, "to": "1.0.0"}])
    );
}

#[test]
fn with_docker_an_unhealthy_version_is_told_and_the_one_before_is_put_back() {
    let host = Host::docker_with(|setup| {
        setup.set("DEPLOYER_HEALTH_MAX_WAIT", "1200ms");
    });
    let before = id_of(&host.name);
    for (version, words, expected) in [
        (
            "2.0.2",
            "claim=1.0.0",
            "not healthy after 1.200s: last version: 1.0.0; ",
        ),
        ("2.0.3", "silent", "not healthy after 1.200s: no answer: "),
    ] {
        let (answer, error) = fail(&host, version, words);
        assert!(error.starts_with(expected), "{error}");
        assert_back(&host, &before, &error);
        let log = format!("{}: engram {version}: listening on port 8000", host.name);
        assert!(messages(&answer, "logs").contains(&log), "{answer:#?}");
    }
    host.deploy("2.0.0").assert_ok();
}

#[test]
fn with_docker_a_version_that_ends_at_once_is_not_waited_for() {
    let host = Host::docker_with(|setup| {
        setup.set("DEPLOYER_HEALTH_MAX_WAIT", "60s");
    });
    let before = id_of(&host.name);
    let (answer, error) = fail(&host, "2.0.1", "exit=3");
    assert!(
        error.starts_with("not healthy: ") && error.contains("restarted "),
        "{error}"
    );
    assert_back(&host, &before, &error);
    let log = format!("{}: engram 2.0.1: cannot start, exit 3", host.name);
    assert!(messages(&answer, "logs").contains(&log), "{answer:#?}");
}

#[test]
fn with_docker_a_crash_loop_is_named_when_the_last_probe_met_nobody() {
    let host = Host::docker_with(|setup| {
        setup.set("DEPLOYER_HEALTH_MAX_WAIT", "2500ms");
    });
    let before = id_of(&host.name);
    // Too few restarts to be hopeless by then, and nobody listens at any time.
    let (_, error) = fail(&host, "2.0.1", "slow-start=60000,crash-after=1000");
    assert!(error.starts_with("not healthy after 2.500s: "), "{error}");
    let (probe, cause) = error.split_once("; the container is ").expect("a cause");
    assert!(
        probe.contains(": no answer: ") && cause.contains("restart"),
        "{error}"
    );
    assert_back(&host, &before, &error);
}

#[test]
fn with_docker_a_version_that_cannot_start_is_told_in_dockers_words() {
    let mut port = None;
    let host = Host::docker_with(|setup| {
        // The port of another program: docker takes the declaration and refuses the start.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let number = taken.local_addr().expect("a port").port();
        port = Some(taken);
        let name = setup
            .setting("DEPLOYER_CONTAINERS")
            .split('=')
            .next()
            .unwrap_or_default()
            .to_owned();
        let declared = crate::support::host::declaration(number).to_string();
        setup.folder().write(&format!("containers/{name}.json"), declared);
    });
    let before = id_of(&host.name);
    let error = host.deploy("2.0.0").assert_failed();
    assert!(
        error.starts_with(&format!("docker start {}: ", host.name)),
        "{error}"
    );
    assert!(error.contains("already"), "in docker's words: {error}");
    assert_back(&host, &before, &error);
}

#[test]
fn on_unraid_an_unhealthy_version_is_told_and_the_one_before_is_put_back() {
    let host = Host::unraid_with(|setup| {
        setup.set("DEPLOYER_HEALTH_MAX_WAIT", "1200ms");
    });
    let before = id_of(&host.name);
    let (_, error) = fail(&host, "2.0.1", "status=500");
    assert!(
        error.starts_with("not healthy after 1.200s: last answer: 500; "),
        "{error}"
    );
    assert_back(&host, &before, &error);
    // Without a restart policy it stays down, so nobody waits for it; who sees it first, the proof after the script or
    // the wait for health, is a matter of luck.
    let (answer, error) = fail(&host, "2.0.2", "exit=3");
    assert!(error.contains("exited with status 3"), "{error}");
    assert_back(&host, &before, &error);
    let log = format!("{}: engram 2.0.2: cannot start, exit 3", host.name);
    assert!(messages(&answer, "logs").contains(&log), "{answer:#?}");
}

#[test]
fn on_unraid_nothing_that_update_container_does_wrong_costs_the_one_before() {
    let host = Host::unraid();
    let unraid = host.unraid.as_ref().expect("Unraid's part");
    let (before, template) = (id_of(&host.name), unraid.read(&host.name));
    let first = image_of(&host.name);
    let other = format!("update_container made {} ", &first[..19]);
    for (word, expected) in [
        ("nothing", "update_container made no container: "),
        ("remove-only", "update_container made no container: "),
        ("wrong-image", other.as_str()),
    ] {
        unraid.behave(word);
        let started = started_at(&host.name);
        let answer = host
            .start_deploy(json!({"version": "2.0.0", "force": true}))
            .finish();
        assert!(
            !answer.phases().contains(&"health".to_owned()),
            "{word}: {answer:#?}"
        );
        let error = answer.assert_failed();
        let expected = format!("{}: {expected}", host.name);
        assert!(error.starts_with(&expected), "{word}: {error}");
        assert_back(&host, &before, &error);
        assert_eq!(unraid.read(&host.name), template);
        assert_eq!(
            started_at(&host.name),
            started,
            "{word}: it was never even stopped"
        );
    }
    // The next deploy is none the worse for it, and starts a container that did not run before.
    unraid.behave("");
    docker(&["stop", &host.name]);
    host.deploy("2.0.0").assert_ok();
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
}

fn started_at(name: &str) -> String {
    inspect(name).expect("a container")["State"]["StartedAt"].to_string()
}
