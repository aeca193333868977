//! Being asked to end: TERM, INT and HUP, from `cancel` or from the host; QUIT from `cancel --force`.
//!
//! What it means depends on where the run is; this only remembers that it was asked, and wakes whoever waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::os::signal::{Signal, Signals};

/// The signals of a run, and whether it was asked to end.
pub struct Interrupts {
    signals: Signals,
    asked: bool,
    /// A force that was not used yet.
    force: bool,
    /// Whether it has ended a wait: then a tool may not have come to the end of what it was doing.
    pub was_forced: bool,
    #[cfg(test)]
    asked_from: Option<std::time::Instant>,
}

impl Interrupts {
    /// Blocks the signals of a run. CHLD is one of them so that a child's end wakes a wait; it asks nothing.
    pub fn block() -> io::Result<Self> {
        use Signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        Self::on(&[SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGCHLD])
    }

    /// Hears no signal.
    pub fn deaf() -> io::Result<Self> {
        Self::on(&[])
    }

    fn on(signals: &[Signal]) -> io::Result<Self> {
        Ok(Self {
            signals: Signals::block(signals)?,
            asked: false,
            force: false,
            was_forced: false,
            #[cfg(test)]
            asked_from: None,
        })
    }

    /// Whether the run was asked to end, by now or before.
    pub fn asked(&mut self) -> bool {
        while let Ok(Some(signal)) = self.signals.take() {
            self.asked |= signal != Signal::SIGCHLD;
            self.force |= signal == Signal::SIGQUIT;
        }
        #[cfg(test)]
        if self
            .asked_from
            .is_some_and(|from| std::time::Instant::now() >= from)
        {
            return true;
        }
        self.asked
    }

    /// Whether it was asked to end without waiting for what must not be cut: `cancel --force` (QUIT). Each time ends one
    /// wait.
    pub fn take_force(&mut self) -> bool {
        self.asked();
        self.was_forced |= self.force;
        std::mem::take(&mut self.force)
    }

    /// As if a signal had come after this time.
    #[cfg(test)]
    pub(crate) fn ask_in(&mut self, time: std::time::Duration) {
        self.asked_from = Some(std::time::Instant::now() + time);
    }

    /// As if `cancel --force` had been called.
    #[cfg(test)]
    pub(crate) fn use_force(&mut self) {
        (self.asked, self.force) = (true, true);
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}
