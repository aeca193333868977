//! What a service manager is told.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Gated, SOON};
use crate::support::process::Running;
use crate::support::wait_until;

/// Everything said to a notify socket, until `last` has come.
fn heard_until(socket: &UnixDatagram, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let mut bytes = [0; 1024];
        let count = socket
            .recv(&mut bytes)
            .unwrap_or_else(|error| panic!("{last}: {error} after {heard:?}"));
        heard.push(String::from_utf8(bytes[..count].to_vec()).unwrap());
        if heard.last().is_some_and(|said| said == last) {
            return heard;
        }
    }
}

#[test]
fn a_service_manager_is_told_how_the_daemon_is() {
    let gated = Gated::new();
    let path = gated.setup.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut command = gated.setup.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path);
    let mut daemon = Running::start(&mut command, &gated.setup.folder().join("deployer.log"));
    assert_eq!(
        heard_until(&socket, "STATUS=nothing runs"),
        ["READY=1", "STATUS=nothing runs"]
    );
    assert_eq!(gated.client().get("/healthz").status, 200, "ready means ready");
    let (call, id) = gated.run();
    heard_until(&socket, &format!("STATUS=run {id} (deploy) is at work"));
    let second = gated.post();
    heard_until(
        &socket,
        &format!("STATUS=run {id} (deploy) is at work, 1 in the queue"),
    );
    gated.open_gate();
    call.finish().assert_ok();
    second.finish().assert_ok();
    heard_until(&socket, "STATUS=nothing runs");
    daemon.signal(Signal::SIGHUP);
    let heard = heard_until(&socket, "READY=1");
    let reloading = |said: &String| said.starts_with("RELOADING=1\nMONOTONIC_USEC=");
    assert!(heard.iter().any(reloading), "{heard:?}");
    daemon.stop();
    heard_until(&socket, "STOPPING=1");
}

#[test]
fn a_watchdog_is_fed() {
    let gated = Gated::new();
    let path = gated.setup.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut command = gated.setup.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let _daemon = Running::start(&mut command, &gated.setup.folder().join("deployer.log"));
    heard_until(&socket, "WATCHDOG=1");
    let begin = std::time::Instant::now();
    for _ in 0..5 {
        heard_until(&socket, "WATCHDOG=1");
    }
    let took = begin.elapsed();
    assert!(
        (Duration::from_millis(900)..Duration::from_millis(1900)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn the_journal_is_told_the_level_of_each_line_by_every_role() {
    use std::os::unix::fs::MetadataExt;
    let gated = Gated::new();
    let log = gated.setup.folder().join("deployer.log");
    let seen = fs::File::create(&log).unwrap().metadata().unwrap();
    let mut command = gated.setup.command(&["serve"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", seen.dev(), seen.ino()));
    let _daemon = Running::start(&mut command, &log);
    wait_until("an answer", SOON, || gated.client().get("/healthz").status == 200);
    gated.open_gate();
    gated.post().finish().assert_ok();
    let said = gated.setup.log();
    assert!(said.lines().all(|line| line.starts_with('<')), "{said}");
    for head in ["<6>serve[", "<7>serve[", "<6>session["] {
        assert!(said.contains(head), "{head}: {said}");
    }
}
