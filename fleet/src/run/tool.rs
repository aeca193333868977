//! Waiting for a tool, and ending it where that is still harmless.

use std::fs::File;
use std::io;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::os::fd::AsFd;

use super::Tool;
use crate::limits::{KILL_AFTER, LOG_BYTES};
use crate::os::process::{Signals, signal_group};

/// How often an activation, the clock and a process that is not our child are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A tool that may be our child, or one that outlived the process which started it.
pub struct Watched<'a> {
    pub child: Option<Child>,
    pub group: Option<i32>,
    /// A handle of its own of the file that the tool holds locked.
    pub lock: File,
    pub log: File,
    pub signals: &'a Signals,
    pub limit: Instant,
}

impl Watched<'_> {
    /// Waits for the end. `changes` says whether the activation has begun: from then on it is waited for.
    pub fn wait(mut self, changes: impl Fn() -> bool) -> io::Result<Tool> {
        let mut ended_by_us: Option<(Tool, Instant)> = None;
        let mut stop = false;
        loop {
            let mut events = [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
            poll(&mut events, PollTimeout::from(LOOK.as_millis() as u16)).ok();
            while let Some(signal) = self.signals.next() {
                stop |= signal != Signal::SIGCHLD;
            }
            if let Some(end) = self.end()? {
                let Some((why, since)) = ended_by_us else {
                    return Ok(end);
                };
                self.clear_group(since);
                return Ok(why);
            }
            if self.log.metadata()?.len() > LOG_BYTES {
                self.log.set_len(0)?;
            }
            match ended_by_us {
                None if (stop || Instant::now() >= self.limit) && !changes() => {
                    self.signal(Signal::SIGTERM);
                    ended_by_us = Some((if stop { Tool::Stopped } else { Tool::TimedOut }, Instant::now()));
                }
                Some((_, since)) if since.elapsed() >= KILL_AFTER => self.signal(Signal::SIGKILL),
                _ => {}
            }
        }
    }

    fn end(&mut self) -> io::Result<Option<Tool>> {
        let Some(child) = &mut self.child else {
            return Ok(self.lock.try_lock().is_ok().then_some(Tool::Unknown));
        };
        Ok(child.try_wait()?.map(|status| status.code().map_or(Tool::Killed, Tool::Exited)))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            signal_group(group, Some(signal));
        }
    }

    /// The tool is gone; what it started and ignores TERM is not yet.
    fn clear_group(&self, since: Instant) {
        let lives = || self.group.is_some_and(|group| signal_group(group, None));
        while lives() && since.elapsed() < KILL_AFTER {
            std::thread::sleep(LOOK);
        }
        self.signal(Signal::SIGKILL);
    }
}
