//! The tools that a dead run has left at work: waited for or ended before anybody else may change something.
//!
//! The ticket names them by process group and start time. A group's number cannot be given away while the group has
//! members, and its members must be of the dead run's session besides, so nobody else's process is ever signalled.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::limits::STILL_WAITING_EVERY;
use crate::os::poll::{self, For};
use crate::os::process::{self, ProcessSet};
use crate::queue::EndPolicy;
use crate::queue::notes::{Notes, Process, ToolAtWork};
use crate::run::Failure;
use crate::run::end::{Attempt, Target, attempts};
use crate::run::interrupts::Interrupts;

/// Between two looks at whether a process has ended that is not our child.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One tool that may still be at work.
struct Orphan<'a> {
    tool: &'a ToolAtWork,
    /// The dead run's process, whose session the tool is in.
    holder: Process,
}

/// Waits for or ends every tool that `notes` name. `say` hears what is waited for.
///
/// # Errors
/// [`Failure::Cancelled`] when the waiting run is asked to end; [`Failure::Failed`] when a tool does not end although
/// killed.
pub fn end_all(notes: &Notes, interrupts: &mut Interrupts, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let Some(holder) = notes.holder else { return Ok(()) };
    for tool in &notes.tools {
        let orphan = Orphan { tool, holder };
        if !orphan.living()?.is_empty() {
            orphan.end(interrupts, say)?;
        }
    }
    Ok(())
}

impl Orphan<'_> {
    fn end(&self, interrupts: &mut Interrupts, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
        let program = &self.tool.program;
        say(&format!(
            "waiting for `{program}`, which an interrupted run left at work"
        ));
        // An INT would leave the rest of an apply undone, and dockerd does what it was asked whatever becomes of its client.
        if let EndPolicy::Interrupt | EndPolicy::WaitOut = self.tool.end_policy {
            while !self.ends_by(Instant::now() + STILL_WAITING_EVERY, interrupts)? {
                say(&format!("still waiting for `{program}`"));
            }
            return Ok(());
        }
        for attempt in attempts(self.tool.end_policy) {
            self.signal(attempt)?;
            let patience = attempt.patience.unwrap_or(STILL_WAITING_EVERY);
            if self.ends_by(Instant::now() + patience, interrupts)? {
                return Ok(());
            }
        }
        Err(Failure::Failed(format!(
            "`{program}` of an interrupted run does not end, although killed"
        )))
    }

    /// Its processes that live; where the run was killed while it started the tool, all of the run's session.
    fn living(&self) -> Result<Vec<i32>, Failure> {
        let is_another =
            |one: &Process| process::start_time(one.pid).is_some_and(|start| start != one.start_time);
        let leader = self.tool.started;
        if is_another(&self.holder) || leader.as_ref().is_some_and(is_another) {
            return Ok(Vec::new());
        }
        let mut living = process::living(ProcessSet::Session(self.holder.pid)).map_err(broken_look)?;
        if let Some(leader) = leader {
            let group = process::living(ProcessSet::Group(leader.pid)).map_err(broken_look)?;
            living.retain(|pid| group.contains(pid));
        }
        Ok(living)
    }

    fn signal(&self, attempt: &Attempt) -> Result<(), Failure> {
        let mut meant = self.living()?;
        if attempt.target == Target::Tool {
            meant.retain(|pid| self.tool.started.is_some_and(|leader| leader.pid == *pid));
        }
        for pid in meant {
            process::signal(pid, attempt.signal);
        }
        Ok(())
    }

    fn ends_by(&self, until: Instant, interrupts: &mut Interrupts) -> Result<bool, Failure> {
        while !self.living()?.is_empty() {
            if interrupts.asked() {
                return Err(Failure::Cancelled);
            }
            let now = Instant::now();
            if now >= until {
                return Ok(false);
            }
            let until = until.min(now + LOOK_AGAIN);
            poll::wait([(interrupts.as_fd(), For::Reading)], Some(until)).map_err(broken_look)?;
        }
        Ok(true)
    }
}

fn broken_look(error: io::Error) -> Failure {
    Failure::Failed(format!("look for what an interrupted run left at work: {error}"))
}
