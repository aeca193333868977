//! What the kernel says of a process: whether the one that was written down is still the one that lives.

use std::ffi::CString;
use std::fs;
use std::io;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, User, getuid};

/// When the process `pid` started, in clock ticks since boot (proc(5), field 22 of `stat`); `None` when there is none.
/// A process id alone may have been given to another one since.
pub fn start_time(pid: i32) -> Option<u64> {
    stat(pid, 22)?.parse().ok()
}

/// A field of proc(5)'s `stat`, from the third on. The name in field 2 may hold blanks and parentheses; the last `)` ends it.
fn stat(pid: i32, field: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    fields.nth(field - 3).map(str::to_owned)
}

/// Sends `signal` to one process, or to the group of this number, negated; one that is gone is no error.
pub fn signal(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

/// Names this process after its role in the kernel's lists (`ps`, `top`, systemd's messages), at most 8 letters: it was
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

/// The living processes of a session, of a group, or, where both are named, of both: what a session leader starts may be in
/// other groups. Without zombies: those wait for a parent that may never look.
pub fn living(session: Option<i32>, group: Option<i32>) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    if session.or(group).is_none() {
        return Ok(found);
    }
    // Fields 6 and 5 of `stat`; the state is field 3.
    let is_of = |pid, field, number: i32| stat(pid, field) == Some(number.to_string());
    let is_member = |pid: &i32| {
        session.is_none_or(|session| is_of(*pid, 6, session))
            && group.is_none_or(|group| is_of(*pid, 5, group))
            && !matches!(stat(*pid, 3).as_deref(), None | Some("Z" | "X"))
    };
    // "None" is believed of two lists: a member whose child has a lower number, and that ends while the list is read, hides
    // both of them from one.
    for _list in 0..2 {
        if !found.is_empty() {
            break;
        }
        for entry in fs::read_dir("/proc")? {
            let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
            found.extend(pid.filter(is_member));
        }
    }
    Ok(found)
}

/// Sets the umask that programs expect, whatever we were started with: Unraid's shells have 000, hardened units 077. Our own
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
