//! The deployer's decisions as one state machine: what happened and the time go in; what to publish, what to say and the
//! end come out. No I/O and no clock, so that a simulation can drive it. Core NATS delivers at most once: what is true is
//! found by asking the hosts again, and the request is published again only where the server proved that nobody got it.

mod events;
mod host;
mod machine;
mod outcome;

pub use events::{Input, Output, Report};
pub use host::{Ended, Host, State};
pub use machine::Rollout;
pub use outcome::{HostEnd, Outcome, Verdict};

use std::collections::BTreeSet;

use crate::wire::{Hostname, Request, Target, Time};

/// What one deploy is to reach, and how long it may take.
#[derive(Clone, Debug)]
pub struct Spec {
    pub target: Target,
    pub request: Request,
    pub started: Time,
    /// The deploy has ended by then, whatever is missing.
    pub deadline: Time,
    pub discover_wait_ms: u64,
    pub accept_wait_ms: u64,
    /// Who must be there (`--hosts`, `--expect`). With it nobody else joins.
    pub expected: Option<BTreeSet<Hostname>>,
    pub optional: BTreeSet<Hostname>,
    /// Every host may be away.
    pub skip_offline: bool,
    /// At most so many hosts; more are refused before anything is sent.
    pub max_hosts: Option<usize>,
}
