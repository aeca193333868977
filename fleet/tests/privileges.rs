//! [privileges] What each process of the listener has, and what it has not. As root.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::fake_host::{FakeHost, children_of};
use crate::support::server::Server;
use crate::support::wait_until;

fn field(pid: i32, name: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
    line.split_once(':').unwrap().1.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn descriptors(pid: i32) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
}

fn read(pid: i32, name: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{name}")).unwrap()).into_owned()
}

/// Inodes of the TCP sockets of this machine.
fn tcp_sockets() -> BTreeSet<String> {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp"].map(|path| std::fs::read_to_string(path).unwrap());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines.map(|line| format!("socket:[{}]", line.split_whitespace().nth(9).unwrap())).collect()
}

#[test]
fn privileges_the_half_has_none_and_the_keeper_has_no_network() {
    assert!(nix::unistd::geteuid().is_root(), "run this as root");
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    // A name, which is looked up on a thread of the half, although it may start none.
    host.set("--nats-url", &server.url().replace("127.0.0.1", "localhost"));
    host.variable("SECRET", "of-the-keeper").run();
    let (keeper, half) = (host.pid(), host.half());
    assert_eq!(field(half, "Uid"), "65524 65524 65524 65524");
    assert_eq!(field(half, "Gid"), "65524 65524 65524 65524");
    assert_eq!(field(half, "Groups"), "");
    assert_eq!(field(half, "NoNewPrivs"), "1");
    assert_eq!(field(half, "CapEff"), "0000000000000000");
    assert_eq!(field(half, "CapPrm"), "0000000000000000");
    assert_eq!(read(half, "environ").replace('\0', ""), "", "an empty environment");
    let limits = read(half, "limits");
    for limit in ["Max processes", "Max core file size", "Max file size"] {
        let line = limits.lines().find(|line| line.starts_with(limit)).unwrap();
        assert_eq!(line.split_whitespace().filter(|word| *word == "0").count(), 2, "{line}");
    }
    // The link, /dev/null, and what tokio and the one connection need.
    let sockets = |pid: i32| -> Vec<String> {
        let names = descriptors(pid).into_iter().map(|path| path.to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("socket:")).collect()
    };
    let files: Vec<PathBuf> = descriptors(half).into_iter().filter(|path| path.starts_with("/")).collect();
    assert!(files.iter().all(|path| path.as_os_str() == "/dev/null"), "{files:?}");
    let tcp = tcp_sockets();
    assert_eq!(sockets(half).iter().filter(|socket| tcp.contains(*socket)).count(), 1, "one connection");
    assert_eq!(sockets(keeper).len(), 1, "the link alone: {:?}", descriptors(keeper));
    assert!(children_of(half).is_empty());
    assert_eq!(children_of(keeper), [half]);
}

#[test]
fn privileges_the_seed_is_in_no_argv_environment_log_or_core() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.flag("--debug");
    host.behave("sleep 2; switch_to 2");
    host.run();
    let seed = server.keys.test_host.reveal().to_owned();
    let child = server.prepared("test-deployer", &["deploy", "deploy.test.all", "--json"]).spawn().unwrap();
    let mut deployer = crate::support::Process(child);
    wait_until("nixos-rebuild runs", || host.calls().len() == 1);
    let keeper = host.pid();
    let mut processes = vec![keeper, host.half()];
    for child in children_of(keeper) {
        processes.push(child);
        processes.extend(children_of(child));
    }
    assert!(processes.len() >= 5, "keeper, half, run, tool: {processes:?}");
    for pid in &processes {
        for place in ["cmdline", "environ"] {
            assert!(!read(*pid, place).contains(&seed), "{place} of {pid}");
        }
    }
    for pid in [keeper, host.half()] {
        let limits = read(pid, "limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    }
    assert_eq!(deployer.wait(), 0);
    assert!(!host.log().contains(&seed) && !host.log().contains("SU"), "{}", host.log());
    for file in walk(&host.state()) {
        assert!(!String::from_utf8_lossy(&std::fs::read(&file).unwrap()).contains(&seed), "{file:?}");
    }
    assert!(!host.calls()[0].contains("HOMELAB") && !host.calls()[0].contains("SECRET"), "{}", host.calls()[0]);
}

fn walk(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn privileges_the_half_ends_with_the_keeper_and_is_started_again_without_it() {
    let server = Server::start();
    let mut host = FakeHost::start(&server);
    let first = host.half();
    let before = host.connects();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first), nix::sys::signal::Signal::SIGKILL).unwrap();
    host.wait_connected(before);
    let second = host.half();
    assert_ne!(first, second);
    host.kill();
    wait_until("the half has ended", || !std::path::Path::new(&format!("/proc/{second}")).exists());
}
