//! How a tool is ended before it ends by itself: attempts, one after the other. The same for a tool of ours and for
//! processes that are ended from outside: the tools that a dead run has left at work, and a notice past its time.
//!
//! A ticket names a tool by process group and start time. A group's number cannot be given away while the group has
//! members, and its members must be of the dead run's session besides, so nobody else's process is ever signalled.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::limits::{INTERRUPT_PATIENCE, KILL_AFTER};
use crate::os::poll::{self, For};
use crate::os::process::{self, start_time};
use crate::os::signal::Signal;
use crate::queue::EndPolicy;
use crate::queue::notes::Process;
use crate::run::interrupts::Interrupts;
use crate::run::{Failure, Result};

/// A signal, and how long its effect is waited for.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub signal: Signal,
    /// To all of its group, which must be empty then; else to the tool alone, and where it ends by that, what is left of its
    /// group is killed.
    pub to_group: bool,
    /// Of a tool alone the operator's force ends it.
    pub patience: Duration,
    /// Said before it, with `NAME` for the tool's; may be empty.
    pub announcement: &'static str,
}

const fn to_group(signal: Signal) -> Attempt {
    Attempt {
        to_group: true,
        ..to_tool(signal, KILL_AFTER, "")
    }
}

const fn to_tool(signal: Signal, patience: Duration, announcement: &'static str) -> Attempt {
    Attempt {
        signal,
        to_group: false,
        patience,
        announcement,
    }
}

/// As long as it takes.
const A_YEAR: Duration = Duration::from_secs(365 * 86_400);

const TERMINATE: [Attempt; 2] = [to_group(Signal::SIGTERM), to_group(Signal::SIGKILL)];

/// A second INT makes terraform leave out of its state what it is creating, so that takes the operator's force. TERM means
/// the same to it; but of two INTs that are pending the kernel makes one.
const INTERRUPT: [Attempt; 4] = [
    to_tool(
        Signal::SIGINT,
        A_YEAR,
        "asked NAME to end after what it is doing now; waiting for it",
    ),
    to_tool(
        Signal::SIGTERM,
        KILL_AFTER,
        "ending NAME by force: what it is creating now may be missing from its state",
    ),
    TERMINATE[0],
    TERMINATE[1],
];

/// A plan gives back the lock it holds.
const INTERRUPT_THEN_TERMINATE: [Attempt; 3] = [
    to_tool(Signal::SIGINT, INTERRUPT_PATIENCE, ""),
    TERMINATE[0],
    TERMINATE[1],
];

/// What ends a tool of this policy.
pub(super) fn attempts(policy: EndPolicy) -> &'static [Attempt] {
    match policy {
        EndPolicy::Terminate | EndPolicy::WaitOut => &TERMINATE,
        EndPolicy::Interrupt => &INTERRUPT,
        EndPolicy::InterruptThenTerminate => &INTERRUPT_THEN_TERMINATE,
    }
}

/// Between two looks at whether a process has ended whose end is no signal to us.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The processes of one tool, which are ended from outside.
pub struct Processes {
    /// As a sentence names it.
    pub name: String,
    /// They are of its session; `None` is ours.
    pub holder: Option<Process>,
    /// They are of its group; `None` where the run was killed while it started the tool.
    pub leader: Option<Process>,
}

impl Processes {
    /// Ends them, one attempt after the other.
    ///
    /// # Errors
    /// [`Failure::Cancelled`] when we are asked to end; [`Failure::Failed`] when they do not end although killed.
    pub fn end(&self, policy: EndPolicy, interrupts: &mut Interrupts) -> Result {
        for attempt in attempts(policy) {
            let living = self.living()?;
            match self.leader {
                // At once: one that forks while each is signalled by itself leaves a child that was not.
                Some(leader) if attempt.to_group && !living.is_empty() => {
                    process::signal(-leader.pid, attempt.signal);
                }
                leader => living
                    .into_iter()
                    .filter(|pid| attempt.to_group || leader.is_some_and(|leader| leader.pid == *pid))
                    .for_each(|pid| process::signal(pid, attempt.signal)),
            }
            if self.end_by(Instant::now() + attempt.patience, interrupts)? {
                return Ok(());
            }
        }
        Err(not_ended(&self.name))
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
            poll::wait(
                [(interrupts.as_fd(), For::Reading)],
                Some(until.min(now + LOOK_AGAIN)),
            )?;
        }
        Ok(true)
    }

    pub fn living(&self) -> Result<Vec<i32>> {
        let is_another = |one: &Process| start_time(one.pid).is_some_and(|start| start != one.start_time);
        if [self.holder, self.leader].iter().flatten().any(is_another) {
            return Ok(Vec::new());
        }
        let pid = |process: Option<Process>| process.map(|process| process.pid);
        Ok(process::living(pid(self.holder), pid(self.leader))?)
    }
}

pub(super) fn not_ended(name: &str) -> Failure {
    format!("{name} does not end, although killed").into()
}
