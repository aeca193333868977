//! What a run's order means: [`Jobs`], written by somebody else and joined to runs in `main`.
//!
//! A job says which steps there are, and how what they have changed goes back. Both know nothing of the queue, and a run
//! knows nothing of containers: between them there are only entries of the journal, which one writes and the other reads.

use serde_json::Value;

use crate::config::Config;
use crate::event::Phase;
use crate::run::step::{Failure, Plan};
use crate::run::{RunContext, RunFolder, RunRequest};

/// Says something in a phase.
pub type Saying<'a> = dyn FnMut(Phase, &str) + 'a;

/// What a run does, and how it is undone.
#[derive(Clone, Copy, Debug)]
pub struct Jobs {
    /// The steps of an order.
    pub plan: for<'p> fn(&'p RunRequest, &'p Config) -> Plan<'p>,
    /// Puts back what the entries of a journal name, the last first. It looks at what is there and does only what is
    /// missing, because it may have been done before, in part or wholly.
    ///
    /// An error is one of the whole: that it cannot be done now and may be later. What goes wrong with a part stands in
    /// [`Undone::faults`].
    pub undo: fn(&[Value], Aftermath, &Config, &mut RunContext) -> Result<Undone, Failure>,
    /// Tidies up after a run that was done, and died before it could do that itself. Nothing depends on it.
    pub tidy: fn(&[Value], &Config, &mut RunContext),
    /// Cleans up after a run that died in its turn, besides what its journal names: its tools have ended by now. What it says
    /// goes into the run's log; what it returns is told with the record: of what cannot be put back, and what to do.
    pub bury: fn(&RunRequest, &Config, &RunFolder, &mut Saying<'_>) -> Option<String>,
}

/// After what something is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// A step failed, and what it had started has ended.
    Failed,
    /// The run died: what it had asked for last may be happening only now.
    Interrupted,
}

/// What came of putting back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// What is as it was, for the outcome's member `rolled_back`.
    pub rolled_back: Vec<Value>,
    /// What is not, a sentence each.
    pub faults: Vec<String>,
}
