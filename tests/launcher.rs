//! [launcher] However the daemon is started, it serves alike, and a run outlives its starter.

mod sockets;
mod told;
mod wire;

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::curl::{Call, Client};
use crate::support::deployer::Setup;
use crate::support::launcher::{KINDS, Kind, Place, launch, launch_with};
use crate::support::oidc::Issuer;
use crate::support::outlive::{Caller, gated};
use crate::support::process::{Running, processes_in, run};
use crate::support::roles::roles_below;
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(15);

/// Settings whose deploy says something, waits for the gate and says something more.
struct Gated {
    issuer: Issuer,
    setup: Setup,
    gate: PathBuf,
}

impl Gated {
    fn new() -> Gated {
        let issuer = Issuer::start();
        let mut setup = Setup::new(&issuer);
        let gate = setup.folder().join("gate");
        setup.command_script(&gated(&gate.display().to_string()));
        setup.set("DEPLOYER_LOG", "trace");
        run(&mut setup.command(&["init"]));
        Gated { issuer, setup, gate }
    }

    fn client(&self) -> Client {
        self.setup.client()
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            client: self.client(),
            issuer: &self.issuer,
        }
    }

    fn post(&self) -> Call {
        self.caller().post()
    }

    fn run(&self) -> (Call, String) {
        self.caller().run()
    }

    fn open_gate(&self) {
        fs::write(&self.gate, "").unwrap();
    }
}

/// The promise, for one kind of starter.
fn a_run_outlives(kind: Kind) {
    let mut gated = Gated::new();
    let first = launch(kind, &mut gated.setup);
    let caller = Caller {
        client: gated.client(),
        issuer: &gated.issuer,
    };
    let mut next = None;
    let replace = || {
        first.kill();
        next = Some(launch(kind, &mut gated.setup));
    };
    let (first, followed) = caller.a_run_outlives(replace, || fs::write(&gated.gate, "").unwrap());
    if !kind.takes_sessions_along() {
        assert_eq!(first.body(), followed.body());
    }
}

#[test]
fn a_run_outlives_systemd_with_a_listening_socket() {
    a_run_outlives(Kind::SystemdListening);
}

#[test]
fn a_run_outlives_systemd_with_a_connection() {
    a_run_outlives(Kind::SystemdConnected);
}

#[test]
fn a_run_outlives_systemd_with_a_socket_on_standard_input() {
    a_run_outlives(Kind::SystemdInputListening);
    a_run_outlives(Kind::SystemdInputConnected);
}

#[test]
fn a_run_outlives_inetd_wait() {
    a_run_outlives(Kind::InetdWait);
}

#[test]
fn a_run_outlives_inetd_nowait() {
    a_run_outlives(Kind::InetdNowait);
}

#[test]
fn a_run_outlives_xinetd_both_ways() {
    a_run_outlives(Kind::XinetdWait);
    a_run_outlives(Kind::XinetdNowait);
}

#[test]
fn a_stopped_daemon_leaves_its_socket_with_inetd_and_its_run_alone() {
    let mut gated = Gated::new();
    let mut launcher = launch(Kind::InetdWait, &mut gated.setup);
    let (call, id) = gated.run();
    let serve = launcher.serve_pid().expect("a daemon");
    kill(Pid::from_raw(serve), Signal::SIGTERM).unwrap();
    wait_until("inetd starts another", SOON, || {
        // The listener is inetd's, so no connection is refused.
        assert_eq!(gated.client().get("/healthz").status, 200);
        launcher.serve_pid().is_some_and(|pid| pid != serve)
    });
    assert_eq!(gated.caller().runs()["running"]["run_id"], id.as_str());
    // And the daemon does not need inetd for what it has.
    launcher.kill_alone();
    assert_eq!(gated.client().get("/healthz").status, 200);
    gated.open_gate();
    call.finish().assert_ok();
}

#[test]
fn an_idle_daemon_goes_and_no_connection_is_lost_by_it() {
    for kind in [Kind::InetdWait, Kind::XinetdWait] {
        let mut gated = Gated::new();
        gated.setup.set("DEPLOYER_IDLE_EXIT", "60ms");
        let launcher = launch(kind, &mut gated.setup);
        // Just when it is about to go, most of the time.
        for pause in 40..80 {
            assert_eq!(gated.client().get("/healthz").status, 200, "{kind:?}");
            thread::sleep(Duration::from_millis(pause));
        }
        let none = || processes_in(gated.setup.folder().path()).is_empty() && launcher.serve_pid().is_none();
        wait_until("not one process of ours is left", SOON, none);
        launcher.log_with(&["nothing to do: no more connections"]);
    }
}

#[test]
fn wrong_settings_do_not_make_a_starter_spin() {
    let mut gated = Gated::new();
    gated.setup.set("DEPLOYER_QUEUE_MAX", "many");
    let launcher = launch(Kind::InetdWait, &mut gated.setup);
    // Nobody takes it, so it starts the daemon again and again.
    let _connection = TcpStream::connect(("127.0.0.1", gated.setup.port())).unwrap();
    let starts = || launcher.log().matches("DEPLOYER_QUEUE_MAX is `many`").count();
    wait_until("it is started", SOON, || starts() > 0);
    thread::sleep(Duration::from_secs(3));
    let starts = starts();
    assert!(starts <= 5, "{starts} starts in 3 s");
}

#[test]
fn an_idle_daemon_that_is_told_to_reload_while_it_takes_its_leave_goes_all_the_same() {
    let mut gated = Gated::new();
    // Time enough to find and stop its session before it goes.
    gated.setup.set("DEPLOYER_IDLE_EXIT", "4s");
    let launcher = launch(Kind::InetdWait, &mut gated.setup);
    assert_eq!(gated.client().get("/healthz").status, 200);
    let serve = launcher.serve_pid().expect("a daemon");
    let mut warm = Vec::new();
    wait_until("a warm session alone", SOON, || {
        warm = roles_below(serve, "session");
        warm.len() == 1 && roles_below(warm[0].pid, "front").len() == 1
    });
    // It cannot take its leave, and so the daemon cannot either.
    let signal = |pid, signal| kill(Pid::from_raw(pid), signal).unwrap();
    signal(warm[0].pid, Signal::SIGSTOP);
    thread::sleep(Duration::from_secs(5));
    assert_eq!(launcher.serve_pid(), Some(serve));
    signal(serve, Signal::SIGHUP);
    launcher.log_with(&["the new settings are in use"]);
    signal(warm[0].pid, Signal::SIGCONT);
    wait_until("it goes", SOON, || launcher.serve_pid().is_none());
}

#[test]
fn before_the_first_connection_there_is_no_process_of_ours() {
    for kind in KINDS {
        let mut gated = Gated::new();
        let launcher = launch(kind, &mut gated.setup);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(processes_in(gated.setup.folder().path()), [0; 0], "{kind:?}");
        let line = fs::read_to_string(format!("/proc/{}/comm", launcher.pid())).unwrap();
        assert_ne!(line.trim(), "engram-deployer");
        assert_eq!(gated.client().get("/healthz").status, 200, "{kind:?}");
    }
}

#[test]
fn an_idle_daemon_stays_while_a_run_is_at_work() {
    let mut gated = Gated::new();
    gated.setup.set("DEPLOYER_IDLE_EXIT", "200ms");
    let launcher = launch(Kind::InetdWait, &mut gated.setup);
    let (call, _) = gated.run();
    let serve = launcher.serve_pid().expect("a daemon");
    call.vanish();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(launcher.serve_pid(), Some(serve));
    gated.open_gate();
    wait_until("it goes after the run", SOON, || launcher.serve_pid().is_none());
}

#[test]
fn an_idle_daemon_stays_while_a_run_that_was_typed_is_at_work() {
    let mut gated = Gated::new();
    gated.setup.set("DEPLOYER_IDLE_EXIT", "200ms");
    let launcher = launch(Kind::InetdWait, &mut gated.setup);
    let said = gated.setup.folder().join("typed.log");
    let _typed = Running::start(&mut gated.setup.command(&["deploy", "1.2.3"]), &said);
    wait_until("the run is at the gate", SOON, || {
        fs::read_to_string(&said).unwrap().contains("before the gate")
    });
    assert_eq!(gated.client().get("/healthz").status, 200);
    let serve = launcher.serve_pid().expect("a daemon");
    thread::sleep(Duration::from_secs(1));
    assert_eq!(launcher.serve_pid(), Some(serve));
    gated.open_gate();
    wait_until("it goes after the run", SOON, || launcher.serve_pid().is_none());
}

#[test]
fn a_daemon_that_bound_its_own_socket_never_goes() {
    let mut setup = Setup::new(&Issuer::start());
    setup.set("DEPLOYER_IDLE_EXIT", "50ms");
    let deployer = setup.start();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(deployer.client().get("/healthz").status, 200);
}

#[test]
fn inetd_needs_no_word_about_the_settings_at_their_usual_place() {
    for kind in [Kind::InetdWait, Kind::InetdNowait] {
        let mut gated = Gated::new();
        let _launcher = launch_with(kind, &mut gated.setup, Place::Usual);
        gated.open_gate();
        gated.post().finish().assert_ok();
    }
}
