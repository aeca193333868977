//! The docker client, and a dockerd when none runs.

use super::folder::Folder;
use super::process::{installed, output_of, run, text};
use serde_json::Value;
use std::fs::File;
use std::process::{Child, Output, Stdio};
use std::sync::OnceLock;

/// Runs `docker` with these arguments; its standard output without the last newline.
#[track_caller]
pub fn docker(arguments: &[&str]) -> String {
    ensure_running();
    run(installed("docker", "docker.io").args(arguments))
        .trim_end()
        .to_string()
}

/// Runs `docker`, whatever comes of it.
#[track_caller]
pub fn try_docker(arguments: &[&str]) -> Output {
    ensure_running();
    output_of(installed("docker", "docker.io").args(arguments), b"")
}

/// What `docker inspect` knows of a container; `None` when there is none of that name.
pub fn inspect(name: &str) -> Option<Value> {
    let output = try_docker(&["container", "inspect", name]);
    let found: Value = serde_json::from_slice(&output.stdout).ok()?;
    found.get(0).cloned()
}

/// Containers whose names begin with a prefix, gone when dropped: a deploy makes more of them than it was told of.
pub struct Containers {
    prefix: String,
}

impl Containers {
    /// Those that will be called `prefix`, `prefix-next` and the like.
    pub fn named(prefix: &str) -> Containers {
        Containers {
            prefix: prefix.into(),
        }
    }

    /// Their names now, running or not.
    pub fn names(&self) -> Vec<String> {
        let filter = format!("name=^/{}", self.prefix);
        let names = docker(&["ps", "-a", "--filter", &filter, "--format", "{{.Names}}"]);
        names.lines().map(str::to_string).collect()
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for name in self.names() {
            try_docker(&["rm", "-f", "-v", &name]);
        }
    }
}

/// Starts a dockerd when none answers; it ends with this process.
pub fn ensure_running() {
    static STARTED: OnceLock<Option<Dockerd>> = OnceLock::new();
    STARTED.get_or_init(|| (!answers()).then(Dockerd::start));
}

fn answers() -> bool {
    output_of(
        installed("docker", "docker.io").args(["version", "--format", "{{.Server.Version}}"]),
        b"",
    )
    .status
    .success()
}

/// A dockerd of ours, and the pipe that is its lifeline.
struct Dockerd {
    _lifeline: Child,
}

impl Dockerd {
    /// A static is never dropped, so a shell waits for our end: the pipe to it closes however we die, and then it stops
    /// the one dockerd that it started.
    fn start() -> Dockerd {
        installed("dockerd", "docker.io");
        let folder = Folder::new("dockerd");
        let log = File::create(folder.join("log")).expect("a log for dockerd");
        let script = "dockerd </dev/null & pid=$!; cat >/dev/null; kill $pid; wait $pid; rm -rf \"$0\"";
        let shell = installed("setsid", "util-linux")
            .args(["sh", "-c", script])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a second descriptor of a log"))
            .stderr(log)
            .spawn()
            .expect("starting a shell");
        let up = super::came_true(super::PATIENCE, answers);
        let said = std::fs::read(folder.join("log")).unwrap_or_default();
        assert!(up, "dockerd does not answer; it said: {}", text(&said));
        std::mem::forget(folder);
        Dockerd { _lifeline: shell }
    }
}
