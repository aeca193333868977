//! How a tool is ended before it ends by itself: attempts, one after the other. The same for a tool of ours and for one
//! that a dead run has left.

use std::time::Duration;

use crate::limits::{INTERRUPT_PATIENCE, KILL_AFTER};
use crate::os::signal::Signal;
use crate::queue::EndPolicy;

/// A signal, and how long its effect is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub signal: Signal,
    pub target: Target,
    /// `None`: as long as it takes, unless the operator uses force.
    pub patience: Option<Duration>,
    /// Said before it, with `NAME` for the tool's; may be empty.
    pub announcement: &'static str,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The tool alone. Where it ends by that, what is left of its group is killed.
    Tool,
    /// All of its group, which must be empty then.
    Group,
}

const fn attempt(signal: Signal, target: Target, patience: Option<Duration>) -> Attempt {
    Attempt {
        signal,
        target,
        patience,
        announcement: "",
    }
}

const TERMINATE: [Attempt; 2] = [
    attempt(Signal::SIGTERM, Target::Group, Some(KILL_AFTER)),
    attempt(Signal::SIGKILL, Target::Group, Some(KILL_AFTER)),
];

/// A second INT makes terraform leave out of its state what it is creating, so that takes the operator's force. TERM means
/// the same to it; but of two INTs that are pending the kernel makes one.
const INTERRUPT: [Attempt; 4] = [
    Attempt {
        announcement: "asked NAME to end after what it is doing now; waiting for it",
        ..attempt(Signal::SIGINT, Target::Tool, None)
    },
    Attempt {
        announcement: "ending NAME by force: what it is creating now may be missing from its state",
        ..attempt(Signal::SIGTERM, Target::Tool, Some(KILL_AFTER))
    },
    TERMINATE[0],
    TERMINATE[1],
];

/// A plan gives back the lock it holds.
const INTERRUPT_THEN_TERMINATE: [Attempt; 3] = [
    attempt(Signal::SIGINT, Target::Tool, Some(INTERRUPT_PATIENCE)),
    TERMINATE[0],
    TERMINATE[1],
];

/// What ends a tool of this policy.
pub fn attempts(policy: EndPolicy) -> &'static [Attempt] {
    match policy {
        EndPolicy::Terminate | EndPolicy::WaitOut => &TERMINATE,
        EndPolicy::Interrupt => &INTERRUPT,
        EndPolicy::InterruptThenTerminate => &INTERRUPT_THEN_TERMINATE,
    }
}
