//! Everything that a step may do: say something, start a tool, wait, add to the outcome.
//!
//! A step sees the run through this and nothing else, so that a cancellation, a deadline and the ending of tools are
//! met here, once, and not in every step.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value};

use crate::event::Phase;
use crate::failpoint;
use crate::limits::{CLEANUP_DEADLINE, FIRST_PROBE_PAUSE, KILL_AFTER};
use crate::os::files::{self, Durability};
use crate::os::poll::{self, For};
use crate::os::process;
use crate::os::secret::Secret;
use crate::os::signal::Signal;
use crate::queue::journal::Journal;
use crate::queue::ticket::Ticket;
use crate::queue::{RunFolder, RunId};
use crate::run::ending::{GroupIs, group_is};
use crate::run::interrupts::Interrupts;
use crate::run::log::{Log, Voice};
use crate::run::step::{Effect, Failure};

/// The world as a step sees it.
#[derive(Debug)]
pub struct RunContext {
    pub(super) folder: RunFolder,
    pub(super) log: Log,
    pub(super) interrupts: Interrupts,
    pub(super) ticket: Ticket,
    journal: Journal,
    members: Map<String, Value>,
    pub(super) phase: Phase,
    pub(super) run: Bound,
    pub(super) step: Bound,
    /// What a cancellation of the run ends now.
    cancel: CancelEnds,
    /// What the journal holds.
    noted: Vec<Value>,
    committed: bool,
    /// Process groups of tools that are not known to be gone.
    pub(super) groups: Vec<i32>,
}

/// A deadline, and what it is the deadline of.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) what: String,
    pub(super) given: Duration,
    pub(super) until: Instant,
}

/// What a cancellation of the run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CancelEnds {
    /// Tools and waits: nothing has been changed yet.
    Everything,
    /// Waits alone: something has been changed, and no tool is cut in its middle.
    Waits,
    /// Nothing: the run goes back, or does what must be done in any case.
    Nothing,
}

/// What may end waiting for a tool, besides its own end and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelPolicy {
    Cancel,
    /// `cancel --force`.
    ForceOnly,
    Never,
}

impl Bound {
    pub(super) fn new(what: impl Into<String>, given: Duration) -> Self {
        let until = Instant::now() + given;
        Self {
            what: what.into(),
            given,
            until,
        }
    }

    pub(super) fn passed(&self) -> Failure {
        Failure::Deadline {
            what: self.what.clone(),
            given: self.given,
        }
    }
}

impl RunContext {
    /// The stage of a run whose turn has come: it may take `run_max` from now on.
    pub fn new(
        folder: RunFolder,
        log: Log,
        interrupts: Interrupts,
        ticket: Ticket,
        journal: Journal,
        run_max: Duration,
    ) -> Self {
        let run = Bound::new("the run", run_max);
        Self {
            folder,
            log,
            interrupts,
            ticket,
            journal,
            members: Map::new(),
            phase: Phase::Preflight,
            step: run.clone(),
            run,
            cancel: CancelEnds::Everything,
            noted: Vec::new(),
            committed: false,
            groups: Vec::new(),
        }
    }

    /// Takes one step: its lines bear `phase`, and it has `deadline`, shortened by what the run has left.
    ///
    /// # Errors
    /// What `act` fails with; and before it begins where the run was cancelled, its time is up, or the journal cannot be
    /// written for the first step that changes something.
    pub fn step<T>(
        &mut self,
        phase: Phase,
        deadline: Duration,
        effect: Effect,
        act: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.enter(phase, deadline, effect)?;
        act(self)
    }

    /// The commit point: everything that was asked for is done and seen to be good, so nothing goes back any more, not
    /// even after a crash. That is on disk when this returns; else nothing is tidied up, so that going back is possible.
    pub fn commit(&mut self) {
        match self.write_commit() {
            Ok(()) => self.committed = true,
            Err(error) => {
                log::warn!("nothing is tidied up, because the journal could not be written: {error}")
            }
        }
    }

    /// Takes a step after the commit point, whatever the time and whoever asked the run to end. Its failure is said and is
    /// not the run's.
    pub fn tidy(
        &mut self,
        phase: Phase,
        deadline: Duration,
        act: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) {
        if !self.committed {
            return;
        }
        self.phase = phase;
        if let Err(failure) = self.in_any_case(deadline, act) {
            self.say(phase, &format!("warning: {failure}"));
        }
    }

    /// Does what must be done whatever came of the steps, when none of their tools is at work any more. Its failure is
    /// said and is not the run's.
    pub fn finally(&mut self, act: impl FnOnce(&mut Self) -> Result<(), Failure>) {
        self.end_what_is_left();
        if let Err(failure) = self.in_any_case(CLEANUP_DEADLINE, act) {
            self.say(self.phase, &format!("warning: {failure}"));
        }
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
        mut look: impl FnMut(&mut Self) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
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
        self.log.say(phase, message, Voice::Run, SystemTime::now());
    }

    /// Waits.
    ///
    /// # Errors
    /// Ends early with [`Failure::Cancelled`] or, at the step's deadline, [`Failure::Deadline`].
    pub fn pause(&mut self, duration: Duration) -> Result<(), Failure> {
        self.wait_until(Instant::now() + duration, CancelEnds::Everything)
    }

    fn wait_until(&mut self, until: Instant, cancel_up_to: CancelEnds) -> Result<(), Failure> {
        loop {
            self.check_for(cancel_up_to)?;
            if Instant::now() >= until {
                return Ok(());
            }
            let until = until.min(self.deadline());
            poll::wait([(self.interrupts_descriptor(), For::Reading)], Some(until)).map_err(machine)?;
        }
    }

    /// Whether the step should go on: for steps that loop without pausing.
    ///
    /// # Errors
    /// [`Failure::Cancelled`], [`Failure::Deadline`].
    pub fn check(&mut self) -> Result<(), Failure> {
        self.check_for(CancelEnds::Everything)
    }

    /// The same for what a cancellation ends up to the state `most`.
    fn check_for(&mut self, most: CancelEnds) -> Result<(), Failure> {
        // Asked in any case: a signal that is not read would wake every wait.
        if self.interrupts.asked() && self.cancel <= most {
            return Err(Failure::Cancelled);
        }
        let now = Instant::now();
        match [&self.step, &self.run]
            .into_iter()
            .find(|bound| now >= bound.until)
        {
            Some(bound) => Err(bound.passed()),
            None => Ok(()),
        }
    }

    /// Whether the operator has used force: then a tool may not have come to the end of what it was doing.
    pub fn is_forced(&mut self) -> bool {
        self.interrupts.forced()
    }

    /// Adds a member to the outcome, beyond the fixed ones. A later one of the same name replaces it.
    pub fn outcome_member(&mut self, name: &str, value: Value) {
        self.members.insert(name.to_owned(), value);
    }

    /// Keeps `secret` out of every line from now on, and out of the outcome, whoever says it.
    pub fn hide(&mut self, secret: &Secret) {
        self.log.mask.hide(secret);
    }

    /// The run.
    pub fn run_id(&self) -> &RunId {
        &self.ticket.seen().id
    }

    /// Leaves a document in the run's folder, beside its log.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn leave_document(&self, name: &str, document: &Value) -> std::io::Result<()> {
        let bytes = self.log.mask.cover(&format!("{document}\n"));
        files::replace(
            &self.folder.path().join(name),
            bytes.as_bytes(),
            0o600,
            Durability::Volatile,
        )
    }

    /// Writes down what is about to be changed and what it was before; on disk when this returns.
    ///
    /// # Errors
    /// When it could not be written: then it must not be changed.
    pub fn note(&mut self, entry: Value) -> Result<(), Failure> {
        self.journal.note(&entry).map_err(no_journal)?;
        self.noted.push(entry);
        Ok(())
    }

    /// Takes what must be done whatever the deadlines of step and run say: the look after a change, the way back. `act`
    /// has `given` for it; afterwards the other deadlines count again.
    pub fn in_any_case<T>(&mut self, given: Duration, act: impl FnOnce(&mut Self) -> T) -> T {
        let own = Bound::new(format!("the end of the step `{}`", phase_name(self.phase)), given);
        let step = std::mem::replace(&mut self.step, own.clone());
        let run = std::mem::replace(&mut self.run, own);
        let cancel = std::mem::replace(&mut self.cancel, CancelEnds::Nothing);
        let result = act(self);
        (self.step, self.run, self.cancel) = (step, run, cancel);
        result
    }

    /// When the step must have ended: its own deadline or the run's.
    pub fn deadline(&self) -> Instant {
        self.step.until.min(self.run.until)
    }
}

/// What the runner does with it.
impl RunContext {
    /// Begins a step: whether it may, its deadline, and the journal when it is the first that changes something.
    fn enter(&mut self, phase: Phase, deadline: Duration, effect: Effect) -> Result<(), Failure> {
        if self.interrupts.asked() {
            return Err(Failure::Cancelled);
        }
        if Instant::now() >= self.run.until {
            return Err(self.run.passed());
        }
        if effect == Effect::Changes {
            self.journal.begin().map_err(no_journal)?;
            self.cancel = CancelEnds::Waits;
            failpoint!("journal-begun");
        }
        self.phase = phase;
        self.step = Bound::new(format!("the step `{}`", phase_name(phase)), deadline);
        Ok(())
    }

    /// Writes down that nothing goes back any more, where something could.
    fn write_commit(&mut self) -> std::io::Result<()> {
        if self.noted.is_empty() {
            return Ok(());
        }
        failpoint!("before-settled");
        self.journal.settle()?;
        failpoint!("settled");
        Ok(())
    }

    /// What is to be put back, in the order in which it was written down.
    pub fn noted(&self) -> Vec<Value> {
        self.noted.clone()
    }

    /// Whether anything may have been changed.
    pub fn has_changed(&self) -> bool {
        self.cancel != CancelEnds::Everything
    }

    /// From now on a cancellation ends nothing, and nothing of the way forward is at work any more.
    pub fn goes_back(&mut self) {
        self.cancel = CancelEnds::Nothing;
        self.phase = Phase::Rollback;
        self.end_what_is_left();
    }

    /// Ends what a step has left at work, so that the turn never passes while a tool of ours lives; then gives back
    /// what the record needs.
    pub fn leave(mut self) -> (Log, Ticket, Map<String, Value>) {
        self.end_what_is_left();
        (self.log, self.ticket, self.members)
    }

    fn end_what_is_left(&mut self) {
        for group in std::mem::take(&mut self.groups) {
            log::warn!(
                "run {} kills the process group {group}, which a step left",
                self.ticket.seen().id
            );
            process::signal_group(group, Signal::SIGKILL);
            let until = Instant::now() + KILL_AFTER;
            while group_is(group) == GroupIs::Alive && Instant::now() < until {
                let soon = Instant::now() + Duration::from_millis(10);
                let _ = poll::wait([(self.interrupts_descriptor(), For::HangUp)], Some(soon));
            }
        }
    }

    pub(super) fn forget(&mut self, group: i32) {
        self.groups.retain(|known| *known != group);
        if let Err(error) = self.ticket.ended(group) {
            log::warn!("run {}: write the ticket: {error}", self.ticket.seen().id);
        }
    }

    pub(super) fn cancel_policy(&self) -> CancelPolicy {
        match self.cancel {
            CancelEnds::Everything => CancelPolicy::Cancel,
            CancelEnds::Waits | CancelEnds::Nothing => CancelPolicy::Never,
        }
    }

    pub(super) fn interrupts_descriptor(&self) -> BorrowedFd<'_> {
        self.interrupts.as_fd()
    }
}

pub(super) fn machine(error: std::io::Error) -> Failure {
    Failure::Failed(format!("wait: {error}"))
}

fn no_journal(error: std::io::Error) -> Failure {
    Failure::Failed(format!(
        "nothing was changed, because the journal could not be written: {error}"
    ))
}

/// A phase as the wire names it.
pub(super) fn phase_name(phase: Phase) -> String {
    serde_json::to_value(phase)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "context_tests.rs"]
pub(crate) mod tests;
