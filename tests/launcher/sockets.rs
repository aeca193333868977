//! What a starter may leave: one socket, several, useless ones, and words for nobody else.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{Shutdown, shutdown};

use super::{Gated, SOON};
use crate::support::curl::Client;
use crate::support::deployer::AUDIENCE;
use crate::support::process::{Running, installed, text};
use crate::support::{PATIENCE, came_true, free_port, wait_until};

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
            came_true(PATIENCE, || client(port).get("/healthz").status == 200),
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
    let inputs: [fn() -> Stdio; 3] = [
        || OwnedFd::from(UnixStream::pair().unwrap().0).into(),
        || fs::File::open("/etc/passwd").unwrap().into(),
        || OwnedFd::from(std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap()).into(),
    ];
    for input in inputs {
        let gated = Gated::new();
        let mut command = gated.setup.command(&["serve"]);
        command
            .env("LISTEN_PID", "1")
            .env("LISTEN_FDS", "1")
            .stdin(input());
        let mut daemon = command.stdout(Stdio::null()).spawn().unwrap();
        let bound = came_true(PATIENCE, || gated.client().get("/healthz").status == 200);
        kill_and_wait(&mut daemon);
        assert!(bound);
    }
}

/// A daemon with `input` as its standard input, as inetd starts it, but with a log of its own.
fn serve_with(gated: &Gated, input: OwnedFd) -> Child {
    let log = gated.setup.folder().join("deployer.log");
    let log = fs::File::options().create(true).append(true).open(log).unwrap();
    let mut command = gated.setup.command(&["serve"]);
    let command = command.stdin(input).stdout(Stdio::null()).stderr(log);
    command.spawn().unwrap()
}

#[test]
fn a_listener_that_its_starter_shuts_is_tried_ever_more_slowly() {
    let gated = Gated::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut daemon = serve_with(&gated, listener.try_clone().unwrap().into());
    let client = Client {
        url: format!("https://{}", listener.local_addr().unwrap()),
        ..gated.client()
    };
    wait_until("an answer", SOON, || client.get("/healthz").status == 200);
    shutdown(listener.as_raw_fd(), Shutdown::Both).unwrap();
    let tried = |said: &str| said.matches("accept a connection: Invalid argument").count();
    wait_until("it is tried again", SOON, || tried(&gated.setup.log()) >= 2);
    thread::sleep(Duration::from_secs(3));
    kill_and_wait(&mut daemon);
    let said = gated.setup.log();
    let tried = tried(&said);
    assert!(tried <= 8, "{tried} times in 3 s: {said}");
    assert_eq!(said.matches("ended without a connection").count(), 1, "{said}");
}

fn kill_and_wait(daemon: &mut Child) {
    daemon.kill().unwrap();
    daemon.wait().unwrap();
}

#[test]
fn standard_streams_that_are_closed_or_connections_keep_nobody_from_serving_and_carry_no_word() {
    let closed = |script: &str| {
        let gated = Gated::new();
        let mut command = Command::new("sh");
        let serve = gated.setup.command(&["serve"]);
        command
            .args(["-c", script])
            .arg(serve.get_program())
            .args(serve.get_args());
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        (command, gated)
    };
    let both_ends = || {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (OwnedFd::from(listener.accept().unwrap().0), peer)
    };
    for script in [
        "exec \"$0\" \"$@\" <&- >&- 2>&-",
        "exec \"$0\" \"$@\" <&-",
        "exec \"$0\" \"$@\"",
    ] {
        let (mut command, gated) = closed(script);
        let ((output, mut one), (errors, mut other)) = (both_ends(), both_ends());
        let mut daemon = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .unwrap();
        drop(command);
        let served = came_true(PATIENCE, || gated.client().get("/healthz").status == 200);
        kill_and_wait(&mut daemon);
        assert!(served, "{script}");
        for peer in [&mut one, &mut other] {
            let mut said = String::new();
            peer.set_read_timeout(Some(SOON)).unwrap();
            peer.read_to_string(&mut said).unwrap();
            assert_eq!(said, "", "{script}");
        }
    }
}

#[test]
fn sockets_that_were_announced_and_are_not_there_are_named() {
    let gated = Gated::new();
    let serve = gated.setup.command(&["serve"]);
    let mut command = Command::new("sh");
    command
        .args(["-c", "LISTEN_PID=$$ LISTEN_FDS=2 exec \"$0\" serve 3</dev/null"])
        .arg(serve.get_program());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = text(&output.stderr);
    assert!(
        said.contains("take descriptor 4 of LISTEN_FDS: Bad file"),
        "{said}"
    );
}

#[test]
fn where_the_streams_cannot_be_moved_not_a_word_is_said() {
    let gated = Gated::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let connection = OwnedFd::from(listener.accept().unwrap().0);
    let serve = gated.setup.command(&["serve"]);
    let mut command = installed("unshare", "util-linux");
    // Without /dev/null there is nothing to put in their place.
    command
        .args([
            "--mount",
            "sh",
            "-c",
            "mount -t tmpfs dev /dev && exec \"$0\" serve",
        ])
        .arg(serve.get_program())
        .stdin(connection.try_clone().unwrap())
        .stdout(connection.try_clone().unwrap())
        .stderr(connection);
    let status = command.status().unwrap();
    drop(command);
    assert_eq!(status.code(), Some(3));
    let mut said = String::new();
    peer.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}

#[test]
fn two_daemons_with_one_state_folder_share_tokens_queue_and_runs() {
    let gated = Gated::new();
    let listeners = [0, 0].map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
    let clients = listeners.each_ref().map(|listener| Client {
        url: format!("https://{}", listener.local_addr().unwrap()),
        ..gated.client()
    });
    let [mut first, mut second] = listeners.map(|listener| serve_with(&gated, listener.into()));
    let token = gated.issuer.mint(AUDIENCE);
    let body = r#"{"version":"1.2.3"}"#;
    let mut call = clients[0].start_post("/deploy", &token, body);
    call.wait_for("before the gate");
    assert_eq!(clients[1].post("/deploy", &token, body).status, 401);
    let mut queued = clients[1].start_post("/deploy", &gated.issuer.mint(AUDIENCE), body);
    queued.wait_for("queued");
    kill_and_wait(&mut first);
    let runs: serde_json::Value = serde_json::from_str(&clients[1].get("/runs").body()).unwrap();
    assert!(runs["running"]["run_id"].is_string(), "{runs}");
    gated.open_gate();
    call.finish().assert_ok();
    queued.finish().assert_ok();
    kill_and_wait(&mut second);
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
