//! Docker's events: they say nothing on their output, do not keep Unraid waiting, and know of the run at work.

use std::fs;
use std::time::{Duration, Instant};

use super::{HELD, SOON};
use crate::support::deployer::AUDIENCE;
use crate::support::oidc::Issuer;
use crate::support::process::text;
use crate::support::server::{HOME, PLUGIN, RC, Server};
use crate::support::wait_until;

/// What `quiet` gives a run when it is told of no time: whoever was shorter did not wait for that.
const QUIET: Duration = Duration::from_secs(40);

fn ready(deploy: &str) -> (Server, Issuer) {
    let (server, issuer) = (Server::with_plugin(), Issuer::start());
    server.configure(&issuer, deploy);
    (server, issuer)
}

/// Has the event happen: it must say nothing, since Unraid shows that; how long Unraid waited.
fn event(server: &Server, name: &str) -> Duration {
    let started = Instant::now();
    let output = server.run(&[&format!("{PLUGIN}/event/{name}")]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stdout) + &text(&output.stderr), "", "{name}");
    started.elapsed()
}

#[test]
fn the_packages_events_start_the_daemon_with_docker_and_stop_it_before_docker_ends() {
    let (server, _issuer) = ready("true");
    // In the background: a start that takes its time is not waited for.
    server.must(&["cp", "-p", RC, "/tmp/rc"]);
    server.script("/tmp/slow", "sleep 10; exec /tmp/rc \"$@\"");
    server.must(&["mv", "/tmp/slow", RC]);
    let waited = event(&server, "docker_started");
    assert!(waited < Duration::from_secs(9), "{waited:?}");
    server.must(&["cp", "-p", "/tmp/rc", "/tmp/again"]);
    server.must(&["mv", "/tmp/again", RC]);
    server.wait_until_it_answers();
    wait_until("recovery", SOON, || server.syslog().contains("no run is dead"));
    event(&server, "docker_started");
    let waited = event(&server, "stopping_docker");
    assert!(waited < QUIET, "{waited:?}: there was nothing to wait for");
    assert!(server.daemons().is_empty());
}

#[test]
fn the_packages_event_before_docker_ends_waits_for_the_run_and_lets_no_other_begin() {
    let (server, issuer) = ready(HELD);
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    let client = server.client();
    let post = |version: &str| {
        client.start_post(
            "/deploy",
            &issuer.mint(AUDIENCE),
            &format!(r#"{{"version":"{version}"}}"#),
        )
    };
    let first = post("1.0.0");
    wait_until("the deploy is at work", SOON, || server.has("/run/at-work"));
    let mut second = post("1.0.1");
    second.wait_for("queued");
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| event(&server, "stopping_docker"));
        wait_until("the daemon is stopped", SOON, || server.daemons().is_empty());
        std::thread::sleep(Duration::from_secs(2));
        assert!(!waiting.is_finished(), "the run is at work");
        assert_eq!(client.get("/healthz").status, 0, "nobody is let in");
        server.write("/run/go-on", "");
        waiting.join().expect("the event ended")
    });
    assert!(waited < QUIET, "{waited:?}");
    first.finish().assert_ok();
    let told = second.finish().assert_failed();
    assert!(told.contains("cancelled"), "{told}");
}

#[test]
fn the_packages_quiet_asks_a_run_that_does_not_end_to_go_back_and_does_not_wait_for_ever() {
    let (server, issuer) = ready(HELD);
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    let first = server
        .client()
        .start_post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.0.0"}"#);
    wait_until("the deploy is at work", SOON, || server.has("/run/at-work"));
    let started = Instant::now();
    let said = server.must(&[&format!("{PLUGIN}/scripts/quiet"), "1", "2"]);
    assert!(started.elapsed() < QUIET, "{:?}", started.elapsed());
    assert!(said.contains("asked to go back"), "{said}");
    server.write("/run/go-on", "");
    first.finish();
}

#[test]
fn the_packages_events_do_not_keep_unraid_waiting_when_nothing_is_right() {
    let server = Server::with_plugin();
    for settings in ["", "nonsense\n", "DEPLOYER_STATE_DIR=\"/mnt/nowhere/state\"\n"] {
        server.write(&format!("{HOME}/engram-deployer.cfg"), settings);
        for name in ["docker_started", "stopping_docker"] {
            let waited = event(&server, name);
            assert!(waited < QUIET, "{name}: {settings:?}: {waited:?}");
        }
    }
    assert!(!server.has("/mnt/nowhere"));
    fs::remove_file(server.path(&format!("{HOME}/engram-deployer.cfg"))).unwrap();
    event(&server, "docker_started");
    event(&server, "stopping_docker");
    assert!(server.daemons().is_empty());
}

#[test]
fn after_a_power_cut_in_a_run_the_packages_event_has_it_completed() {
    let (mut server, issuer) = ready(HELD);
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    let run = server
        .client()
        .start_post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.0.0"}"#);
    wait_until("the deploy is at work", SOON, || server.has("/run/at-work"));
    server.reboot();
    drop(run);
    assert!(server.boot().status.success());
    // The journal is all that is left of it; what stands there is looked at before anybody asks for the next deploy.
    let journal = format!("{HOME}/state/journal");
    let head = server.read(&journal);
    assert!(head.contains("run_id"), "{head}");
    server.write(&journal, format!("{head}{{\"unknown\":1}}\n"));
    event(&server, "docker_started");
    server.wait_until_it_answers();
    wait_until("it is looked at", SOON, || {
        server.syslog().contains("going back for run")
    });
    // There is no Docker here, so it stays until there is one.
    assert!(server.read(&journal).contains("unknown"));
}

#[test]
fn what_a_deploy_leaves_on_the_packages_flash_is_small_and_its_log_is_elsewhere() {
    let (server, issuer) = ready("echo a line of the log; echo another");
    server.must(&[RC, "start"]);
    server.wait_until_it_answers();
    for version in ["1.0.0", "1.0.1", "1.0.2"] {
        let body = format!(r#"{{"version":"{version}"}}"#);
        let deploy = server
            .client()
            .start_post("/deploy", &issuer.mint(AUDIENCE), &body);
        deploy.finish().assert_ok();
    }
    // The caller is told before everything is tidied up.
    wait_until("the last run's end", SOON, || {
        server.read(&format!("{HOME}/state/journal")).is_empty()
    });
    let state = server.must(&[
        "find",
        &format!("{HOME}/state"),
        "-type",
        "f",
        "-printf",
        "%P %s\n",
    ]);
    let known = [
        "healthy.json",
        "journal",
        "jti",
        "jti.lock",
        "jwks.json",
        "last/deploy.json",
    ];
    for file in state.lines() {
        let (name, size) = file.rsplit_once(' ').expect("a name and a size");
        assert!(known.contains(&name), "{name} is on the flash: {state}");
        assert!(size.parse::<u64>().unwrap() < 16 * 1024, "{state}");
    }
    let logs = server.must(&["find", "/var/lib/engram-deployer/runs", "-name", "log.ndjson"]);
    assert_eq!(logs.lines().count(), 3, "{logs}");
}
