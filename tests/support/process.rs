//! Programs that a test runs, and what `/proc` says of them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A program of the host that the tests need, and Debian's package of it.
pub fn installed(program: &str, package: &str) -> Command {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|dir| dir.join(program).is_file())
    });
    assert!(
        found,
        "{program} is not installed: apt-get install {package}, or start the tests by tests/run.sh"
    );
    Command::new(program)
}

/// Runs a program to its end; its standard output. Fails with what it said when it fails.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = output_of(command, b"");
    assert!(
        output.status.success(),
        "{command:?} failed, {}: {}",
        output.status,
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Runs a program to its end with this standard input, whatever comes of it.
#[track_caller]
pub fn output_of(command: &mut Command, input: &[u8]) -> Output {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn(piped).unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("standard input is piped");
    // A program may end before it has read everything.
    if let Err(error) = stdin.write_all(input) {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "writing to {command:?}");
    }
    drop(stdin);
    child
        .wait_with_output()
        .unwrap_or_else(|error| panic!("waiting for {command:?}: {error}"))
}

/// Starts a program. One that was written a moment ago may still be open for writing in a child that another test has just
/// forked and that has not become its program yet: it is tried again for a while.
fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    loop {
        match command.spawn() {
            Err(error)
                if error.kind() == ErrorKind::ExecutableFileBusy && std::time::Instant::now() < until =>
            {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            started => return started,
        }
    }
}

/// From now on the kernel prefers this thread, and what it starts, to the other tests: where a test measures, it is not
/// their load that it measures.
#[track_caller]
pub fn go_first() {
    let thread = nix::unistd::gettid().to_string();
    run(installed("renice", "bsdutils").args(["-n", "-15", "-p", &thread]));
}

/// Bytes of a program as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program in the background, killed when dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it with nothing to read and everything it says in `log`.
    pub fn start(command: &mut Command, log: &Path) -> Running {
        let open = || fs::File::options().create(true).append(true).open(log);
        let log = open()
            .and_then(|out| Ok((out, open()?)))
            .unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let quiet = command.stdin(Stdio::null()).stdout(log.0).stderr(log.1);
        let child = spawn(quiet).unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        Running { child }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// TERM, and waits until it has ended.
    #[track_caller]
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        super::wait_until("a program ends after TERM", Duration::from_secs(10), || {
            self.ended()
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The processes that have something under `folder` open, or work or are rooted there: what a daemon of a test left.
pub fn processes_in(folder: &Path) -> Vec<i32> {
    others()
        .filter(|pid| links_of(*pid).iter().any(|link| link.starts_with(folder)))
        .collect()
}

/// Every process but this one.
fn others() -> impl Iterator<Item = i32> {
    let pids = fs::read_dir("/proc").expect("reading /proc").flatten();
    pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id() as i32)
}

/// The processes with a path in `folder` among their arguments: a daemon that was started a moment ago and has opened
/// nothing there yet.
fn processes_told_of(folder: &Path) -> Vec<i32> {
    let folder = format!("{}/", folder.display());
    others()
        .filter(|pid| text(&fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()).contains(&folder))
        .collect()
}

/// What a process holds: its descriptors, its working folder and its root.
pub fn links_of(pid: i32) -> Vec<PathBuf> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let descriptors = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let others = ["cwd", "root"].map(|name| process.join(name));
    descriptors
        .chain(others)
        .filter_map(|link| fs::read_link(link).ok())
        .collect()
}

/// Kills every process in `folder`, those that were told of it, and those that they start meanwhile.
pub fn clear(folder: &Path) {
    super::came_true(Duration::from_secs(5), || {
        let mut left = processes_in(folder);
        left.extend(processes_told_of(folder));
        for pid in &left {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        left.is_empty()
    });
}
