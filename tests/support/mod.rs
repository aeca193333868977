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
pub mod template;
pub mod terraform;
pub mod tls_client;
pub mod token;
pub mod way;
pub mod web;
pub mod world;

use std::net::{Ipv4Addr, TcpListener};
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

/// A port of loopback that was free a moment ago. Another program may take it first; whoever binds it must cope.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("binding a port of loopback");
    listener.local_addr().expect("a listener's own address").port()
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
