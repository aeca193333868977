//! What a request needs before anything runs: [`admit`], the list of gates.
//!
//! Cheapest and least trusting first; the first that refuses ends it. A [`Grant`] is made here and nowhere else, after
//! the last gate, so that whoever holds one need not ask again. No gate waits for the network but the one for keys, and
//! no refusal leaves a trace in the replay memory.

mod bearer;
mod body;
mod body_terraform;
mod claims;
mod commit;
mod explain;
mod fetch_keys;
mod keys;
mod refusal;
mod replay;
mod request;
mod signature;
mod source;

pub use body::{Commit, DeployTask, PlanDigest, Sha, Task, TerraformTask, Version};
pub use explain::{Finding, Verdict, explain};
pub use fetch_keys::fetch_keys;
pub use keys::{Fetch, Keys, NoKey};
pub use refusal::Refusal;
pub use replay::{Creation, Memory, Past, TokenHash};
pub use request::Request;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::Value;

use crate::config::{Endpoint, Job, Sources};
use crate::jwt::{Claimed, Unverified};

/// What the gates are made of, the same for every endpoint.
pub struct Gates<'a> {
    /// Who may knock.
    pub allowed: &'a Sources,
    /// Equal to `iss`.
    pub issuer: &'a str,
    /// The issuer's keys.
    pub keys: Keys<'a>,
    /// The tokens that were used.
    pub memory: &'a Memory,
}

/// A place in the queue and a folder on disk, taken before the token is spent. Dropped, it gives both back.
pub trait Reservation {
    /// The run it is for; the memory notes it beside the token.
    fn run_id(&self) -> &str;
}

/// A request that may become a run, if there is room and its token was not used: what the run folder records.
#[derive(Clone, Debug)]
pub struct Permitted {
    endpoint: &'static str,
    job: Job,
    claimed: Claimed,
    task: Task,
}

/// A run that may start. Only [`admit`] makes one, once for a token.
#[derive(Clone, Debug)]
pub struct Grant(Permitted);

/// A caller that may read a run's log.
#[derive(Clone, Debug)]
pub struct Reader(Claimed);

/// Walks a request through the gates. `reserve` is the gate of the queue: it makes the ticket and the run folder, which
/// are on disk before the token is spent and are given back when it turns out to be spent already.
///
/// # Errors
/// The first gate that is shut.
pub fn admit<R: Reservation>(
    request: &Request,
    endpoint: &Endpoint,
    gates: &Gates<'_>,
    now: SystemTime,
    reserve: impl FnOnce(&Permitted) -> Result<R, Refusal>,
) -> Result<(Grant, R), Refusal> {
    source::check(request.peer, gates.allowed)?;
    let token = bearer::token(&request.authorization)?;
    let unverified = Unverified::parse(token.as_bytes())?;
    let signed = signature::check(unverified, &gates.keys, now)?;
    let claimed = claims::check(signed, gates.issuer, endpoint, now)?;
    let task = body::read(&endpoint.body, &request.body)?;
    commit::check(&task, &claimed, endpoint)?;
    let permitted = Permitted {
        endpoint: endpoint.name,
        job: endpoint.job,
        claimed,
        task,
    };
    let reservation = reserve(&permitted)?;
    gates
        .memory
        .remember(&permitted.claimed, reservation.run_id(), now)?;
    Ok((Grant(permitted), reservation))
}

/// The same gates for reading the log of `run_id`, which `endpoint` started. It neither needs nor spends a first use;
/// but a token that was spent reads the run it started and no other.
///
/// # Errors
/// The first gate that is shut.
pub fn admit_reader(
    request: &Request,
    endpoint: &Endpoint,
    gates: &Gates<'_>,
    now: SystemTime,
    run_id: &str,
) -> Result<Reader, Refusal> {
    source::check(request.peer, gates.allowed)?;
    let token = bearer::token(&request.authorization)?;
    let unverified = Unverified::parse(token.as_bytes())?;
    let signed = signature::check(unverified, &gates.keys, now)?;
    let claimed = claims::check(signed, gates.issuer, endpoint, now)?;
    match gates.memory.first_use(&claimed, now)? {
        Some(started) if started != run_id => Err(Refusal::Replay { run_id: started }),
        _ => Ok(Reader(claimed)),
    }
}

impl Permitted {
    /// The endpoint's name, as in its status file.
    pub fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    /// What it starts.
    pub fn job(&self) -> Job {
        self.job
    }

    /// What was asked for.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// Every claim of the token, for the record. The token itself is gone by now.
    pub fn claims(&self) -> &BTreeMap<String, Value> {
        self.claimed.members()
    }

    /// Under which the memory knows the token.
    pub fn token(&self) -> TokenHash {
        TokenHash::of(self.claimed.id())
    }
}

impl Grant {
    /// What is granted.
    pub fn permitted(&self) -> &Permitted {
        &self.0
    }
}

impl Reader {
    /// Who reads, for the log.
    pub fn claims(&self) -> &BTreeMap<String, Value> {
        self.0.members()
    }
}

#[cfg(test)]
mod support;
#[cfg(test)]
mod tests;
