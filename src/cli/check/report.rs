//! Findings, a line each, printed as they are found: some take seconds.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use crate::cli::output::{CommandError, ExitStatus, Result, print};
use crate::event::harmless;
use crate::os::trusted;

/// What was found so far.
#[derive(Default)]
pub struct Report {
    errors: usize,
    warnings: usize,
    /// Lines that are not printed again: several containers may have one mistake in common.
    printed: BTreeSet<String>,
    /// A line could not be printed.
    unprinted: Option<CommandError>,
}

impl Report {
    /// Something that is as it should be.
    pub fn ok(&mut self, what: &str, detail: impl Display) {
        self.line("ok", what, detail);
    }

    /// Something that works, and could be better.
    pub fn warning(&mut self, what: &str, detail: impl Display) {
        self.warnings += usize::from(self.line("warn", what, detail));
    }

    /// Something that will not work, or is not safe.
    pub fn error(&mut self, what: &str, detail: impl Display) {
        self.errors += usize::from(self.line("ERROR", what, detail));
    }

    pub fn warnings<T: Display>(&mut self, what: &str, details: impl IntoIterator<Item = T>) {
        details.into_iter().for_each(|detail| self.warning(what, detail));
    }

    pub fn errors<T: Display>(&mut self, what: &str, details: impl IntoIterator<Item = T>) {
        details.into_iter().for_each(|detail| self.error(what, detail));
    }

    /// What came of a look at something.
    pub fn result(&mut self, what: &str, result: Result<impl Display, impl Display>) {
        match result {
            Ok(detail) => self.ok(what, detail),
            Err(detail) => self.error(what, detail),
        }
    }

    /// What others may write to decides what root does. One that is missing is reported by whoever needs it.
    pub fn root_alone(&mut self, what: &str, path: &Path) {
        let shown = path.display();
        match path.metadata().map(|facts| trusted::fault(&facts)) {
            Ok(None) => self.ok(what, format!("only root can write to {shown}")),
            Ok(Some(fault)) => self.error(what, format!("{shown}: {fault}")),
            Err(_) => {}
        }
    }

    /// The sum of it.
    pub fn end(self) -> Result {
        if let Some(error) = self.unprinted {
            return Err(error);
        }
        print(&format!("errors: {}, warnings: {}\n", self.errors, self.warnings))?;
        match self.errors {
            0 => Ok(ExitStatus::Done),
            _ => Ok(ExitStatus::Failed),
        }
    }

    /// Whether it is printed for the first time.
    fn line(&mut self, level: &str, what: &str, detail: impl Display) -> bool {
        let text = harmless(&format!("{level:<5}  {what}: {detail}"));
        let is_new = self.printed.insert(text.clone());
        if is_new && let Err(error) = print(&format!("{text}\n")) {
            self.unprinted = Some(error);
        }
        is_new
    }
}
