//! Everything a stranger can be told at a gate: one table of statuses and sentences.
//!
//! A caller learns which check refused, never what was expected of it. What was found and what was wanted is the
//! detail, and goes to the log alone.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use crate::event::harmless;
use crate::jwt::Rejected;
use crate::limits::JWKS_COOLDOWN;

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address is not on the list.
    Source {
        /// The kernel's word.
        peer: IpAddr,
    },
    /// Not exactly one `Authorization: Bearer <token>`.
    Authorization {
        /// What came instead, without any of it.
        detail: String,
    },
    /// The token broke a rule that holds for every endpoint.
    Token(Rejected),
    /// The token is good, but not for this endpoint.
    Pin {
        /// The claim that did not fit.
        claim: String,
        /// What it was, and what it must be.
        detail: String,
    },
    /// No key set to judge the token by: nothing is said about the token.
    Keys {
        /// What became of the last attempt to get one.
        detail: String,
    },
    /// The body is not what the endpoint takes.
    Body {
        /// The field and its rule; the one refusal that tells what was expected, as its rules are public.
        sentence: &'static str,
        /// What came instead.
        detail: String,
    },
    /// The body names a module that is not configured.
    Module {
        /// Those that are: names that the operator made public by configuring them.
        allowed: Vec<String>,
        /// What was named.
        detail: String,
    },
    /// The commit that is to be applied is not the one that the token is for.
    Commit {
        /// Both.
        detail: String,
    },
    /// As many runs wait as may.
    QueueFull {
        /// When a place may be free.
        retry_after: Duration,
    },
    /// The ticket or the run folder could not be made.
    Run {
        /// What failed, and why.
        detail: String,
    },
    /// As many callers follow runs as may.
    TooManyFollowers,
    /// No run of that id.
    UnknownRun,
    /// No endpoint of that path, or it is not configured.
    NotFound,
    /// The memory cannot tell whether a token from before its time was used.
    MemoryIsNew {
        /// From then on, new tokens can be told.
        retry_after: Duration,
        /// Since when it remembers.
        detail: String,
    },
    /// The memory cannot be read or written.
    Memory {
        /// What failed, and why.
        detail: String,
    },
    /// The token was used.
    Replay {
        /// The run that it started.
        run_id: String,
    },
}

impl Refusal {
    /// The HTTP status. 503 says "later"; the others say "not like this".
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Body { .. } => 400,
            Refusal::Authorization { .. }
            | Refusal::Token(_)
            | Refusal::Pin { .. }
            | Refusal::Replay { .. } => 401,
            Refusal::Source { .. } | Refusal::Module { .. } | Refusal::Commit { .. } => 403,
            Refusal::UnknownRun | Refusal::NotFound => 404,
            Refusal::Keys { .. }
            | Refusal::QueueFull { .. }
            | Refusal::Run { .. }
            | Refusal::TooManyFollowers
            | Refusal::MemoryIsNew { .. }
            | Refusal::Memory { .. } => 503,
        }
    }

    /// What the caller is told.
    pub fn sentence(&self) -> Cow<'static, str> {
        match self {
            Refusal::Source { .. } => "source IP not permitted".into(),
            Refusal::Authorization { .. } => "missing or malformed Authorization header".into(),
            Refusal::Token(rejected) => format!("token rejected: {}", rejected.check).into(),
            Refusal::Pin { claim, .. } => format!("token rejected: claim {claim}").into(),
            Refusal::Keys { .. } => "the issuer's keys cannot be had".into(),
            Refusal::Body { sentence, .. } => (*sentence).into(),
            Refusal::Module { allowed, .. } => {
                format!("module not permitted; there are: {}", allowed.join(", ")).into()
            }
            Refusal::Commit { .. } => "sha not permitted: it must be that of the token".into(),
            Refusal::QueueFull { .. } => "the queue is full".into(),
            Refusal::Run { .. } => "the run could not be prepared".into(),
            Refusal::TooManyFollowers => "too many callers follow runs".into(),
            Refusal::UnknownRun => "no such run".into(),
            Refusal::NotFound => "not found".into(),
            Refusal::MemoryIsNew { .. } => "the replay memory is new: retry with a token issued later".into(),
            Refusal::Memory { .. } => "the replay memory cannot be used".into(),
            Refusal::Replay { .. } => "token replay detected".into(),
        }
    }

    /// For a `Retry-After` header, in whole seconds.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Refusal::QueueFull { retry_after } | Refusal::MemoryIsNew { retry_after, .. } => {
                Some(retry_after.as_secs().max(1))
            }
            Refusal::Keys { .. } => Some(JWKS_COOLDOWN.as_secs()),
            _ => None,
        }
    }

    /// What the log is told beside the sentence: one line, harmless in a terminal, never the token.
    pub fn detail(&self) -> String {
        match self {
            Refusal::Source { peer } => format!("{peer} is on no list"),
            Refusal::Token(Rejected { detail, .. })
            | Refusal::Authorization { detail }
            | Refusal::Pin { detail, .. }
            | Refusal::Keys { detail }
            | Refusal::Body { detail, .. }
            | Refusal::Module { detail, .. }
            | Refusal::Commit { detail }
            | Refusal::Run { detail }
            | Refusal::MemoryIsNew { detail, .. }
            | Refusal::Memory { detail } => harmless(detail),
            Refusal::Replay { run_id } => format!("it started run {}", harmless(run_id)),
            Refusal::QueueFull { .. }
            | Refusal::TooManyFollowers
            | Refusal::UnknownRun
            | Refusal::NotFound => String::new(),
        }
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        Refusal::Token(rejected)
    }
}
