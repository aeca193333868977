//! Starting the other processes: the network half, and a run, which must outlive us.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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
    // A half that takes nothing for so long hangs.
    ours.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok((child, ours))
}

/// Whether runs can have units of their own.
pub fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// `run ID`, which must outlive us: a child that makes a session of its own, or a transient unit. No restart of ours, and no
/// activation that restarts us, reaches that one; the tool is ended by the run itself, never by the unit.
pub fn start_run(state: &Path, id: &RunId, in_unit: bool) -> io::Result<Child> {
    let mut command = Command::new(OURSELVES);
    if in_unit {
        command = Command::new("systemd-run");
        command.args(["--quiet", "--collect", "--no-ask-password"]).arg(format!("--unit=homelab-deploy-run-{id}"));
        command.args(["--property=Type=exec", "--property=KillMode=process", "--property=Restart=on-abnormal"]);
        command.args(["--property=RestartSec=1", "--property=TimeoutStopSec=infinity"]);
        // For the nix store's locks and a build's temporary files.
        command.arg("--property=OOMPolicy=continue");
        command.args(failpoint::variables().iter().map(|(name, value)| format!("--setenv={name}={value}")));
        command.arg(std::env::current_exe()?);
    } else {
        command.env_clear().envs(failpoint::variables()).current_dir("/");
    }
    command.args(["run", id.as_str(), "--state-dir"]).arg(state).stdin(Stdio::null()).stdout(Stdio::null());
    with_plain_signals(|| command.spawn())
}
