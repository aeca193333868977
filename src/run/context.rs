//! Everything that a step may do: say something, start a tool, wait, add to the outcome.
//!
//! A step sees the run through this and nothing else, so that a cancellation, a deadline and the ending of tools are
//! met here, once, and not in every step.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::config::Config;
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{CLEANUP_DEADLINE, FIRST_PROBE_PAUSE};
use crate::os::files;
use crate::os::poll::{self, For};
use crate::os::secret::Secret;
use crate::queue::journal::Journal;
use crate::queue::notes::HeldTicket;
use crate::queue::{RunFolder, RunId};
use crate::run::interrupts::Interrupts;
use crate::run::log::Log;
use crate::run::step::{Failure, HumanDuration, Result};

/// The run as a step sees it.
pub struct RunContext<'a> {
    pub config: &'a Config,
    pub folder: RunFolder,
    pub log: &'a mut Log,
    pub interrupts: &'a mut Interrupts,
    pub ticket: &'a mut HeldTicket,
    journal: Journal,
    /// Of the outcome, beyond the fixed ones.
    pub members: Map<String, Value>,
    /// Of what is said with [`RunContext::tell`].
    pub phase: Phase,
    run: Deadline,
    /// The run's or the step's, whichever is sooner.
    pub deadline: Deadline,
    /// What a cancellation of the run ends now.
    cancel: CancelEnds,
    /// What the journal holds, in the order in which it was written down.
    pub noted: Vec<Value>,
    committed: bool,
}

/// A deadline, and what is said when it has passed.
#[derive(Clone)]
pub struct Deadline {
    pub until: Instant,
    passed: String,
}

/// What a cancellation of the run ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CancelEnds {
    /// Tools and waits: nothing has been changed yet.
    Everything,
    /// Waits alone: something has been changed, and no tool is cut in its middle.
    Waits,
    /// Nothing: the run goes back, or does what must be done in any case.
    Nothing,
}

impl Deadline {
    fn new(what: &str, given: Duration) -> Self {
        Self {
            until: Instant::now() + given,
            passed: format!("{what} was not done within {}", HumanDuration(given)),
        }
    }

    /// This one, or one that is `given` from now on, whichever is sooner.
    pub fn or(&self, what: &str, given: Duration) -> Self {
        let other = Self::new(what, given);
        match other.until <= self.until {
            true => other,
            false => self.clone(),
        }
    }

    pub fn check(&self) -> Result {
        match Instant::now() >= self.until {
            true => Err(self.passed()),
            false => Ok(()),
        }
    }

    pub fn passed(&self) -> Failure {
        Failure::Deadline(self.passed.clone())
    }
}

impl<'a> RunContext<'a> {
    /// For a run whose turn has come: it may take `run_max` from now on.
    pub fn new(
        config: &'a Config,
        log: &'a mut Log,
        interrupts: &'a mut Interrupts,
        ticket: &'a mut HeldTicket,
        run_max: Duration,
    ) -> Self {
        let run = Deadline::new("the run", run_max);
        let (places, id) = (&config.places, &ticket.file.id);
        Self {
            config,
            folder: RunFolder::of(places, id),
            journal: Journal::new(places, id),
            log,
            interrupts,
            ticket,
            members: Map::new(),
            phase: Phase::Preflight,
            deadline: run.clone(),
            run,
            cancel: CancelEnds::Everything,
            noted: Vec::new(),
            committed: false,
        }
    }

    /// Begins a step, which ends where the next one begins: its lines bear `phase`, and it has `given`, shortened by what
    /// the run has left.
    ///
    /// # Errors
    /// Where the run was cancelled, or its time is up.
    pub fn begin(&mut self, phase: Phase, given: Duration) -> Result {
        if self.interrupts.asked() {
            return Err(Failure::Cancelled);
        }
        self.run.check()?;
        self.phase = phase;
        self.deadline = self.run.or(&format!("the step `{phase}`"), given);
        Ok(())
    }

    /// Begins a step that changes something that serves people. The journal is on disk before; a cancellation waits for its
    /// end, and then everything goes back, unless it was the last of these.
    ///
    /// # Errors
    /// Those of [`RunContext::begin`], and when the journal cannot be written.
    pub fn begin_change(&mut self, phase: Phase, given: Duration) -> Result {
        self.begin(phase, given)?;
        self.journal.begin().map_err(no_journal)?;
        self.cancel = CancelEnds::Waits;
        failpoint!("journal-begun");
        Ok(())
    }

    /// The commit point: everything that was asked for is done and seen to be good, so nothing goes back any more, not
    /// even after a crash. That is on disk when this returns; else nothing is tidied up, so that going back is possible.
    pub fn commit(&mut self) {
        if !self.noted.is_empty() {
            failpoint!("before-commit");
            if let Err(error) = self.journal.commit() {
                log::warn!("nothing is tidied up, because the journal could not be written: {error}");
                return;
            }
            failpoint!("committed");
        }
        self.committed = true;
    }

    /// Takes a step after the commit point, whatever the time and whoever asked the run to end. Its failure is said and is
    /// not the run's.
    pub fn tidy(&mut self, phase: Phase, given: Duration, act: impl FnOnce(&mut Self) -> Result) {
        if self.committed {
            self.phase = phase;
            let done = self.in_any_case(given, act);
            self.warn(done);
        }
    }

    /// Does what must be done whatever came of the steps. Its failure is said and is not the run's.
    pub fn finally(&mut self, act: impl FnOnce(&mut Self) -> Result) {
        let done = self.in_any_case(CLEANUP_DEADLINE, act);
        self.warn(done);
    }

    fn warn(&mut self, done: Result) {
        if let Err(failure) = done {
            self.tell(format!("warning: {failure}"));
        }
    }

    /// Takes what must be done whatever the deadlines of step and run say: the look after a change, the way back. `act`
    /// has `given` for it; afterwards the other deadlines count again.
    pub fn in_any_case<T>(&mut self, given: Duration, act: impl FnOnce(&mut Self) -> T) -> T {
        let own = Deadline::new(&format!("the end of the step `{}`", self.phase), given);
        let deadline = std::mem::replace(&mut self.deadline, own);
        let cancel = std::mem::replace(&mut self.cancel, CancelEnds::Nothing);
        let result = act(self);
        (self.deadline, self.cancel) = (deadline, cancel);
        result
    }

    /// Calls `look` until it finds something or `until` has come: at once, after 100 ms, and then at intervals that double
    /// up to `every`. `None` when nothing was found by then. A cancellation ends it unless the run goes back, even where
    /// something was changed already.
    ///
    /// # Errors
    /// Those of `look`; [`Failure::Cancelled`], and [`Failure::Deadline`] when step or run has no time left.
    pub fn poll<T>(
        &mut self,
        every: Duration,
        until: Instant,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut pause = FIRST_PROBE_PAUSE.min(every);
        loop {
            if let Some(found) = look(self)? {
                return Ok(Some(found));
            }
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            self.wait_until(until.min(now + pause), CancelEnds::Waits)?;
            pause = every.min(pause * 2);
        }
    }

    /// Puts one line into the log, and so before every follower. Control characters are made harmless, the length is
    /// bounded.
    pub fn say(&mut self, phase: Phase, message: &str) {
        self.log.say(phase, message);
    }

    /// Says it in the phase of the step.
    pub fn tell(&mut self, message: impl AsRef<str>) {
        self.say(self.phase, message.as_ref());
    }

    /// Waits.
    ///
    /// # Errors
    /// Ends early with [`Failure::Cancelled`] or, at the step's deadline, [`Failure::Deadline`].
    pub fn pause(&mut self, duration: Duration) -> Result {
        self.wait_until(Instant::now() + duration, CancelEnds::Everything)
    }

    fn wait_until(&mut self, until: Instant, cancel_ends: CancelEnds) -> Result {
        loop {
            self.check(cancel_ends)?;
            if Instant::now() >= until {
                return Ok(());
            }
            self.sleep_until(until.min(self.deadline.until))?;
        }
    }

    /// Whether to go on with what a cancellation ends as long as it ends `cancel_ends`.
    pub fn check(&mut self, cancel_ends: CancelEnds) -> Result {
        // Asked in any case: a signal that is not read would wake every wait.
        if self.interrupts.asked() && self.cancel <= cancel_ends {
            return Err(Failure::Cancelled);
        }
        self.deadline.check()
    }

    /// Waits, whatever the deadlines say and whoever cancels; whether the operator has used force to end it.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn pause_unless_forced(&mut self, duration: Duration) -> Result<bool> {
        let until = Instant::now() + duration;
        while !self.interrupts.take_force() {
            if Instant::now() >= until {
                return Ok(false);
            }
            self.sleep_until(until)?;
        }
        Ok(true)
    }

    /// Until then, or a signal.
    fn sleep_until(&self, until: Instant) -> Result {
        poll::wait([(self.interrupts.as_fd(), For::Reading)], Some(until))?;
        Ok(())
    }

    /// Whether anything may have been changed: then a cancellation ends no tool.
    pub fn has_changed(&self) -> bool {
        self.cancel != CancelEnds::Everything
    }

    /// From now on a cancellation ends nothing.
    pub fn goes_back(&mut self) {
        self.cancel = CancelEnds::Nothing;
        self.phase = Phase::Rollback;
    }

    /// Adds a member to the outcome, beyond the fixed ones. A later one of the same name replaces it.
    pub fn outcome_member(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// Keeps `secret` out of every line from now on, and out of the outcome, whoever says it.
    pub fn hide(&mut self, secret: &Secret) {
        self.log.mask.hide(secret);
    }

    pub fn run_id(&self) -> &RunId {
        &self.ticket.file.id
    }

    /// Leaves a document in the run's folder, beside its log.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn leave_document(&self, name: &str, document: &Value) -> io::Result<()> {
        let text = self.log.mask.cover(&format!("{document}\n"));
        let path = self.folder.path().join(name);
        files::replace_volatile(&path, text.as_bytes(), 0o600)
    }

    /// Writes down what is about to be changed and what it was before; on disk when this returns.
    ///
    /// # Errors
    /// When it could not be written: then it must not be changed.
    pub fn write_undo_record(&mut self, entry: Value) -> Result {
        self.journal.append_entry(&entry).map_err(no_journal)?;
        self.noted.push(entry);
        Ok(())
    }
}

fn no_journal(error: io::Error) -> Failure {
    Failure::Failed(format!(
        "nothing was changed, because the journal could not be written: {error}"
    ))
}

#[cfg(test)]
#[path = "context_tests.rs"]
pub(crate) mod tests;
