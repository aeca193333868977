//! The words in which a job tells a run what to do: [`Plan`], [`Step`], [`Failure`].
//!
//! Nothing happens here. [`crate::run::runner`] takes the steps one after another and stops at the first failure.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::event::Phase;
use crate::run::RunContext;

/// What a step does to the world; it decides what a cancellation may do to the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing outside changes. While no other step has changed anything, a cancellation ends it in its middle.
    Looks,
    /// Something that serves people changes. The journal is on disk before it begins; a cancellation waits for its
    /// end, and then everything goes back, unless it was the last of these.
    Changes,
    /// What the run was for is done and stays; this only takes away what is no longer needed. Such steps come last, and
    /// neither a cancellation nor the run's time keeps them from being taken. One that fails is said and fails nothing.
    Tidies,
}

/// What a step does, once it is its time.
pub type Act<'a> = Box<dyn FnMut(&mut RunContext) -> Result<(), Failure> + 'a>;

/// What something that several steps share does in one of them.
pub fn act_of<'a, T: 'a>(
    shared: &Rc<T>,
    act: impl Fn(&T, &mut RunContext) -> Result<(), Failure> + 'a,
) -> Act<'a> {
    let shared = Rc::clone(shared);
    Box::new(move |ctx| act(&shared, ctx))
}

/// One step of a run.
pub struct Step<'a> {
    /// Its lines bear this phase.
    pub phase: Phase,
    /// For all of it; its tools have their own besides. What is left of the run's own time shortens it.
    pub deadline: Duration,
    /// Whether it changes anything.
    pub effect: Effect,
    /// The step itself.
    pub act: Act<'a>,
}

impl<'a> Step<'a> {
    /// A step that only looks.
    pub fn looks(
        phase: Phase,
        deadline: Duration,
        act: impl FnMut(&mut RunContext) -> Result<(), Failure> + 'a,
    ) -> Self {
        Self {
            phase,
            deadline,
            effect: Effect::Looks,
            act: Box::new(act),
        }
    }

    /// A step that changes something.
    pub fn changes(
        phase: Phase,
        deadline: Duration,
        act: impl FnMut(&mut RunContext) -> Result<(), Failure> + 'a,
    ) -> Self {
        Self {
            effect: Effect::Changes,
            ..Self::looks(phase, deadline, act)
        }
    }

    /// A step that tidies up after everything is done.
    pub fn tidies(
        phase: Phase,
        deadline: Duration,
        act: impl FnMut(&mut RunContext) -> Result<(), Failure> + 'a,
    ) -> Self {
        Self {
            effect: Effect::Tidies,
            ..Self::looks(phase, deadline, act)
        }
    }
}

/// Whether there is more to do for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    /// The next step.
    Steps,
    /// Nothing: see [`RunContext::end_here`].
    Nothing,
}

/// All a run is to do.
#[derive(Default)]
pub struct Plan<'a> {
    /// In order.
    pub steps: Vec<Step<'a>>,
    /// Members of the outcome beyond the fixed ones; steps add more with [`RunContext::outcome_member`].
    pub more: Map<String, Value>,
    /// How long the run may take from its turn on, where that is not `DEPLOYER_RUN_MAX`.
    pub time: Option<Duration>,
    /// What is done last, whatever came of the steps, when none of their tools is at work any more.
    pub at_the_end: Option<Act<'a>>,
}

/// Why a step did not do what it was for. Its `Display` is the outcome's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A sentence: what was being done, to what, what came back, what to do.
    Failed(String),
    /// Somebody asked for the run to end (`cancel`, TERM, INT, HUP).
    Cancelled,
    /// Time is up.
    Deadline {
        /// What was not done in time: ``docker pull``, `the run`.
        what: String,
        /// How long it was given.
        given: Duration,
    },
}

impl Failure {
    /// A failure in one sentence.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Failure::Failed(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(sentence) => f.write_str(sentence),
            Failure::Cancelled => f.write_str("cancelled"),
            Failure::Deadline { what, given } => {
                write!(f, "{what} was not done within {}", Spoken(*given))
            }
        }
    }
}

/// A duration as settings write it: `15m`, `90s`, `250ms`.
#[derive(Clone, Copy, Debug)]
pub struct Spoken(pub Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match (seconds, millis) {
            (0, millis) => write!(f, "{millis}ms"),
            (seconds, 0) if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            (seconds, 0) => write!(f, "{seconds}s"),
            (seconds, millis) => write!(f, "{seconds}.{millis:03}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken_as_settings_write_them() {
        for (millis, text) in [
            (0, "0ms"),
            (250, "250ms"),
            (1_500, "1.500s"),
            (90_000, "90s"),
            (900_000, "15m"),
        ] {
            assert_eq!(Spoken(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
