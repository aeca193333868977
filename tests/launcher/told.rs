//! What a service manager is told.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::{Gated, SOON};
use crate::support::process::{Running, go_first};
use crate::support::wait_until;

/// A daemon with nothing to do.
const READY: &str = "READY=1\nSTATUS=nothing runs";

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
    assert_eq!(heard_until(&socket, READY), [READY]);
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
    let heard = heard_until(&socket, READY);
    let reloading = |said: &String| said.starts_with("RELOADING=1\nMONOTONIC_USEC=");
    assert!(heard.iter().any(reloading), "{heard:?}");
    daemon.stop();
    heard_until(&socket, "STOPPING=1");
}

/// Says so much to a socket that nobody else finds room.
fn crowd(path: &Path) {
    loop {
        let one = UnixDatagram::unbound().unwrap();
        one.connect(path).unwrap();
        one.set_nonblocking(true).unwrap();
        let mut count = 0;
        while one.send(b"x").is_ok() {
            count += 1;
        }
        if count == 0 {
            return;
        }
    }
}

#[test]
fn a_daemon_that_could_not_serve_at_first_says_when_it_can() {
    let gated = Gated::new();
    let key = gated.setup.certificate().key.clone();
    let good = fs::read(&key).unwrap();
    fs::write(&key, "not a key").unwrap();
    let path = gated.setup.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut command = gated.setup.command(&["serve"]);
    command.env("NOTIFY_SOCKET", &path);
    let _daemon = Running::start(&mut command, &gated.setup.folder().join("deployer.log"));
    // By then the pauses between two sessions are long, and the one that the good key brings is the first to be ready.
    wait_until("four sessions that failed", SOON, || {
        gated.setup.log().matches("no private key in").count() >= 4
    });
    fs::write(&key, good).unwrap();
    heard_until(&socket, READY);
}

#[test]
fn a_service_manager_that_is_too_busy_to_listen_is_told_again() {
    go_first();
    let gated = Gated::new();
    let path = gated.setup.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    crowd(&path);
    let mut command = gated.setup.command(&["serve"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "8000000");
    let _daemon = Running::start(&mut command, &gated.setup.folder().join("deployer.log"));
    wait_until("an answer", SOON, || gated.client().get("/healthz").status == 200);
    // The watchdog was to be fed after four seconds, and will bite after eight.
    thread::sleep(Duration::from_millis(4200));
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let mut heard = heard_until(&socket, "WATCHDOG=1");
    if !heard.iter().any(|said| said == READY) {
        heard = heard_until(&socket, READY);
    }
    assert!(heard.iter().any(|said| said == READY));
}

#[test]
fn a_watchdog_is_fed() {
    let gated = Gated::new();
    let path = gated.setup.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut command = gated.setup.command(&["serve"]);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "2000000");
    let _daemon = Running::start(&mut command, &gated.setup.folder().join("deployer.log"));
    heard_until(&socket, "WATCHDOG=1");
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        heard_until(&socket, "WATCHDOG=1");
    }
    let took = begin.elapsed();
    assert!(
        (Duration::from_millis(2500)..Duration::from_millis(5900)).contains(&took),
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
