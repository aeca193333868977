//! When the time of a run is up: nothing is left half done, and never are two at work.

use serde_json::json;

use super::id_of;
use crate::support::docker::docker;
use crate::support::host::Host;

const TOO_LONG: &str = "the run was not done within 12s; what was changed is back as it was";

/// All at once, because most of their time is spent waiting.
#[test]
fn the_end_of_a_run_cuts_nothing_in_its_middle() {
    std::thread::scope(|scope| {
        scope.spawn(|| update_container_that_hangs_is_killed_and_then_the_next_run_begins("hang"));
        scope.spawn(|| update_container_that_hangs_is_killed_and_then_the_next_run_begins("hang-removed"));
        scope.spawn(update_container_in_its_middle_is_not_cut_by_the_end_of_the_run);
        scope.spawn(with_docker_the_end_of_the_run_puts_the_one_before_back);
        scope.spawn(with_docker_a_swap_that_has_begun_is_not_cut_by_the_end_of_the_run);
    });
}

fn update_container_in_its_middle_is_not_cut_by_the_end_of_the_run() {
    let host = Host::unraid_with(|setup| {
        setup.set("DEPLOYER_RUN_MAX", "12s");
    });
    host.unraid.as_ref().expect("Unraid's part").pause(15);
    let before = id_of(&host.name);
    let answer = host.deploy("2.0.0");
    assert_eq!(answer.assert_failed(), TOO_LONG);
    let said = answer.body();
    assert!(
        said.contains(&format!("{}: started ", host.name)) && !said.contains("killed"),
        "{said}"
    );
    assert_eq!(id_of(&host.name), before, "and then it went back");
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
}

fn update_container_that_hangs_is_killed_and_then_the_next_run_begins(word: &str) {
    let host = Host::unraid_with(|setup| {
        setup
            .set("DEPLOYER_RUN_MAX", "25s")
            .set("DEPLOYER_UPDATE_MAX_WAIT", "20s");
    });
    let unraid = host.unraid.as_ref().expect("Unraid's part");
    unraid.behave(word);
    let mut first = host.start_deploy(json!({"version": "2.0.0"}));
    first.wait_for("is at work");
    let mut second = host.start_deploy(json!({"version": "2.0.0"}));
    second.wait_for("waiting for");
    unraid.behave("");
    let first = first.finish();
    let name = &host.name;
    let why = format!("`update_container {name}` was not done within 20s");
    let expected = format!("{name}: update_container was killed, because {why}; it made no container");
    let error = first.assert_failed();
    assert!(error.starts_with(&expected), "{error}");

    let second = second.finish();
    second.assert_ok();
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
    let ended = first.outcome()["finished_at"].as_str().map(str::to_owned);
    let events = second.events();
    let began = events
        .iter()
        .find(|event| event["phase"] == "preflight")
        .expect("a beginning");
    assert!(
        began["time"].as_str() >= ended.as_deref(),
        "never two at once: {began} before {ended:?}"
    );
    assert_eq!(unraid.calls().len(), 2);
}

fn with_docker_the_end_of_the_run_puts_the_one_before_back() {
    let host = Host::docker_with(|setup| {
        setup
            .set("DEPLOYER_RUN_MAX", "12s")
            .set("DEPLOYER_HEALTH_MAX_WAIT", "60s");
    });
    host.push("2.0.1", "status=500");
    let before = id_of(&host.name);
    let name = &host.name;
    assert_eq!(
        host.deploy("2.0.1").assert_failed(),
        format!(
            "{name}: not healthy yet: last answer: 500; the run was not done within 12s; what was changed is back as it was"
        )
    );
    assert_eq!(id_of(name), before);
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
    assert_eq!(host.containers.names(), [name.as_str()]);
}

fn with_docker_a_swap_that_has_begun_is_not_cut_by_the_end_of_the_run() {
    let host = Host::docker_with(|setup| {
        setup.set("DEPLOYER_RUN_MAX", "12s");
    });
    // Its stop takes the whole 15 s that it is given.
    host.push("1.0.1", "stubborn");
    docker(&["rm", "-f", &host.name]);
    let stubborn = format!("{}:1.0.1", host.registry.image());
    let published = format!("127.0.0.1:{}:8000", host.port);
    docker(&[
        "run",
        "-d",
        "--stop-timeout",
        "15",
        "--name",
        &host.name,
        "-p",
        &published,
        &stubborn,
    ]);
    let before = id_of(&host.name);
    let answer = host.deploy("2.0.0");
    assert_eq!(answer.assert_failed(), TOO_LONG);
    let said = answer.body();
    assert!(said.contains(&format!("{}: started ", host.name)), "{said}");
    assert_eq!(id_of(&host.name), before, "and then it went back");
    assert_eq!(host.live_version().as_deref(), Some("1.0.1"));
    assert_eq!(host.containers.names(), [host.name.as_str()]);
}
