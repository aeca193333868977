//! What a request needs before anything runs: [`permit`], the list of gates, then [`admit`], which spends the token.
//!
//! Cheapest and least trusting first; the first that refuses ends it. A [`Grant`] is made in [`admit`] and nowhere else,
//! after first use is recorded, and what starts a run takes it by value. No gate waits for the network but the one for
//! keys, and no refusal leaves a trace in the replay memory.

mod body;
#[cfg(feature = "terraform")]
mod body_terraform;
mod claims;
mod explain;
mod keys;
mod refusal;
pub mod replay;

pub use body::{Commit, DeployTask, PlanDigest, Sha, Task, TerraformTask, Version};
pub use explain::{Finding, explain};
pub use keys::{Fetch, Keys, fetch_keys};
pub use refusal::{Refusal, Result};
pub use replay::{Memory, TokenId};

use std::net::IpAddr;
use std::time::SystemTime;

use crate::config::{Config, Endpoint, Job, Places, Sources};
use crate::jwt::json::Members;
use crate::jwt::{Claimed, Unverified};
use crate::link::Request;

/// What the gates are made of, the same for every endpoint.
pub struct Gates<'a> {
    /// Who may knock.
    pub allowed: &'a Sources,
    /// Equal to `iss`.
    pub issuer: &'a str,
    /// The issuer's keys.
    pub keys: Keys<'a>,
    /// The tokens that were used.
    pub memory: Memory,
    /// When all of them are asked.
    pub now: SystemTime,
}

impl<'a> Gates<'a> {
    /// Those of this host, which get keys by `fetch`.
    pub fn of(config: &'a Config, fetch: Fetch<'a>, now: SystemTime) -> Self {
        let Places { state, runtime, .. } = &config.places;
        Self {
            allowed: &config.allowed,
            issuer: &config.issuer.name,
            keys: Keys::new(state, runtime, &config.issuer.jwks_url, fetch),
            memory: Memory::of(state),
            now,
        }
    }
}

/// A request that may become a run, if there is room: what the run folder records.
#[derive(Debug)]
pub struct Permitted {
    endpoint: &'static str,
    job: Job,
    claimed: Claimed,
    task: Task,
}

/// The proof that the token of one run passed every gate and that its use is on disk. Only [`admit`] makes one.
#[derive(Debug)]
pub struct Grant {
    run_id: String,
}

/// What sets a run going takes one of these by value, so that a gate which nobody asked does not compile:
///
/// ```no_run
/// use engram_deployer::config::Settings;
/// use engram_deployer::gate::{Authority, Grant};
/// use engram_deployer::queue::Reservation;
///
/// fn start(reservation: Reservation, grant: Grant, settings: &Settings) {
///     let _ = reservation.start(Authority::from(grant), settings);
/// }
/// ```
///
/// No start without one, nor with what was only permitted:
///
/// ```compile_fail
/// # use engram_deployer::config::Settings;
/// # use engram_deployer::queue::Reservation;
/// fn start(reservation: Reservation, settings: &Settings) {
///     let _ = reservation.start(settings);
/// }
/// ```
///
/// ```compile_fail
/// # use engram_deployer::config::Settings;
/// # use engram_deployer::gate::{Authority, Permitted};
/// # use engram_deployer::queue::Reservation;
/// fn start(reservation: Reservation, permitted: Permitted, settings: &Settings) {
///     let _ = reservation.start(Authority::from(permitted), settings);
/// }
/// ```
///
/// No two starts with one:
///
/// ```compile_fail
/// # use engram_deployer::config::Settings;
/// # use engram_deployer::gate::Authority;
/// # use engram_deployer::queue::Reservation;
/// fn start(both: [Reservation; 2], authority: Authority, settings: &Settings) {
///     for reservation in both {
///         let _ = reservation.start(authority, settings);
///     }
/// }
/// ```
///
/// And none made by hand:
///
/// ```compile_fail
/// # use engram_deployer::gate::Authority;
/// let authority = Authority { run_id: "20260102T030405Z-0123abcd".to_owned() };
/// ```
///
/// ```compile_fail
/// # use engram_deployer::gate::Grant;
/// let grant = Grant { run_id: "20260102T030405Z-0123abcd".to_owned() };
/// ```
#[derive(Debug)]
pub struct Authority {
    run_id: String,
}

/// What reads the log of one run takes this by value. [`admit_reader`] makes it, or the [`Grant`] of that run:
///
/// ```no_run
/// use engram_deployer::config::{Places, Settings};
/// use engram_deployer::gate::Reader;
/// use engram_deployer::queue::Follower;
///
/// fn follow(places: &Places, reader: Reader, settings: &Settings) -> Option<Follower> {
///     Follower::open(places, reader, settings)
/// }
/// ```
///
/// A run's name alone does not do:
///
/// ```compile_fail
/// # use engram_deployer::config::{Places, Settings};
/// # use engram_deployer::queue::{Follower, RunId};
/// fn follow(places: &Places, id: RunId, settings: &Settings) -> Option<Follower> {
///     Follower::open(places, id, settings)
/// }
/// ```
///
/// ```compile_fail
/// # use engram_deployer::gate::Reader;
/// let reader = Reader { run_id: "20260102T030405Z-0123abcd".to_owned() };
/// ```
#[derive(Debug)]
pub struct Reader {
    run_id: String,
}

/// Walks a request through the gates, without a trace. `peer` is what the kernel says; all else is what front relayed, and
/// front may have been taken over: a token that was used is refused here, before anything is written
/// for it. What comes out may be given room in the queue.
///
/// # Errors
/// The first gate that is shut.
pub fn permit(peer: IpAddr, request: &Request, endpoint: &Endpoint, gates: &Gates) -> Result<Permitted> {
    let claimed = check_token(peer, request, endpoint, gates)?;
    let task = body::read(&endpoint.body, request.body.as_bytes())?;
    #[cfg(feature = "terraform")]
    claims::check_commit(&task, &claimed, endpoint)?;
    match gates.memory.first_use(&claimed, gates.now)? {
        Some(run_id) => Err(Refusal::replay(&run_id)),
        None => Ok(Permitted {
            endpoint: endpoint.name,
            job: endpoint.job,
            claimed,
            task,
        }),
    }
}

/// The last gate: spends the token on the run `run_id`, whose ticket and folder are on disk by now and are given back
/// when this refuses. First use is decided here, under the lock of the memory, whatever [`permit`] saw.
///
/// # Errors
/// The token was used meanwhile, or its use cannot be recorded.
pub fn admit(permitted: Permitted, run_id: &str, gates: &Gates) -> Result<Grant> {
    let Permitted {
        claimed, endpoint, ..
    } = permitted;
    gates.memory.remember(&claimed, endpoint, run_id, gates.now)?;
    Ok(Grant {
        run_id: run_id.to_owned(),
    })
}

/// The gates for reading the log of `run_id`, which `endpoint` started. It neither needs nor spends a first use;
/// but a token that was spent reads the run it started and no other.
///
/// # Errors
/// The first gate that is shut.
pub fn admit_reader(
    peer: IpAddr,
    request: &Request,
    endpoint: &Endpoint,
    gates: &Gates,
    run_id: &str,
) -> Result<Reader> {
    let claimed = check_token(peer, request, endpoint, gates)?;
    match gates.memory.first_use(&claimed, gates.now)? {
        Some(started) if started != run_id => Err(Refusal::replay(&started)),
        _ => Ok(Reader {
            run_id: run_id.to_owned(),
        }),
    }
}

/// Who asks, and whether this endpoint is for them.
fn check_token(peer: IpAddr, request: &Request, endpoint: &Endpoint, gates: &Gates) -> Result<Claimed> {
    check_source(peer, gates.allowed)?;
    let token = bearer_token(&request.authorization)?;
    let unverified = Unverified::parse(token.as_bytes())?;
    let signed = keys::check_signature(unverified, &gates.keys, gates.now)?;
    claims::check(signed, gates.issuer, endpoint, gates.now)
}

/// Lets listed addresses through. A v4 peer of a dual-stack socket counts as the v4 address it is.
fn check_source(peer: IpAddr, allowed: &Sources) -> Result {
    match allowed.contains(peer) {
        true => Ok(()),
        false => Err(Refusal::SOURCE.because(format_args!("{peer} is on no list"))),
    }
}

/// Case-sensitive, as the daemon before us had it.
const SCHEME: &str = "Bearer ";

/// The token in exactly one `Authorization: Bearer <token>`: with two headers, two readers could pick two tokens.
fn bearer_token(authorization: &[String]) -> Result<&str> {
    let detail = match authorization {
        [value] => match value.strip_prefix(SCHEME) {
            Some(token) if !token.is_empty() && !token.contains(char::is_whitespace) => return Ok(token),
            Some(_) => "no token, or blanks in it",
            None => "another scheme than Bearer",
        },
        _ => "none, or more than one",
    };
    Err(Refusal::AUTHORIZATION.because(detail))
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
    pub fn claims(&self) -> &Members {
        self.claimed.claims().members()
    }

    /// Under which the memory knows the token.
    pub fn token(&self) -> TokenId {
        TokenId::of(&self.claimed)
    }
}

impl Grant {
    /// Who may start a run may read its log.
    pub fn reader(&self) -> Reader {
        Reader {
            run_id: self.run_id.clone(),
        }
    }
}

impl From<Grant> for Authority {
    fn from(grant: Grant) -> Self {
        Authority { run_id: grant.run_id }
    }
}

impl Authority {
    /// Of somebody who can write to our folders, and so can do by hand all that a run does. For the commands alone.
    pub fn of_operator(run_id: &str) -> Self {
        Authority {
            run_id: run_id.to_owned(),
        }
    }

    /// The one run that it is for.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }
}

impl Reader {
    /// Of somebody who can read our folders. For the commands alone.
    pub fn of_operator(run_id: &str) -> Self {
        Reader {
            run_id: run_id.to_owned(),
        }
    }

    /// The one run that it is for.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }
}

#[cfg(test)]
pub(crate) use replay::testing;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tests;
