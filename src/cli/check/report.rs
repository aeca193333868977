//! Findings, a line each, printed as they are found: some take seconds.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::event::harmless;

/// What was found so far.
#[derive(Default)]
pub struct Report {
    faults: usize,
    warnings: usize,
    /// The lines that are not to be said again: several containers may have one thing in common.
    said: BTreeSet<String>,
    /// A line could not be printed.
    unread: Option<CommandError>,
}

impl Report {
    /// Something that is as it should be.
    pub fn ok(&mut self, what: &str, detail: impl Display) {
        self.line("ok", what, detail);
    }

    /// Something that works, and could be better.
    pub fn warn(&mut self, what: &str, detail: impl Display) {
        self.warnings += usize::from(self.line("warn", what, detail));
    }

    /// Something that will not work, or is not safe.
    pub fn fault(&mut self, what: &str, detail: impl Display) {
        self.faults += usize::from(self.line("FAULT", what, detail));
    }

    /// What came of a look at something.
    pub fn found(&mut self, what: &str, result: Result<impl Display, impl Display>) {
        match result {
            Ok(detail) => self.ok(what, detail),
            Err(detail) => self.fault(what, detail),
        }
    }

    /// The sum of it.
    pub fn end(self) -> Result<ExitStatus, CommandError> {
        if let Some(trouble) = self.unread {
            return Err(trouble);
        }
        match (self.faults, self.warnings) {
            (0, 0) => output::print("all is well\n"),
            (0, warnings) => output::print(&format!("no fault; {warnings} to think about\n")),
            (faults, _) => output::print(&format!("{faults} to mend\n")).map(|_| ExitStatus::Failed),
        }
    }

    /// Whether it is news.
    fn line(&mut self, level: &str, what: &str, detail: impl Display) -> bool {
        let text = harmless(&format!("{level:<5}  {what}: {detail}"));
        let is_new = !self.said.contains(&text);
        if is_new {
            if let Err(trouble) = output::print(&format!("{text}\n")) {
                self.unread = Some(trouble);
            }
            self.said.insert(text);
        }
        is_new
    }
}
