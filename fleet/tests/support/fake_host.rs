//! A listener of ours on a fake NixOS: links below a folder, and a nixos-rebuild that records what it was called with, prints,
//! sleeps, moves the links and exits as it is told.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::server::Server;
use super::{Folder, Process, ours, wait_until};

pub struct FakeHost {
    pub folder: Folder,
    pub name: String,
    pub process: Option<Process>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What nixos-rebuild does, as shell lines; `$R` is the root, `$1` the action. This one works at once.
pub const WORKS: &str = "switch_to 2";

const PRELUDE: &str = r#"#!/bin/sh
# What nixos-rebuild is in the tests.
R=@ROOT@
{ printf 'argv'; printf ' [%s]' "$@"; printf '\n'; env | sort; } >>"$R/calls"
echo "building the system configuration..."
# install NUMBER, activate NUMBER: move the links as nix-env and switch-to-configuration do.
install() { mkdir -p "$R/store/$1"; ln -sfn "../../../../store/$1" "$R/nix/var/nix/profiles/system-$1-link"; ln -sfn "system-$1-link" "$R/nix/var/nix/profiles/system"; }
activate() { mkdir -p "$R/store/$1"; ln -sfn "../store/$1" "$R/run/current-system"; }
switch_to() { install "$1"; activate "$1"; }
"#;

impl FakeHost {
    /// Not yet started.
    pub fn prepare(server: &Server, name: &str, key: &str) -> FakeHost {
        let folder = Folder::new();
        let root = folder.path().join("root");
        for below in ["nix/var/nix/profiles", "run", "store/1", "bin"] {
            std::fs::create_dir_all(root.join(below)).unwrap();
        }
        symlink("system-1-link", root.join("nix/var/nix/profiles/system")).unwrap();
        symlink("../../../../store/1", root.join("nix/var/nix/profiles/system-1-link")).unwrap();
        for link in ["current-system", "booted-system"] {
            symlink("../store/1", root.join("run").join(link)).unwrap();
        }
        let mut host =
            FakeHost { folder, name: name.to_owned(), process: None, arguments: Vec::new(), environment: Vec::new() };
        host.behave(WORKS);
        host.script("nix", "#!/bin/sh\nexit 1\n");
        let path = |below: &str| host.folder.path().join(below).to_str().unwrap().to_owned();
        let fixed = [
            ("--hostname", name.to_owned()),
            ("--tier", "test".to_owned()),
            ("--nats-url", server.url()),
            ("--nkey-file", server.seed_path(key)),
            ("--flake-url", "git+https://git.example.com/u/c.git".to_owned()),
            ("--state-dir", path("state")),
            ("--root", path("root")),
            ("--nixos-rebuild", path("root/bin/nixos-rebuild")),
            ("--nix", path("root/bin/nix")),
        ];
        host.arguments = vec!["listener".to_owned(), "--no-units".to_owned()];
        for (flag, value) in fixed {
            host.arguments.extend([flag.to_owned(), value]);
        }
        host
    }

    /// A test host with the sample's key, connected.
    pub fn start(server: &Server) -> FakeHost {
        let mut host = FakeHost::prepare(server, "testhost1", "testhost1");
        host.run();
        host
    }

    /// Replaces a flag's value, or adds the flag.
    pub fn set(&mut self, flag: &str, value: &str) -> &mut Self {
        match self.arguments.iter().position(|argument| argument == flag) {
            Some(place) => self.arguments[place + 1] = value.to_owned(),
            None => self.arguments.extend([flag.to_owned(), value.to_owned()]),
        }
        self
    }

    pub fn flag(&mut self, flag: &str) -> &mut Self {
        self.arguments.push(flag.to_owned());
        self
    }

    pub fn variable(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn arguments(&self) -> Vec<&str> {
        self.arguments.iter().map(String::as_str).collect()
    }

    pub fn script(&self, name: &str, text: &str) {
        let path = self.root().join("bin").join(name);
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// What nixos-rebuild does from now on.
    pub fn behave(&self, lines: &str) {
        let prelude = PRELUDE.replace("@ROOT@", self.root().to_str().unwrap());
        self.script("nixos-rebuild", &format!("{prelude}{lines}\n"));
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts it without waiting.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let child = ours(&self.arguments())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(Process(child));
    }

    pub fn run(&mut self) {
        let before = self.connects();
        self.spawn();
        self.wait_connected(before);
    }

    pub fn connects(&self) -> usize {
        self.log().matches("connected to").count()
    }

    #[track_caller]
    pub fn wait_connected(&self, before: usize) {
        wait_until(&format!("{} is connected; {}", self.name, self.log()), || self.connects() > before);
    }

    pub fn pid(&self) -> i32 {
        self.process.as_ref().unwrap().pid()
    }

    pub fn kill(&mut self) {
        self.process.take();
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// What nixos-rebuild was called with, a block a call.
    pub fn calls(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.root().join("calls")).unwrap_or_default();
        let mut calls: Vec<String> = Vec::new();
        for line in text.lines() {
            if line.starts_with("argv ") {
                calls.push(String::new());
            }
            let call = calls.last_mut().unwrap();
            call.push_str(line);
            call.push('\n');
        }
        calls
    }

    pub fn half(&self) -> i32 {
        child_of(self.pid(), "half").expect("the half runs")
    }

    pub fn runs(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.state().join("runs")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

/// A child with this word in its command line.
pub fn child_of(pid: i32, word: &str) -> Option<i32> {
    children_of(pid).into_iter().find(|child| {
        let line = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    })
}

pub fn children_of(pid: i32) -> Vec<i32> {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")) else { return Vec::new() };
    text.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

pub fn result_of(run: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(run.join("result")).ok()?).ok()
}
