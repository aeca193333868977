//! Processes and their groups.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

/// Sends a signal to a group; whether there is one.
pub fn signal_group(group: i32, signal: Option<Signal>) -> bool {
    match killpg(Pid::from_raw(group), signal) {
        Ok(()) => true,
        // A group of another user is a group.
        Err(why) => why == Errno::EPERM,
    }
}

/// When a process began, in ticks since the machine did; with the process id it names a process for good.
pub fn started_at(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Signals that come as bytes of a descriptor. Children inherit the mask: [`with_plain_signals`] is for starting them.
pub struct Signals(SignalFd);

impl Signals {
    pub fn of(signals: &[Signal]) -> std::io::Result<Self> {
        let set: SigSet = signals.iter().copied().collect();
        set.thread_block()?;
        Ok(Signals(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    pub fn next(&self) -> Option<Signal> {
        let got = self.0.read_signal().ok().flatten()?;
        Signal::try_from(got.ssi_signo as i32).ok()
    }
}

impl std::os::fd::AsFd for Signals {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Starts children with no signal blocked.
pub fn with_plain_signals<T>(start: impl FnOnce() -> T) -> T {
    let blocked = SigSet::thread_get_mask().unwrap_or_else(|_| SigSet::empty());
    SigSet::empty().thread_set_mask().ok();
    let started = start();
    blocked.thread_set_mask().ok();
    started
}
