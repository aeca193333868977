//! Being asked to end: TERM, INT and HUP, from `cancel` or from the host; QUIT from `cancel --force`.
//!
//! What it means depends on where the run is; this only remembers that it was asked, and wakes whoever waits.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use crate::os::signal::{Signal, Signals};

/// The signals of a run, and whether it was asked to end. A clone hears the same: a run that completes another one lends
/// it its ears.
#[derive(Clone, Debug)]
pub struct Interrupts {
    signals: Rc<Signals>,
    asked: Rc<Cell<bool>>,
    forced: Rc<Cell<bool>>,
    #[cfg(test)]
    asked_from: Option<std::time::Instant>,
}

impl Interrupts {
    /// Blocks the signals of a run. CHLD is one of them so that a child's end wakes a wait; it asks nothing.
    pub fn block() -> io::Result<Self> {
        Self::on(&[
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGCHLD,
        ])
    }

    fn on(signals: &[Signal]) -> io::Result<Self> {
        Ok(Self {
            signals: Rc::new(Signals::block(signals)?),
            asked: Rc::default(),
            forced: Rc::default(),
            #[cfg(test)]
            asked_from: None,
        })
    }

    /// Whether the run was asked to end, by now or before.
    pub fn asked(&mut self) -> bool {
        while let Ok(Some(signal)) = self.signals.take() {
            self.asked.set(self.asked.get() || signal != Signal::SIGCHLD);
            self.forced.set(self.forced.get() || signal == Signal::SIGQUIT);
        }
        #[cfg(test)]
        if self
            .asked_from
            .is_some_and(|from| std::time::Instant::now() >= from)
        {
            return true;
        }
        self.asked.get()
    }

    /// Whether it was asked to end without waiting for what must not be cut: `cancel --force` (QUIT).
    pub fn forced(&mut self) -> bool {
        self.asked();
        self.forced.get()
    }

    /// Hears no signal; for unit tests, whose threads share theirs.
    #[cfg(test)]
    pub(crate) fn deaf() -> Self {
        Self::on(&[]).unwrap()
    }

    /// As if a signal had come.
    #[cfg(test)]
    pub(crate) fn task(&mut self) {
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
