//! [nixos_backend] What nixos-rebuild is called with, and what is made of what it does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::fake_host::{FakeHost, child_of};
use crate::support::server::Server;
use crate::support::{Ran, wait_until};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn deploy(server: &Server, more: &[&str]) -> (Ran, Value) {
    let ran = server.deploy("test-deployer", "deploy.test.all", more);
    let end = ran.end()["hosts"]["testhost1"].clone();
    (ran, end)
}

#[track_caller]
fn ends(server: &Server, more: &[&str], error: &str, words: &[&str]) -> Ran {
    let (ran, end) = deploy(server, more);
    assert_eq!((&end["status"], &end["error"]), (&json!("failed"), &json!(error)), "{end}");
    let message = end["message"].as_str().unwrap();
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert_eq!(ran.status, 1);
    ran
}

#[test]
fn nixos_backend_argv_and_environment_for_branches_tags_and_commits() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.variable("HTTP_COOKIE", "no").variable("NIX_PATH", "no").variable("https_proxy", "http://proxy");
    host.variable("GIT_TOKEN", "passed").flag("--pass-env").flag("GIT_TOKEN");
    host.run();
    let url = "git+https://git.example.com/u/c.git";
    for (more, action, reference, refresh) in [
        (vec![], "switch", format!("{url}?ref=master"), true),
        (vec!["--branch", "feature/x", "--action", "test"], "test", format!("{url}?ref=feature/x"), true),
        (vec!["--branch", "refs/tags/v1.0+1"], "switch", format!("{url}?ref=refs/tags/v1.0%2B1"), true),
        (vec!["--branch", COMMIT, "--action", "boot"], "boot", format!("{url}?rev={COMMIT}"), false),
        (vec!["--branch", COMMIT, "--on-branch", "main"], "switch", format!("{url}?ref=main&rev={COMMIT}"), false),
        (vec!["--action", "dry-activate"], "dry-activate", format!("{url}?ref=master"), true),
    ] {
        let before = host.calls().len();
        let (ran, _) = deploy(&server, &more);
        assert_eq!(ran.status, 0, "{}", ran.out);
        let last = if refresh { " [--refresh]" } else { "" };
        let argv = format!("argv [{action}] [--flake] [{reference}#testhost1]{last}");
        assert_eq!(host.calls()[before].lines().next(), Some(argv.as_str()));
    }
    let call = host.calls().pop().unwrap();
    let names: Vec<&str> = call.lines().skip(1).filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names, ["GIT_TOKEN", "HOME", "PATH", "PWD", "https_proxy"], "{call}");
    assert!(call.contains("HOME=/root"));
    host.kill();
    host.set("--flake-url", &format!("{url}?dir=hosts")).run();
    deploy(&server, &[]);
    assert!(host.calls().pop().unwrap().contains(&format!("[{url}?dir=hosts&ref=master#testhost1]")));
}

#[test]
fn nixos_backend_completed_says_generation_commit_and_reboot() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    host.script("nix", &format!("#!/bin/sh\necho \"$@\" >>$0.calls\necho '{{\"revision\":\"{COMMIT}\"}}'\n"));
    let (_, end) = deploy(&server, &[]);
    assert_eq!(end["message"], format!("Successfully switched to generation 2; commit {COMMIT}"));
    assert_eq!(end["revision"], COMMIT);
    let asked = std::fs::read_to_string(host.root().join("bin/nix.calls")).unwrap();
    assert!(asked.contains("flake metadata --json git+https://git.example.com/u/c.git?ref=master"), "{asked}");
    let (ran, end) = deploy(&server, &["--branch", COMMIT]);
    assert_eq!((&end["revision"], &ran.end()["revision"]), (&json!(COMMIT), &json!(COMMIT)));
    for part in ["kernel", "initrd", "kernel-modules"] {
        let before = host.calls().len() + 1;
        host.behave(&format!(
            "mkdir -p $R/store/new-{part}; switch_to {}; ln -sfn ../new-{part} $R/store/{}/{part}",
            before + 10,
            before + 10
        ));
        let (_, end) = deploy(&server, &["--branch", COMMIT]);
        assert!(end["message"].as_str().unwrap().ends_with("; reboot needed"), "{part}: {end}");
    }
}

#[test]
fn nixos_backend_a_build_that_fails_changes_nothing_and_says_why() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    host.behave("echo 'error: attribute foo missing' >&2; exit 1");
    ends(&server, &[], "build_failed", &["status 1", "attribute foo missing"]);
    host.behave("echo 'error: writing to file: No space left on device' >&2; exit 1");
    ends(&server, &[], "build_failed", &["No space left on device"]);
    host.behave("printf '\\033[31mred\\033[0m\\n'; exit 1");
    let (_, end) = deploy(&server, &[]);
    assert_eq!(end["error"], "build_failed");
    host.script("nixos-rebuild", "#!/no/such/shell\n");
    ends(&server, &[], "build_failed", &["No such file"]);
}

#[test]
fn nixos_backend_an_activation_that_fails_names_the_units() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    host.behave(
        "switch_to 2; echo 'warning: the following units failed: a.service, b.service' >&2
         echo \"Command '['/nix/store/x/bin/switch-to-configuration', 'switch']' returned non-zero exit status 4.\" >&2; exit 1",
    );
    ends(&server, &[], "activation_failed", &["generation 2", "a.service, b.service", "exit status 4"]);
    host.behave("install 3; exit 0");
    ends(&server, &[], "activation_failed", &["generation 3", "not what is active"]);
    host.behave("install 4; echo 'Could not acquire lock' >&2; exit 1");
    ends(&server, &[], "already_running", &["switch-to-configuration"]);
}

#[test]
fn nixos_backend_time_over_in_a_build_ends_the_group_and_what_ignores_term() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.set("--timeout", "1").set("--heartbeat-interval", "1").run();
    host.behave("(trap '' TERM; echo $$ >$R/unused; exec sleep 300) & echo $! >$R/grandchild; sleep 300");
    let begin = Instant::now();
    ends(&server, &["--timeout", "60"], "timeout", &["nothing was changed"]);
    assert!(begin.elapsed() >= Duration::from_secs(10), "KILL comes after 10 s");
    let pid = std::fs::read_to_string(host.root().join("grandchild")).unwrap();
    let gone = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.map_or(true, |stat| stat.contains(") Z "))
    };
    wait_until("the grandchild is gone", gone);
}

#[test]
fn nixos_backend_time_over_in_an_activation_is_waited_for() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.set("--timeout", "1").set("--heartbeat-interval", "1").run();
    host.behave("install 2; sleep 3; activate 2");
    let (ran, end) = deploy(&server, &["--timeout", "60"]);
    assert_eq!((ran.status, &end["status"]), (0, &json!("completed")), "{end}");
    // systemd's unit of an activation, which outlives nixos-rebuild.
    let unit = "run/systemd/transient/nixos-rebuild-switch-to-configuration.service";
    host.behave(&format!(
        "mkdir -p $R/run/systemd/transient; : >$R/{unit}; (sleep 3; activate 3; rm $R/{unit}) >/dev/null 2>&1 </dev/null & sleep 2; install 3"
    ));
    let (ran, end) = deploy(&server, &["--timeout", "60"]);
    assert_eq!((ran.status, &end["status"]), (0, &json!("completed")), "{end}");
}

#[test]
fn nixos_backend_progress_carries_the_last_line() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    host.set("--heartbeat-interval", "1").run();
    host.behave("echo 'copying path 1'; sleep 2; echo 'copying path 2'; sleep 2; switch_to 2");
    let (ran, _) = deploy(&server, &[]);
    let started: Vec<String> = ran
        .lines()
        .iter()
        .filter(|line| line["host_status"] == "started")
        .map(|line| line["message"].as_str().unwrap().to_owned())
        .collect();
    assert!(started.iter().any(|line| line == "copying path 1"), "{started:?}");
    assert!(started.iter().any(|line| line == "copying path 2"), "{started:?}");
}

#[test]
fn nixos_backend_a_stopped_run_ends_what_it_builds() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    host.behave("sleep 300");
    let child = server
        .prepared("test-deployer", &["deploy", "deploy.test.all", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let child = child.unwrap();
    wait_until("it builds", || host.calls().len() == 1);
    let run = child_of(host.pid(), "run").unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(run), nix::sys::signal::Signal::SIGTERM).unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap(), Instant::now());
    assert_eq!(ran.end()["hosts"]["testhost1"]["error"], "interrupted", "{}", ran.out);
}

#[test]
fn nixos_backend_a_state_folder_that_cannot_be_written_rejects() {
    let server = Server::start();
    let host = FakeHost::start(&server);
    // A file where the folder of runs should be: as with a full disk, no run can be recorded.
    std::fs::write(host.state().join("runs"), "").unwrap();
    let (ran, end) = deploy(&server, &[]);
    assert_eq!((ran.status, &end["status"], &end["error"]), (1, &json!("rejected"), &json!("held")), "{end}");
    assert!(host.calls().is_empty());
    std::fs::remove_file(host.state().join("runs")).unwrap();
    assert_eq!(deploy(&server, &[]).0.status, 0);
}

/// A disk of a few pages where a host's state goes.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn below(host: &FakeHost) -> SmallDisk {
        std::fs::create_dir(host.state()).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"]).arg(host.state());
        assert!(mount.status().unwrap().success());
        SmallDisk(host.state())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

#[test]
fn nixos_backend_a_log_that_fills_the_disk_makes_room_for_the_result() {
    let server = Server::start();
    let mut host = FakeHost::prepare(&server, "testhost1", "testhost1");
    let _disk = SmallDisk::below(&host);
    host.run();
    let fill = "head -c 1000000 /dev/zero | tr '\\0' x";
    host.behave(&format!("{fill}; exit 1"));
    ends(&server, &[], "build_failed", &["status 1"]);
    host.behave(&format!("{fill}; switch_to 2"));
    let (ran, end) = deploy(&server, &[]);
    assert_eq!((ran.status, &end["status"]), (0, &json!("completed")), "{end}");
    host.behave("switch_to 3");
    assert_eq!(deploy(&server, &[]).0.status, 0);
}
