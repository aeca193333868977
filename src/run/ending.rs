//! Ending a tool that has to end before it does so itself, in the way that suits it, and with it all that it has started.
//!
//! Nothing is given up before its group is empty: what lives on would change things beside the next run.

use std::time::{Duration, Instant};

use crate::limits::{GENTLY, KILL_AFTER};
use crate::os::poll::{self, For};
use crate::os::process::{self, Kin};
use crate::os::signal::Signal;
use crate::queue::EndPolicy;
use crate::run::RunContext;
use crate::run::carry::{Attended, OnLine};
use crate::run::context::{CancelPolicy, machine};
use crate::run::step::Failure;
use crate::run::tool::{AtWork, Running};

impl RunContext {
    /// Ends a tool that is past its deadline: KILL to its group, then waits until the group is empty. Only after a
    /// look at what it was doing: it may be in the middle.
    pub fn kill(&mut self, at_work: AtWork) -> Result<(), Failure> {
        let mut running = at_work.running;
        running.child.signal_group(Signal::SIGKILL);
        match self.empty_group(&mut running, Instant::now() + KILL_AFTER, &mut |_| None)? {
            GroupIs::Empty => Ok(()),
            GroupIs::Alive => Err(Failure::Failed(format!(
                "{} does not end, although killed",
                running.name
            ))),
        }
    }

    /// Ends a tool as `ending` says; `why` comes back, or a worse failure.
    pub(super) fn end(
        &mut self,
        mut running: Running,
        ending: EndPolicy,
        why: Failure,
        on_line: &mut OnLine<'_>,
    ) -> Failure {
        let ended = match ending {
            EndPolicy::Interrupt => self.interrupt(&mut running, on_line),
            EndPolicy::InterruptThenTerminate => self.end_gently(&mut running, on_line),
            EndPolicy::Terminate | EndPolicy::NeverMidway => self.terminate(&mut running, on_line),
        };
        match ended {
            Ok(()) => why,
            Err(worse) => worse,
        }
    }

    fn terminate(&mut self, running: &mut Running, on_line: &mut OnLine<'_>) -> Result<(), Failure> {
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            running.child.signal_group(signal);
            if self.empty_group(running, Instant::now() + KILL_AFTER, on_line)? == GroupIs::Empty {
                return Ok(());
            }
        }
        Err(Failure::Failed(format!(
            "{} does not end, although killed",
            running.name
        )))
    }

    /// One INT, and then as long as it takes: a second one makes terraform leave out of its state what it is creating. That
    /// takes the operator's force, and so does what comes after it.
    fn interrupt(&mut self, running: &mut Running, on_line: &mut OnLine<'_>) -> Result<(), Failure> {
        self.say(
            self.phase,
            &format!(
                "asked {} to end after what it is doing now; waiting for it",
                running.name
            ),
        );
        running.child.signal(Signal::SIGINT);
        loop {
            let later = Instant::now() + Duration::from_secs(3600);
            match self.attend(running, later, CancelPolicy::ForceOnly, on_line)? {
                Attended::Ended(_) => return self.after_its_end(running),
                Attended::Cancelled => break,
                Attended::TimeIsUp => {}
            }
        }
        self.say(
            self.phase,
            &format!(
                "ending {} by force: what it is creating now may be missing from its state",
                running.name
            ),
        );
        // To terraform it is the same as a second INT; but of two INTs that are pending the kernel makes one.
        running.child.signal(Signal::SIGTERM);
        let until = Instant::now() + KILL_AFTER;
        match self.attend(running, until, CancelPolicy::Never, on_line)? {
            Attended::Ended(_) => self.after_its_end(running),
            _ => self.terminate(running, on_line),
        }
    }

    /// One INT and a long wait, so that it can give back the lock it holds; then it is terminated.
    fn end_gently(&mut self, running: &mut Running, on_line: &mut OnLine<'_>) -> Result<(), Failure> {
        running.child.signal(Signal::SIGINT);
        let until = Instant::now() + GENTLY;
        match self.attend(running, until, CancelPolicy::ForceOnly, on_line)? {
            Attended::Ended(_) => self.after_its_end(running),
            _ => self.terminate(running, on_line),
        }
    }

    fn after_its_end(&mut self, running: &mut Running) -> Result<(), Failure> {
        self.sweep(running)?;
        self.forget(running.child.pid());
        Ok(())
    }

    /// Kills what a tool has left in its group, which it should have ended itself: terraform leaves the programs that a
    /// configuration starts.
    pub(super) fn sweep(&mut self, running: &mut Running) -> Result<(), Failure> {
        let until = Instant::now() + KILL_AFTER;
        let group = running.child.pid();
        while group_is(group) == GroupIs::Alive {
            running.child.signal_group(Signal::SIGKILL);
            if Instant::now() >= until {
                return Err(Failure::Failed(format!(
                    "what {} has left does not end, although killed",
                    running.name
                )));
            }
            let soon = Instant::now() + Duration::from_millis(10);
            poll::wait([(self.interrupts_descriptor(), For::HangUp)], Some(soon)).map_err(machine)?;
        }
        Ok(())
    }

    /// Waits until the tool and all of its group are gone.
    fn empty_group(
        &mut self,
        running: &mut Running,
        until: Instant,
        on_line: &mut OnLine<'_>,
    ) -> Result<GroupIs, Failure> {
        let group = running.child.pid();
        if !matches!(
            self.attend(running, until, CancelPolicy::Never, on_line)?,
            Attended::Ended(_)
        ) {
            return Ok(GroupIs::Alive);
        }
        while group_is(group) == GroupIs::Alive {
            if Instant::now() >= until {
                return Ok(GroupIs::Alive);
            }
            let soon = until.min(Instant::now() + Duration::from_millis(10));
            poll::wait([(self.interrupts_descriptor(), For::HangUp)], Some(soon)).map_err(machine)?;
        }
        self.forget(group);
        Ok(GroupIs::Empty)
    }
}

/// Whether any process of a group lives, zombies not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupIs {
    Empty,
    Alive,
}

pub fn group_is(group: i32) -> GroupIs {
    match process::living(Kin::Group(group)) {
        Ok(living) if living.is_empty() => GroupIs::Empty,
        _ => GroupIs::Alive,
    }
}
