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
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `word`, made unique over all test processes that share a docker or a folder; a valid name for a container. The process
/// id alone would not do: it is given again, when a test that was killed has left its container, and another namespace may
/// give the same one at the same time. It stands first, because it says whose things may be cleared away.
pub fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    static CHANCE: LazyLock<u16> = LazyLock::new(chance);
    let (pid, chance) = (std::process::id(), *CHANCE);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("engram-test-{pid}-{chance:04x}{count}-{word}")
}

fn chance() -> u16 {
    let mut bytes = [0; 2];
    let mut source = File::open("/dev/urandom").expect("/dev/urandom");
    source.read_exact(&mut bytes).expect("two random bytes");
    u16::from_ne_bytes(bytes)
}

/// A port of loopback that was free a moment ago, for somebody else to listen on. None that the kernel gives to a client
/// or to whoever asks for any, and none that another test process is given; a program that is no test may take it first, so
/// whoever binds it must cope.
pub fn free_port() -> u16 {
    static BLOCKS: Mutex<Vec<Block>> = Mutex::new(Vec::new());
    let mut blocks = BLOCKS.lock().expect("the ports of this process");
    loop {
        let port = blocks.last_mut().and_then(|block| block.ports.next());
        match port {
            Some(port) if is_free(port) => return port,
            Some(_) => {}
            None => blocks.push(Block::take()),
        }
    }
}

/// Ports that are this process's for as long as it lives, because it has bound the name of the block, which is one of this
/// network as the ports are.
struct Block {
    _name: UnixDatagram,
    ports: Range<u16>,
}

impl Block {
    fn take() -> Block {
        const FROM: u16 = 10_000;
        const BLOCKS: u16 = 100;
        const SIZE: u16 = 200;
        let first = chance();
        let free = (0..BLOCKS).find_map(|number| {
            let start = FROM + first.wrapping_add(number) % BLOCKS * SIZE;
            let name = SocketAddr::from_abstract_name(format!("engram-test-ports-{start}"));
            let name = UnixDatagram::bind_addr(&name.expect("a name")).ok()?;
            Some(Block {
                _name: name,
                ports: start..start + SIZE,
            })
        });
        free.expect("ports that no other test process has")
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

/// The least that anything is waited for. A limit ends a test that has failed; how long what is right takes depends on what
/// else the machine does.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds; fails with `what` when it does not within `limit`, or [`PATIENCE`] if that is longer.
#[track_caller]
pub fn wait_until(what: &str, limit: Duration, condition: impl FnMut() -> bool) {
    let limit = limit.max(PATIENCE);
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
