//! The real parts that the promises are kept against: dockerd, a registry, images, an issuer, curl, the daemon itself.
//!
//! Each is a value: making it starts it, dropping it ends it and takes away what it left. Names, ports and folders are
//! unique, so that tests run side by side. A part that is not installed fails the test and says what to install; nothing
//! is ever skipped. Most tests want a [`host::Host`], which has all the parts of one deploy.

#![allow(dead_code, reason = "a kit: not every tool is in use at all times")]

pub mod booted;
pub mod certificate;
pub mod curl;
pub mod deployer;
pub mod docker;
pub mod engine;
pub mod folder;
pub mod front;
pub mod git_server;
pub mod github_api;
pub mod golden;
pub mod held;
pub mod host;
pub mod images;
pub mod launcher;
pub mod oidc;
pub mod outlive;
pub mod pair;
pub mod process;
pub mod registry;
pub mod roles;
pub mod server;
pub mod source;
pub mod template;
#[cfg(feature = "terraform")]
pub mod terraform;
pub mod tls_client;
pub mod token;
pub mod way;
pub mod web;
pub mod world;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `word`, made unique over all test processes of this machine; a valid name for a container.
pub fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "engram-test-{}-{}-{word}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// A port of loopback that was free a moment ago, for somebody else to listen on. None that the kernel gives to a client
/// or to whoever asks for any; another test process may take it first, so whoever binds it must cope.
pub fn free_port() -> u16 {
    const FROM: u32 = 10_000;
    const PORTS: u32 = 20_000;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(97);
    loop {
        let port = FROM + (start + COUNT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        if let Some(free) = u16::try_from(port).ok().filter(|port| is_free(*port)) {
            return free;
        }
    }
}

/// Bound, but never listened on: that would keep the port from others for as long as a child that is being started right
/// now has a copy of the socket.
fn is_free(port: u16) -> bool {
    let socket = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .expect("a socket");
    setsockopt(&socket, sockopt::ReuseAddr, &true).expect("SO_REUSEADDR");
    let address = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
    bind(socket.as_raw_fd(), &address).is_ok()
}

/// Waits until `condition` holds; fails with `what` when it does not within `limit`.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    assert!(came_true(limit, condition), "not within {limit:?}: {what}");
}

/// Whether `condition` came to hold within `limit`.
pub fn came_true(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        sleep(Duration::from_millis(10));
    }
}

/// Whether the long tests are asked for (`tests/run.sh --all`).
pub fn long_tests() -> bool {
    std::env::var("ENGRAM_TESTS").is_ok_and(|value| value == "all")
}
