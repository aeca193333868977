//! [booted] On a host whose process 1 is systemd: the module's unit with its sandbox, runs in units of their own, and what
//! outlives what.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::module::evaluate;
use crate::support::fake_host::{FakeHost, children_of};
use crate::support::server::Server;
use crate::support::{Folder, Process, Ran, binary, text, wait_until};

const UNIT: &str = "homelab-deploy-listener";

struct Booted {
    machine: Process,
    folder: Folder,
    first: i32,
}

impl Booted {
    fn start(shared: &Folder) -> Booted {
        let folder = Folder::new();
        let log = std::fs::File::create(folder.path().join("boot.log")).unwrap();
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "sh"])
            .arg(format!("{}/../tests/support/systemd/boot.sh", env!("CARGO_MANIFEST_DIR")))
            .args([folder.path(), shared.path(), &binary()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let machine = Process(command.spawn().unwrap());
        let mut booted = Booted { machine, folder, first: 0 };
        wait_until("systemd is process 1", || {
            let log = std::fs::read_to_string(booted.folder.path().join("boot.log")).unwrap();
            assert!(booted.machine.is_alive(), "no host: {log}");
            let below = children_of(booted.machine.pid()).into_iter().flat_map(children_of);
            booted.first = below.into_iter().next().unwrap_or_default();
            let comm = std::fs::read_to_string(format!("/proc/{}/comm", booted.first));
            let socket = format!("/proc/{}/root/run/systemd/private", booted.first);
            comm.is_ok_and(|comm| comm == "systemd\n") && std::path::Path::new(&socket).exists()
        });
        booted.run(&["systemctl", "is-system-running", "--wait"]);
        booted
    }

    fn run(&self, words: &[&str]) -> String {
        let target = format!("--target={}", self.first);
        let spaces = ["--mount", "--pid", "--cgroup", "--uts", "--ipc"];
        let output = Command::new("nsenter").arg(target).args(spaces).args(words).output().unwrap();
        text(&output.stdout) + &text(&output.stderr)
    }

    fn property(&self, unit: &str, name: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", name, unit]).trim().to_owned()
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::write(format!("/proc/{}/root{path}", self.first), content).unwrap();
    }

    fn journal(&self) -> String {
        self.run(&["journalctl", "--no-pager", "-o", "cat", "-u", UNIT])
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.run(&["journalctl", "--no-pager", "-n", "100", "-o", "short-monotonic"]));
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.first), nix::sys::signal::Signal::SIGKILL).ok();
        // boot.sh removes the host's control groups.
        crate::support::within(std::time::Duration::from_secs(10), || !self.machine.is_alive());
    }
}

/// The unit as NixOS writes it, from what the module evaluates to.
fn unit(server: &Server, more: &str) -> String {
    let arguments = [
        "--root",
        "/repository/root",
        "--nixos-rebuild",
        "/repository/root/bin/nixos-rebuild",
        "--nix",
        "/repository/root/bin/nix",
    ];
    let settings = json!({
        "enable": true, "tier": "test", "hostname": "testhost1", "natsUrl": server.url(),
        "nkeyFile": "/etc/homelab-deploy.seed", "flakeUrl": "git+https://git.example.com/u/c.git", "extraArgs": arguments
    });
    let made = evaluate(&settings).unwrap();
    let service = &made["config"]["systemd"]["services"][UNIT];
    let mut text = format!("[Unit]\nDescription=listener {more}\n[Service]\n");
    let word = |value: &Value| match value {
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    for (name, value) in service["serviceConfig"].as_object().unwrap() {
        for value in value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]) {
            let value = word(&value).replace("/pkgs/homelab-deploy/bin/homelab-deploy", "/program").replace('%', "%%");
            text.push_str(&format!("{name}={value}\n"));
        }
    }
    text.push_str(&format!("Environment=HOMELAB_DEPLOY_UNIT_FILE=/etc/systemd/system/{UNIT}.service\n"));
    text
}

fn deploy(server: &Server) -> std::process::Child {
    let mut command = server.prepared("test-deployer", &["deploy", "deploy.test.all", "--json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn end(child: std::process::Child) -> Ran {
    Ran::of(&child.wait_with_output().unwrap(), std::time::Instant::now())
}

#[test]
fn booted_runs_have_units_of_their_own_and_outlive_the_listener() {
    let server = Server::start();
    // Only its links and its nixos-rebuild: the listener is the unit's.
    let fake = FakeHost::prepare(&server, "testhost1", "testhost1");
    let host = Booted::start(&fake.folder);
    let prelude = std::fs::read_to_string(fake.root().join("bin/nixos-rebuild")).unwrap();
    let behave = |lines: &str| {
        let inside = prelude.replace(fake.root().to_str().unwrap(), "/repository/root").replace("switch_to 2\n", "");
        fake.script("nixos-rebuild", &format!("{inside}{lines}\n"));
    };
    host.write("/etc/homelab-deploy.seed", server.keys.test_host.reveal());
    host.run(&["chmod", "600", "/etc/homelab-deploy.seed"]);
    host.write(&format!("/etc/systemd/system/{UNIT}.service"), &unit(&server, "one"));
    host.run(&["systemctl", "daemon-reload"]);
    host.run(&["systemctl", "start", UNIT]);
    wait_until("it is connected", || host.journal().contains("connected to"));

    behave("while [ ! -e $R/go ]; do sleep 0.1; done; switch_to 2");
    let deploying = deploy(&server);
    wait_until("it runs", || fake.calls().len() == 1);
    let runs = host.run(&["systemctl", "list-units", "--no-legend", "--plain", "homelab-deploy-run-*"]);
    let run = runs.split_whitespace().next().unwrap().to_owned();
    assert_eq!(host.property(&run, "ActiveState"), "active", "{runs}");
    assert_eq!(host.property(&run, "KillMode"), "process");

    // `systemctl stop`, and the start of another version.
    host.run(&["systemctl", "stop", UNIT]);
    assert_eq!(host.property(UNIT, "ActiveState"), "inactive");
    assert_eq!(host.property(&run, "ActiveState"), "active", "a stopped listener ends no deploy");
    host.run(&["systemctl", "start", UNIT]);
    // A run that is killed goes on from its journal, and its tool with it.
    let pid = host.property(&run, "MainPID");
    host.run(&["sh", "-c", &format!("kill -9 {pid}")]);
    wait_until("systemd has started it again", || {
        let now = host.property(&run, "MainPID");
        now != pid && now != "0"
    });
    std::fs::write(fake.root().join("go"), "").unwrap();
    let ran = end(deploying);
    assert_eq!(ran.status, 0, "{}{}\n{}", ran.out, ran.err, host.journal());
    assert_eq!(fake.calls().len(), 1, "once");
    wait_until("the unit is collected", || host.property(&run, "LoadState") == "not-found");

    // A deploy that changes the listener's unit: it ends after the final status, and systemd starts the new one.
    behave("switch_to 3");
    let before = host.property(UNIT, "MainPID");
    host.write(&format!("/etc/systemd/system/{UNIT}.service"), &unit(&server, "two"));
    host.run(&["systemctl", "daemon-reload"]);
    let ran = end(deploy(&server));
    assert_eq!(ran.status, 0, "{}{}", ran.out, ran.err);
    wait_until("the new one runs", || {
        let now = host.property(UNIT, "MainPID");
        now != before && now != "0" && host.property(UNIT, "Description") == "listener two"
    });
    assert!(host.journal().contains("has changed"), "{}", host.journal());
}
