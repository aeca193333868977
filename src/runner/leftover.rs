//! What a dead run has left at work: its tools, waited for or ended before anybody else may change something.
//!
//! The ticket names them by process group and start time. A group's number cannot be given away while the group has
//! members, and its members must be of the dead run's session besides, so nobody else's process is ever signalled.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::limits::{GENTLY, KILL_AFTER};
use crate::os::poll::{self, For};
use crate::os::process::{self, Kin};
use crate::os::signal::Signal;
use crate::queue::EndPolicy;
use crate::queue::ticket::{Notes, Process, Work};
use crate::run::interrupts::Interrupts;
use crate::run::step::Failure;

/// Between two looks at whether a process has ended that is not our child.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// One tool that may still be at work.
struct Leftover<'a> {
    work: &'a Work,
    holder: Process,
    /// `None` where the run was killed while it started the tool: then it is whatever of the session lives.
    leader: Option<Process>,
}

/// Waits for or ends every tool that `notes` name. `say` hears what is waited for.
///
/// # Errors
/// [`Failure::Cancelled`] when the waiting run is asked to end; [`Failure::Failed`] when a tool does not end although
/// killed.
pub fn finish(notes: &Notes, interrupts: &mut Interrupts, say: &mut dyn FnMut(&str)) -> Result<(), Failure> {
    let Some(holder) = notes.holder else { return Ok(()) };
    for (work, leader) in &notes.work {
        let leftover = Leftover {
            work,
            holder,
            leader: *leader,
        };
        if !leftover.living()?.is_empty() {
            say(&format!(
                "waiting for `{}`, which an interrupted run left at work",
                work.program
            ));
            leftover.finish(interrupts)?;
        }
    }
    Ok(())
}

impl Leftover<'_> {
    /// Its processes that live.
    fn living(&self) -> Result<Vec<i32>, Failure> {
        let given_away =
            |one: &Process| process::start_time(one.pid).is_some_and(|start| start != one.start_time);
        if given_away(&self.holder) || self.leader.as_ref().is_some_and(given_away) {
            return Ok(Vec::new());
        }
        let mut living = process::living(Kin::Session(self.holder.pid)).map_err(unseen)?;
        if let Some(leader) = self.leader {
            let group = process::living(Kin::Group(leader.pid)).map_err(unseen)?;
            living.retain(|pid| group.contains(pid));
        }
        Ok(living)
    }

    fn finish(&self, interrupts: &mut Interrupts) -> Result<(), Failure> {
        match self.work.ending {
            EndPolicy::Terminate => {
                self.signal(Signal::SIGTERM)?;
                if self.ends_until(Instant::now() + KILL_AFTER, interrupts)? {
                    return Ok(());
                }
            }
            EndPolicy::Interrupt => {
                // It is let finish: one INT would leave the rest of what it was to do undone.
                while !self.ends_until(Instant::now() + Duration::from_secs(3600), interrupts)? {}
                return Ok(());
            }
            EndPolicy::InterruptThenTerminate => {
                if let Some(leader) = self.leader {
                    process::signal(leader.pid, Signal::SIGINT);
                }
                if self.ends_until(Instant::now() + GENTLY, interrupts)? {
                    return Ok(());
                }
                self.signal(Signal::SIGTERM)?;
                if self.ends_until(Instant::now() + KILL_AFTER, interrupts)? {
                    return Ok(());
                }
            }
            EndPolicy::NeverMidway => {
                if self.ends_until(self.own_deadline(), interrupts)? {
                    return Ok(());
                }
            }
        }
        self.signal(Signal::SIGKILL)?;
        if self.ends_until(Instant::now() + KILL_AFTER, interrupts)? {
            return Ok(());
        }
        Err(Failure::Failed(format!(
            "`{}` of an interrupted run does not end, although killed",
            self.work.program
        )))
    }

    fn own_deadline(&self) -> Instant {
        let until = UNIX_EPOCH + Duration::from_secs(self.work.until);
        Instant::now() + until.duration_since(SystemTime::now()).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        for pid in self.living()? {
            process::signal(pid, signal);
        }
        Ok(())
    }

    fn ends_until(&self, until: Instant, interrupts: &mut Interrupts) -> Result<bool, Failure> {
        while !self.living()?.is_empty() {
            if interrupts.asked() {
                return Err(Failure::Cancelled);
            }
            let now = Instant::now();
            if now >= until {
                return Ok(false);
            }
            let until = until.min(now + LOOK_AGAIN);
            poll::wait([(interrupts.as_fd(), For::Reading)], Some(until)).map_err(unseen)?;
        }
        Ok(true)
    }
}

fn unseen(error: io::Error) -> Failure {
    Failure::Failed(format!("look for what an interrupted run left at work: {error}"))
}
