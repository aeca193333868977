//! Starting the other processes: the network half, and a run, which must outlive us.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::os::failpoint;
use crate::os::process::with_plain_signals;
use crate::wire::RunId;

/// Our own program, whatever its file was replaced by.
const OURSELVES: &str = "/proc/self/exe";

/// The network half as another user, where one is named; with an empty environment and no descriptor but the link.
pub fn start_half(user: Option<u32>) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(OURSELVES);
    command
        .arg("half")
        .env_clear()
        .envs(failpoint::variables())
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(user) = user {
        // Of a user other than root, std drops the supplementary groups as well.
        command.uid(user).gid(user);
    }
    let child = with_plain_signals(|| command.spawn())?;
    ours.set_nonblocking(true)?;
    Ok((child, ours))
}

/// Whether runs can have units of their own.
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn run_arguments(state: &Path, id: &RunId) -> Vec<std::ffi::OsString> {
    vec!["run".into(), id.as_str().into(), "--state-dir".into(), state.into()]
}

/// `run ID` as a transient unit: no restart of ours, and no activation that restarts us, reaches it. The tool is ended by the run
/// itself, never by the unit.
pub fn start_run_in_unit(state: &Path, id: &RunId) -> io::Result<Child> {
    let mut command = Command::new("systemd-run");
    command.args(["--quiet", "--collect", "--no-ask-password"]).arg(format!("--unit=homelab-deploy-run-{id}"));
    for property in [
        "Type=exec",
        "KillMode=process",
        "Restart=on-abnormal",
        "RestartSec=1",
        "TimeoutStopSec=infinity",
        // For the nix store's locks and a build's temporary files.
        "OOMPolicy=continue",
    ] {
        command.arg(format!("--property={property}"));
    }
    for (name, value) in failpoint::variables() {
        command.arg(format!("--setenv={name}={value}"));
    }
    command.arg(std::env::current_exe()?).args(run_arguments(state, id));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    with_plain_signals(|| command.spawn())
}

/// `run ID` as a child that makes a session of its own.
pub fn start_run(state: &Path, id: &RunId) -> io::Result<Child> {
    let mut command = Command::new(OURSELVES);
    command
        .args(run_arguments(state, id))
        .env_clear()
        .envs(failpoint::variables())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    with_plain_signals(|| command.spawn())
}
