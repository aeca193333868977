//! Everything that a step may do: say something, start a tool, wait, add to the outcome.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::event::Phase;
use crate::run::step::Failure;
use crate::run::tool::{AtWork, Captured, Tool, ToolEnd};

/// The world as a step sees it.
#[derive(Debug)]
pub struct Stage {}

impl Stage {
    /// Puts one line into the log, and so before every follower. Control characters are made harmless, the length is
    /// bounded.
    pub fn say(&mut self, phase: Phase, message: &str) {
        let _ = (phase, message);
        todo!()
    }

    /// Runs `tool` to its end. Each line it prints, on either stream and in the order of arrival, is offered to
    /// `on_line`; what that returns is said in the step's phase. Lines come made harmless and bounded; a carriage
    /// return ends a line too, as progress bars use it.
    ///
    /// # Errors
    /// [`Failure::Failed`] when it could not be started, [`Failure::Cancelled`] and [`Failure::Deadline`] when it was
    /// ended; an exit status is never an error here.
    pub fn tool(
        &mut self,
        tool: &Tool,
        on_line: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<ToolEnd, Failure> {
        let _ = (tool, on_line);
        todo!()
    }

    /// Runs a quiet tool and returns its standard output, at most `most` bytes of it.
    ///
    /// # Errors
    /// As [`Stage::tool`]; and [`Failure::Failed`] when it prints more. A tool with [`crate::run::Ending::NeverMidway`] is refused.
    pub fn capture(&mut self, tool: &Tool, most: usize) -> Result<Captured, Failure> {
        let _ = (tool, most);
        todo!()
    }

    /// Waits on for a tool that is past its deadline.
    ///
    /// # Errors
    /// None but those of the machine: neither a cancellation nor a deadline ends it.
    pub fn await_longer(
        &mut self,
        at_work: AtWork,
        patience: Duration,
        on_line: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<ToolEnd, Failure> {
        let _ = (at_work, patience, on_line);
        todo!()
    }

    /// Ends a tool that is past its deadline: KILL to its group, then waits until the group is empty. Only after a
    /// look at what it was doing: it may be in the middle.
    pub fn kill(&mut self, at_work: AtWork) -> Result<(), Failure> {
        let _ = at_work;
        todo!()
    }

    /// Waits.
    ///
    /// # Errors
    /// Ends early with [`Failure::Cancelled`] or, at the step's deadline, [`Failure::Deadline`].
    pub fn pause(&mut self, duration: Duration) -> Result<(), Failure> {
        let _ = duration;
        todo!()
    }

    /// Adds a member to the outcome, beyond the fixed ones. A later one of the same name replaces it.
    pub fn outcome_member(&mut self, name: &str, value: Value) {
        let _ = (name, value);
        todo!()
    }

    /// Writes down what is about to be changed and what it was before; on disk when this returns.
    ///
    /// # Errors
    /// When it could not be written: then it must not be changed.
    pub fn note(&mut self, entry: Value) -> Result<(), Failure> {
        let _ = entry;
        todo!()
    }

    /// When the step must have ended.
    pub fn deadline(&self) -> Instant {
        todo!()
    }

    /// A stage for unit tests, whose log, ticket and journal are in `folder`.
    #[cfg(test)]
    pub(crate) fn scratch(folder: &std::path::Path) -> Self {
        let _ = folder;
        todo!()
    }
}
