//! Processes that are ended from outside: the tools that a dead run has left at work, and a notice past its time.
//!
//! A ticket names a tool by process group and start time. A group's number cannot be given away while the group has
//! members, and its members must be of the dead run's session besides, so nobody else's process is ever signalled.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::limits::STILL_WAITING_EVERY;
use crate::os::poll::{self, For};
use crate::os::process::{self, ProcessSet};
use crate::queue::EndPolicy;
use crate::queue::notes::{Notes, Process};
use crate::run::end::{Target, attempts};
use crate::run::interrupts::Interrupts;
use crate::run::{Failure, Result};

/// Between two looks at whether a process has ended whose end is no signal to us.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The processes of one tool.
pub struct Processes {
    /// As a sentence names it.
    pub name: String,
    /// They are of its session; `None` is ours.
    pub holder: Option<Process>,
    /// They are of its group; `None` where the run was killed while it started the tool.
    pub leader: Option<Process>,
}

/// Waits for or ends every tool that `notes` name. `say` hears what is waited for.
///
/// # Errors
/// [`Failure::Cancelled`] when the waiting run is asked to end; [`Failure::Failed`] when a tool does not end although
/// killed.
pub fn end_orphans(notes: &Notes, interrupts: &mut Interrupts, say: &mut dyn FnMut(&str)) -> Result {
    let Some(holder) = notes.holder else { return Ok(()) };
    for tool in &notes.tools {
        let orphan = Processes {
            name: format!("`{}`, which an interrupted run left at work", tool.program),
            holder: Some(holder),
            leader: tool.started,
        };
        if orphan.living()?.is_empty() {
            continue;
        }
        say(&format!("waiting for {}", orphan.name));
        match tool.end_policy {
            // An INT would leave the rest of an apply undone, and dockerd does what it was asked whatever becomes of its
            // client.
            EndPolicy::Interrupt | EndPolicy::WaitOut => {
                while !orphan.end_by(Instant::now() + STILL_WAITING_EVERY, interrupts)? {
                    say(&format!("still waiting for {}", orphan.name));
                }
            }
            policy => orphan.end(policy, interrupts)?,
        }
    }
    Ok(())
}

impl Processes {
    /// Ends them, one attempt after the other.
    pub fn end(&self, policy: EndPolicy, interrupts: &mut Interrupts) -> Result {
        for attempt in attempts(policy) {
            let mut meant = self.living()?;
            if attempt.target == Target::Tool {
                meant.retain(|pid| self.leader.is_some_and(|leader| leader.pid == *pid));
            }
            meant
                .into_iter()
                .for_each(|pid| process::signal(pid, attempt.signal));
            let patience = attempt.patience.unwrap_or(STILL_WAITING_EVERY);
            if self.end_by(Instant::now() + patience, interrupts)? {
                return Ok(());
            }
        }
        Err(Failure::Failed(format!(
            "{} does not end, although killed",
            self.name
        )))
    }

    /// Whether they have all ended by then.
    pub fn end_by(&self, until: Instant, interrupts: &mut Interrupts) -> Result<bool> {
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

    fn living(&self) -> Result<Vec<i32>> {
        let is_another =
            |one: &Process| process::start_time(one.pid).is_some_and(|start| start != one.start_time);
        if [self.holder, self.leader].iter().flatten().any(is_another) {
            return Ok(Vec::new());
        }
        let of = |set| process::living(set).map_err(broken_look);
        match (self.holder, self.leader) {
            (None, None) => Ok(Vec::new()),
            (Some(holder), None) => of(ProcessSet::Session(holder.pid)),
            (None, Some(leader)) => of(ProcessSet::Group(leader.pid)),
            (Some(holder), Some(leader)) => {
                let mut living = of(ProcessSet::Session(holder.pid))?;
                let group = of(ProcessSet::Group(leader.pid))?;
                living.retain(|pid| group.contains(pid));
                Ok(living)
            }
        }
    }
}

fn broken_look(error: io::Error) -> Failure {
    Failure::Failed(format!("look for what an interrupted run left at work: {error}"))
}
