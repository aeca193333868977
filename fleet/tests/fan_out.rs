//! [fan_out] Many listeners, each found, accepted and final.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::Ran;
use crate::support::fake_host::FakeHost;
use crate::support::server::Server;

fn count() -> usize {
    if crate::support::all() { 200 } else { 40 }
}

fn listeners(server: &Server, behaviour: &str) -> Vec<FakeHost> {
    let mut hosts: Vec<FakeHost> = Vec::new();
    for number in 0..count() {
        let mut host = FakeHost::prepare(server, &format!("h{number}"), "testhost1");
        host.set("--heartbeat-interval", "1");
        host.behave(behaviour);
        host.spawn();
        hosts.push(host);
    }
    hosts.iter().for_each(|host| host.wait_connected(0));
    hosts
}

fn all_completed(ran: &Ran) {
    let end = ran.end();
    let hosts = end["hosts"].as_object().unwrap();
    assert_eq!(hosts.len(), count(), "{}", end["error"]);
    assert!(hosts.values().all(|host| host["status"] == "completed"), "{}", end["error"]);
    assert_eq!(ran.status, 0);
}

#[test]
fn fan_out_every_host_is_found_accepts_and_ends() {
    let server = Server::many_hosts();
    let hosts = listeners(&server, "switch_to 2");
    let ran = server.deploy("test-deployer", "deploy.test.all", &["--accept-wait", "30"]);
    all_completed(&ran);
    let plan = &ran.lines()[0];
    assert_eq!(plan["hosts"].as_array().unwrap().len(), hosts.len(), "discovery found each: {}", plan["message"]);
    assert!(hosts.iter().all(|host| host.calls().len() == 1));
}

#[test]
fn fan_out_a_slow_deployer_loses_no_status() {
    let server = Server::many_hosts();
    let _hosts = listeners(&server, "for line in 1 2 3; do echo $line; sleep 1.2; done; switch_to 2");
    let mut command = server.prepared("test-deployer", &["deploy", "deploy.test.all", "--json", "--accept-wait", "30"]);
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let begin = Instant::now();
    let watcher = std::thread::spawn(move || {
        // Asleep for most of the time: the messages wait in the socket and in its queue.
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(300));
            if nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(700));
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).ok();
        }
    });
    let ran = Ran::of(&child.wait_with_output().unwrap(), begin);
    watcher.join().unwrap();
    all_completed(&ran);
    let statuses = ran.lines().iter().filter(|line: &&Value| line["phase"] == "host").count();
    assert!(statuses >= count() * 4, "{statuses} of {} hosts", count());
}
