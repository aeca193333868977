//! Real parts: nats-server, our own binary, Python clients. What is started is ended by its process id.

pub mod client;
pub mod fake_host;
pub mod python;
pub mod server;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use homelab_deploy::nats::Seed;
use homelab_deploy::os::clock::random;

/// What is waited for in the end; nothing here depends on being fast.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn binary() -> PathBuf {
    match std::env::var_os("FLEET_BINARY") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_homelab-deploy").into(),
    }
}

/// Whether the long tests run.
pub fn all() -> bool {
    std::env::var("FLEET_TESTS").as_deref() == Ok("all")
}

/// A folder that others may enter, removed at the end.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("fleet-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }
}

/// A process that ends with the test.
pub struct Process(pub Child);

impl Process {
    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }

    pub fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub fn wait(&mut self) -> i32 {
        self.0.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[track_caller]
pub fn wait_until(what: &str, check: impl FnMut() -> bool) {
    assert!(within(PATIENCE, check), "not in time: {what}");
}

pub fn within(time: Duration, mut check: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + time;
    loop {
        if check() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn seed() -> Seed {
    Seed::from_random(random())
}

/// A port of loopback that nobody listens on.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A command of ours that ends by itself.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
    pub time: Duration,
}

impl Ran {
    pub fn of(output: &Output, begin: Instant) -> Self {
        Ran {
            status: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
            time: begin.elapsed(),
        }
    }

    pub fn lines(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }

    /// The last line of `--json`.
    #[track_caller]
    pub fn end(&self) -> serde_json::Value {
        let end = self.lines().pop().unwrap_or_else(|| panic!("no output; {}", self.err));
        assert!(end.get("phase").is_none(), "{end}");
        end
    }
}

pub fn ours(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
}

pub fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, &[])
}

pub fn run_with(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let begin = Instant::now();
    let output = ours(arguments).envs(environment.iter().copied()).output().unwrap();
    Ran::of(&output, begin)
}
