//! [caps] Connections that nobody admits do not keep out those that should be served.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::Issuer;
use crate::support::process::go_first;

/// Connects from `source`, an address of loopback of its own, and says nothing.
fn half_open(source: [u8; 4], port: u16) -> TcpStream {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).unwrap();
    let local = SocketAddr::from((Ipv4Addr::from(source), 0));
    let SocketAddr::V4(local) = local else {
        unreachable!()
    };
    bind(socket.as_raw_fd(), &SockaddrIn::from(local)).unwrap();
    connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    TcpStream::from(socket)
}

/// Whether the daemon has closed the connection; one that it holds says nothing.
fn is_closed(mut connection: &TcpStream) -> bool {
    connection
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    matches!(connection.read(&mut [0]), Ok(0)) || connection.take_error().is_ok_and(|error| error.is_some())
}

/// Holds all that `source` may have: connects until it is refused, and returns what is held.
fn fill(deployer: &Deployer, source: [u8; 4]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(half_open(source, deployer.port()));
        // A session a connection: the next one must be warm before this one can be judged.
        std::thread::sleep(Duration::from_millis(20));
    }
    held.retain(|connection| !is_closed(connection));
    held
}

fn deployer(issuer: &Issuer) -> Deployer {
    let mut setup = Setup::new(issuer);
    setup
        .set("DEPLOYER_ALLOWED_IPS", "127.0.0.1,127.0.0.9")
        .set("DEPLOYER_MAX_SESSIONS", "16")
        .set("DEPLOYER_MAX_SESSIONS_PER_SOURCE", "8");
    setup.start()
}

#[test]
fn neither_a_greedy_allowed_peer_nor_four_strangers_keep_the_allowed_source_out() {
    // The connections must all be made before the first is let go.
    go_first();
    let issuer = Issuer::start();
    let deployer = deployer(&issuer);
    let started = Instant::now();
    let greedy = fill(&deployer, [127, 0, 0, 9]);
    let strangers: Vec<TcpStream> = (2..6)
        .flat_map(|last| fill(&deployer, [127, 0, 0, last]))
        .collect();
    assert!(
        started.elapsed() < Duration::from_secs(9),
        "the half-open ones must still be there for this to say anything"
    );
    assert!(
        greedy.len() <= 8 && greedy.len() >= 7,
        "one source holds {}",
        greedy.len()
    );
    assert!(
        strangers.len() <= 8 && strangers.len() >= 5,
        "strangers hold {}",
        strangers.len()
    );
    let answer = deployer
        .client()
        .post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.2.3"}"#);
    assert_eq!(answer.outcome()["status"], "ok", "{answer:?}");
}

#[test]
fn a_half_open_connection_is_let_go_after_its_deadline() {
    let issuer = Issuer::start();
    let deployer = deployer(&issuer);
    let connection = half_open([127, 0, 0, 2], deployer.port());
    let started = Instant::now();
    connection
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let ended = (&connection).read(&mut [0]);
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let took = started.elapsed();
    assert!(
        took > Duration::from_secs(8) && took < Duration::from_secs(40),
        "let go after {took:?}"
    );
}
