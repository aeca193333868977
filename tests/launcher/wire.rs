//! What goes over a connection, and what does not.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{Gated, SOON};
use crate::support::curl::Client;
use crate::support::deployer::AUDIENCE;
use crate::support::launcher::{KINDS, Kind, launch};
use crate::support::wait_until;

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
fn the_caps_hold_for_a_connection_that_a_starter_accepted() {
    for kind in [Kind::InetdNowait, Kind::SystemdConnected] {
        let mut gated = Gated::new();
        gated.setup.set("DEPLOYER_MAX_SESSIONS_PER_SOURCE", "2");
        let _launcher = launch(kind, &mut gated.setup);
        let connect = || TcpStream::connect(("127.0.0.1", gated.setup.port())).unwrap();
        let connections: Vec<TcpStream> = (0..6).map(|_| connect()).collect();
        for connection in &connections {
            connection
                .set_read_timeout(Some(Duration::from_millis(10)))
                .unwrap();
        }
        // Silence is a connection that is held; those beyond the cap have ended.
        let held = |mut connection: &TcpStream| {
            let read = connection.read(&mut [0]);
            matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        };
        wait_until("two of six are held", SOON, || {
            connections.iter().filter(|connection| held(connection)).count() == 2
        });
        assert_ne!(gated.client().get("/healthz").status, 200, "{kind:?}");
        drop(connections);
        wait_until("room again", SOON, || {
            gated.client().get("/healthz").status == 200
        });
    }
}
