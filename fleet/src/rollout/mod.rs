//! The deployer's decisions as one state machine: what happened and the time go in; what to publish, what to say and the
//! end come out. No I/O and no clock, so that a simulation can drive it. Core NATS delivers at most once: what is true is
//! found by asking the hosts again, and the request is published again only where the server proved that nobody got it.

mod events;
mod host;
mod machine;
mod outcome;

pub use events::{Input, Output, Report};
pub use host::State;
pub use machine::Rollout;
pub use outcome::{HostEnd, Outcome, Verdict};

use std::collections::BTreeSet;

use crate::limits::{ACCEPT_MS, DEPLOY_SECONDS, DISCOVER_MOST_MS};
use crate::wire::{Action, Hostname, ReplyTo, Request, Revision, Role, RunId, Target};

/// What one deploy is to reach, and how long it may take.
#[derive(Clone, Debug)]
pub struct Spec {
    pub target: Target,
    pub request: Request,
    /// The deploy has ended by then, whatever is missing.
    pub timeout_ms: u64,
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

impl Spec {
    /// A deploy with the usual patience, answered below the deployer's own token where it has one.
    pub fn new(target: Target, action: Action, revision: Revision, id: RunId, deployer: Option<&Role>) -> Self {
        let request = Request {
            action,
            revision,
            reply_to: ReplyTo::of(&id, deployer),
            id,
            issued_at: None,
            deadline: None,
            branch: None,
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            by: None,
        };
        Spec {
            target,
            request,
            timeout_ms: DEPLOY_SECONDS * 1_000,
            discover_wait_ms: DISCOVER_MOST_MS,
            accept_wait_ms: ACCEPT_MS,
            expected: None,
            optional: BTreeSet::new(),
            skip_offline: false,
            max_hosts: None,
        }
    }
}
