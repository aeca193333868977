//! [launcher] However the daemon is started, it serves alike, and a run outlives its starter.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::curl::{Call, Client};
use crate::support::deployer::{AUDIENCE, Setup};
use crate::support::launcher::{KINDS, Kind, Place, launch, launch_with};
use crate::support::oidc::Issuer;
use crate::support::process::{Running, processes_in, run, text};
use crate::support::{came_true, free_port, wait_until};

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
        setup.command_script(&format!(
            "echo before the gate; env; while [ ! -e {} ]; do sleep 0.05; done; echo after the gate",
            gate.display()
        ));
        setup.set("DEPLOYER_LOG", "trace");
        run(&mut setup.command(&["init"]));
        Gated { issuer, setup, gate }
    }

    fn client(&self) -> Client {
        self.setup.client()
    }

    fn post(&self) -> Call {
        let token = self.issuer.mint(AUDIENCE);
        self.client()
            .start_post("/deploy", &token, r#"{"version":"1.2.3"}"#)
    }

    /// A run that has come to the gate; its id.
    fn run(&self) -> (Call, String) {
        let mut call = self.post();
        let first: Value = serde_json::from_str(&call.wait_for("run_id")).unwrap();
        call.wait_for("before the gate");
        (call, first["run_id"].as_str().unwrap().to_owned())
    }

    fn open_gate(&self) {
        fs::write(&self.gate, "").unwrap();
    }

    fn runs(&self) -> Value {
        serde_json::from_str(&self.client().get("/runs").body()).unwrap()
    }
}

/// The promise, for one kind of starter.
fn a_run_outlives(kind: Kind) {
    let mut gated = Gated::new();
    let launcher = launch(kind, &mut gated.setup);
    let (call, id) = gated.run();
    assert_eq!(gated.client().get("/healthz").status, 200);
    launcher.kill();

    let launcher = launch(kind, &mut gated.setup);
    assert_eq!(gated.runs()["running"]["run_id"], id.as_str());
    let mut second = gated.post();
    let queued: Value = serde_json::from_str(&second.wait_for("queued")).unwrap();
    assert!(queued["message"].as_str().unwrap().contains(&id), "{queued}");
    let path = format!("/runs/{id}/log");
    let follower = gated.client().start_get(&path, &gated.issuer.mint(AUDIENCE));
    gated.open_gate();
    let (first, followed, second) = (call.finish(), follower.finish(), second.finish());
    followed.assert_ok();
    second.assert_ok();
    if !kind.takes_sessions_along() {
        assert_eq!(first.body(), followed.body());
    }
    let runs = gated.runs();
    let listed: Vec<&Value> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| &run["run_id"])
        .collect();
    assert_eq!(listed, [&second.outcome()["run_id"], &Value::from(id)]);
    assert_eq!(runs["running"], Value::Null);
    drop(launcher);
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
    assert_eq!(gated.runs()["running"]["run_id"], id.as_str());
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

/// A way to the daemon that keeps what the daemon says, a text a connection.
struct Tap {
    port: u16,
    said: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    fn before(port: u16) -> Tap {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let tap = Tap {
            port: listener.local_addr().unwrap().port(),
            said: Arc::default(),
        };
        let said = Arc::clone(&tap.said);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let said = Arc::clone(&said);
                thread::spawn(move || record(client, port, &said));
            }
        });
        tap
    }
}

fn record(mut client: TcpStream, port: u16, said: &Mutex<Vec<Vec<u8>>>) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut all, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = server.read(&mut part) {
        all.extend(&part[..count]);
        let _ = client.write_all(&part[..count]);
    }
    let _ = client.shutdown(Shutdown::Both);
    said.lock().unwrap().push(all);
}

/// Fails unless all of it is TLS records, whole ones, one after another (RFC 8446, 5.1).
fn assert_tls_alone(said: &[u8], kind: Kind) {
    let mut rest = said;
    while let [content, 3, 1..=4, high, low, more @ ..] = rest {
        assert!(
            (20..=23).contains(content),
            "{kind:?}: {:?}",
            String::from_utf8_lossy(rest)
        );
        let length = usize::from(*high) << 8 | usize::from(*low);
        rest = &more[length..];
    }
    assert!(rest.is_empty(), "{kind:?}: {:?}", String::from_utf8_lossy(rest));
}

#[test]
fn nothing_but_tls_is_ever_said_on_a_connection() {
    for kind in KINDS {
        let mut gated = Gated::new();
        let launcher = launch(kind, &mut gated.setup);
        gated.open_gate();
        let tap = Tap::before(gated.setup.port());
        let client = Client {
            url: format!("https://127.0.0.1:{}", tap.port),
            ..gated.client()
        };
        let token = gated.issuer.mint(AUDIENCE);
        client
            .post("/deploy", &token, r#"{"version":"1.2.3"}"#)
            .assert_ok();
        // What is refused is logged.
        assert_eq!(
            client.post("/deploy", &token, r#"{"version":"1.2.3"}"#).status,
            401
        );
        wait_until("both connections are over", SOON, || {
            tap.said.lock().unwrap().len() == 2
        });
        for said in tap.said.lock().unwrap().iter() {
            assert!(!said.is_empty());
            assert_tls_alone(said, kind);
        }
        let mut said = vec!["admitted as run", "token replay detected"];
        if kind.is_inetd() {
            said.extend(["\n<30>engram-deployer[", "\n<28>engram-deployer["]);
        }
        launcher.log_with(&said);
    }
}

/// What comes on a raw connection until its end.
fn all_that_is_said(port: u16) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut said);
    said
}

#[test]
fn wrong_settings_and_wrong_words_are_told_to_syslog_and_not_to_the_connection() {
    for kind in [Kind::InetdNowait, Kind::XinetdNowait] {
        let mut gated = Gated::new();
        gated.setup.set("DEPLOYER_QUEUE_MAX", "many");
        let launcher = launch(kind, &mut gated.setup);
        assert_eq!(all_that_is_said(gated.setup.port()), b"", "{kind:?}");
        launcher.log_with(&["<27>engram-deployer[", "DEPLOYER_QUEUE_MAX is `many`"]);
    }
}

#[test]
fn a_peer_in_neither_list_costs_no_front_and_is_told_nothing() {
    let mut gated = Gated::new();
    gated.setup.set("DEPLOYER_ALLOWED_IPS", "127.0.0.9");
    gated.setup.set("DEPLOYER_STATUS_ALLOWED_IPS", "127.0.0.9");
    // Starting one would fail, and be told.
    fs::write(&gated.setup.certificate().key, "no key").unwrap();
    let launcher = launch(Kind::InetdNowait, &mut gated.setup);
    assert_eq!(all_that_is_said(gated.setup.port()), b"");
    let log = launcher.log_with(&["in neither list"]);
    assert!(!log.contains("private key"), "{log}");
}

#[test]
fn every_one_of_several_listening_sockets_is_served() {
    let mut gated = Gated::new();
    let file = gated.setup.use_env_file();
    let ports = [free_port(), free_port(), free_port()];
    let mut command = Command::new("systemd-socket-activate");
    command.args(
        ports
            .iter()
            .flat_map(|port| ["-l".to_owned(), format!("127.0.0.1:{port}")]),
    );
    command
        .arg(env!("CARGO_BIN_EXE_engram-deployer"))
        .arg("serve")
        .arg("--env-file")
        .arg(file);
    let _running = Running::start(&mut command, &gated.setup.folder().join("activate.log"));
    let client = |port| Client {
        url: format!("https://127.0.0.1:{port}"),
        ..gated.client()
    };
    for port in ports.into_iter().chain(ports) {
        assert!(
            came_true(SOON, || client(port).get("/healthz").status == 200),
            "port {port}"
        );
    }
}

#[test]
fn a_socket_that_is_of_no_use_is_refused_with_a_sentence() {
    let gated = Gated::new();
    let socket = gated.setup.folder().join("unix.socket");
    let mut command = Command::new("systemd-socket-activate");
    command
        .arg("-l")
        .arg(&socket)
        .arg(env!("CARGO_BIN_EXE_engram-deployer"))
        .arg("serve");
    let log = gated.setup.folder().join("activate.log");
    let mut running = Running::start(&mut command, &log);
    wait_until("a unix socket", SOON, || UnixStream::connect(&socket).is_ok());
    wait_until("an end", SOON, || running.ended());
    let said = fs::read_to_string(log).unwrap();
    assert!(
        said.contains("engram-deployer: LISTEN_FDS has no TCP socket; it should have"),
        "{said}"
    );
}

#[test]
fn what_was_announced_to_somebody_else_and_what_is_no_tcp_socket_means_nothing() {
    let inputs: [fn() -> std::process::Stdio; 3] = [
        || std::os::fd::OwnedFd::from(UnixStream::pair().unwrap().0).into(),
        || fs::File::open("/etc/passwd").unwrap().into(),
        || std::os::fd::OwnedFd::from(std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap()).into(),
    ];
    for input in inputs {
        let gated = Gated::new();
        let mut command = gated.setup.command(&["serve"]);
        command
            .env("LISTEN_PID", "1")
            .env("LISTEN_FDS", "1")
            .stdin(input());
        let mut daemon = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let bound = came_true(SOON, || gated.client().get("/healthz").status == 200);
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        assert!(bound);
    }
}

/// The processes below `ancestor`: what each was started as, and with which environment.
fn environments_below(ancestor: i32) -> Vec<(String, String)> {
    let read = |pid, name| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let mut found = Vec::new();
    let mut left = vec![ancestor];
    while let Some(pid) = left.pop() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            let child = child.parse::<i32>().unwrap();
            let [line, environment] = ["cmdline", "environ"].map(|name| text(&read(child, name)));
            // One that is just being started is still its parent's image.
            if line != text(&read(pid, "cmdline")) {
                found.push((line, environment));
                left.push(child);
            }
        }
    }
    found
}

#[test]
fn no_word_of_a_starter_reaches_a_child() {
    let mut gated = Gated::new();
    let file = gated.setup.use_env_file();
    let folder = gated.setup.folder().path().to_owned();
    let _heard = UnixDatagram::bind(folder.join("notify")).unwrap();
    let notify = format!("NOTIFY_SOCKET={}", folder.join("notify").display());
    let mut command = Command::new("systemd-socket-activate");
    command.args([
        "-l",
        &format!("127.0.0.1:{}", gated.setup.port()),
        "--fdname",
        "name",
    ]);
    for word in [notify.as_str(), "WATCHDOG_USEC=10000000", "SECRET=word"] {
        command.args(["-E", word]);
    }
    command
        .arg(env!("CARGO_BIN_EXE_engram-deployer"))
        .arg("serve")
        .arg("--env-file")
        .arg(file);
    let daemon = Running::start(&mut command, &folder.join("activate.log"));
    wait_until("an answer", SOON, || gated.client().get("/healthz").status == 200);
    let (call, _) = gated.run();
    let own = fs::read(format!("/proc/{}/environ", daemon.pid())).unwrap();
    let own = String::from_utf8_lossy(&own).into_owned();
    for word in [
        "LISTEN_FDS=1",
        "LISTEN_FDNAMES=name",
        "NOTIFY_SOCKET=",
        "WATCHDOG_USEC=",
        "SECRET=",
    ] {
        assert!(own.contains(word), "the daemon itself has it: {own:?}");
    }
    let children = environments_below(daemon.pid());
    for role in ["session", "front", "run"] {
        assert!(
            children
                .iter()
                .any(|(line, _)| line.contains(&format!("\0{role}\0"))),
            "{role}: {children:?}"
        );
    }
    for (line, environment) in &children {
        for word in ["LISTEN_", "NOTIFY_", "WATCHDOG_", "SECRET"] {
            assert!(!environment.contains(word), "{line:?} has {environment:?}");
        }
    }
    gated.open_gate();
    // The deploy's own command prints what it was given.
    let said = call.finish().body();
    assert!(
        said.contains("DEPLOYER_IMAGE_REF=") && !said.contains("LISTEN_") && !said.contains("NOTIFY_"),
        "{said}"
    );
}

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
