//! Being asked to end: TERM, INT and HUP, from `cancel` or from the host.
//!
//! What it means depends on where the run is; this only remembers that it was asked, and wakes whoever waits.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::os::signal::{Signal, Signals};

/// The signals of a run, and whether it was asked to end.
#[derive(Debug)]
pub struct Interrupts {
    signals: Signals,
    asked: bool,
    #[cfg(test)]
    asked_from: Option<std::time::Instant>,
}

impl Interrupts {
    /// Blocks the signals of a run. CHLD is one of them so that a child's end wakes a wait; it asks nothing.
    pub fn block() -> io::Result<Self> {
        Self::on(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD])
    }

    fn on(signals: &[Signal]) -> io::Result<Self> {
        Ok(Self {
            signals: Signals::block(signals)?,
            asked: false,
            #[cfg(test)]
            asked_from: None,
        })
    }

    /// Whether the run was asked to end, by now or before.
    pub fn asked(&mut self) -> bool {
        while let Ok(Some(signal)) = self.signals.take() {
            self.asked |= signal != Signal::SIGCHLD;
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

    /// Hears no signal; for unit tests, whose threads share theirs.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        Self::on(&[]).unwrap()
    }

    /// As if a signal had come.
    #[cfg(test)]
    pub(crate) fn ask(&mut self) {
        self.ask_in(std::time::Duration::ZERO);
    }

    /// As if a signal came after this time.
    #[cfg(test)]
    pub(crate) fn ask_in(&mut self, time: std::time::Duration) {
        self.asked_from = Some(std::time::Instant::now() + time);
    }
}

impl AsFd for Interrupts {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }
}
