//! What the kernel says of a process: whether the one that was written down is still the one that lives.

use std::ffi::CString;
use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, User, getuid, setsid};

/// When the process `pid` started, in clock ticks since boot (proc(5), field 22 of `stat`); `None` when there is none.
/// A process id alone may have been given to another one since.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in field 2 may hold blanks and parentheses; the last `)` ends it. Field 22 is the 20th after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Sends `signal` to a process group; one that is gone is no error.
pub fn signal_group(group: i32, signal: Signal) {
    let _ = killpg(Pid::from_raw(group), signal);
}

/// Sends `signal` to one process; one that is gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Leaves the session and the terminal of whoever started us, so that their end is not ours.
pub fn leave_session() -> io::Result<()> {
    match setsid() {
        // EPERM: we lead a group already, as when started from a shell.
        Ok(_) | Err(Errno::EPERM) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Names this process after its role in the kernel's lists (`ps`, `top`, systemd's own words), at most 8 letters: it was
/// started by the path `/proc/self/exe`, and would be called `exe`. Not `engram-deployer`, as `serve` is: whoever ends
/// that by name leaves runs alone.
pub fn be_called(role: &str) {
    // A name is for people; without it all else goes on.
    let _ = CString::new(format!("engram-{role}")).map(|name| prctl::set_name(&name));
}

/// Our own process id.
pub fn own_pid() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// True for uid 0.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Processes that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kin {
    /// A process group.
    Group(i32),
    /// A session: all that a session leader has started, whatever groups they are in.
    Session(i32),
}

/// The living processes of `kin`, without zombies: those wait for a parent that may never look.
pub fn living(kin: Kin) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok());
        found.extend(pid.filter(|pid| belongs(*pid, kin).unwrap_or(false)));
    }
    Ok(found)
}

/// State, process group and session are fields 3, 5 and 6 of proc(5)'s `stat`, the first, third and fourth after the name.
fn belongs(pid: i32, kin: Kin) -> Option<bool> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().take(4).collect();
    let number = |index: usize| fields.get(index)?.parse::<i32>().ok();
    let same = match kin {
        Kin::Group(group) => number(2)? == group,
        Kin::Session(session) => number(3)? == session,
    };
    Some(same && !matches!(fields.first(), Some(&("Z" | "X"))))
}

/// Sets the umask that programs expect, whatever our starter had: Unraid's shells have 000, hardened units 077. Our own
/// files get their modes on their descriptors; this is for what docker and the operator's command make.
pub fn set_usual_umask() {
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
}

/// The real uid of whoever started us, and its name, or the number where it has none.
pub fn own_user() -> (u32, String) {
    let uid = getuid();
    let name = User::from_uid(uid).ok().flatten().map(|user| user.name);
    (uid.as_raw(), name.unwrap_or_else(|| uid.to_string()))
}
