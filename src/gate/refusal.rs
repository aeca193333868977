//! Everything a stranger can be told at a gate: one table of statuses and sentences.
//!
//! A caller learns which check refused, never what was expected of it. What was found and what was wanted is the
//! detail, and goes to the log alone.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use crate::event::harmless;
use crate::jwt::Rejected;
use crate::limits::{JWKS_COOLDOWN, QUEUE_RETRY_AFTER};

/// Why a request goes no further. A `detail` says what was found and what was wanted, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address, by the kernel's word, is not on the list.
    Source { peer: IpAddr },
    /// Not exactly one `Authorization: Bearer <token>`. The detail holds nothing of it.
    Authorization { detail: String },
    /// The token broke a rule that holds for every endpoint.
    Token(Rejected),
    /// The token is good, but not for this endpoint.
    Pin { claim: String, detail: String },
    /// No key set to judge the token by: nothing is said about the token.
    Keys { detail: String },
    /// The body is not what the endpoint takes. The one refusal that tells what was expected, as its rules are public.
    Body {
        sentence: Cow<'static, str>,
        detail: String,
    },
    /// The body names a module that is not configured; those that are, are public by that.
    Module { allowed: Vec<String>, detail: String },
    /// The commit that is to be applied is not the one that the token is for.
    Commit { detail: String },
    /// As many runs wait as may.
    QueueFull,
    /// The ticket or the run folder could not be made.
    Run { detail: String },
    /// As many callers follow runs as may.
    TooManyFollowers,
    /// No run of that id.
    UnknownRun,
    /// The memory cannot tell whether a token from before its time was used; in so many seconds it can for new ones.
    MemoryIsNew { retry_after: u64, detail: String },
    /// The memory cannot be read or written.
    Memory { detail: String },
    /// The token was used, for this run.
    Replay { run_id: String },
}

impl Refusal {
    pub(super) fn body(sentence: impl Into<Cow<'static, str>>, detail: impl fmt::Display) -> Self {
        Refusal::Body {
            sentence: sentence.into(),
            detail: detail.to_string(),
        }
    }

    /// The HTTP status. 503 says "later"; the others say "not like this".
    pub fn status(&self) -> u16 {
        self.answer().0
    }

    /// What the caller is told.
    pub fn sentence(&self) -> Cow<'_, str> {
        self.answer().1
    }

    /// For a `Retry-After` header, in whole seconds.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Refusal::QueueFull => Some(QUEUE_RETRY_AFTER.as_secs()),
            Refusal::MemoryIsNew { retry_after, .. } => Some(*retry_after),
            Refusal::Keys { .. } => Some(JWKS_COOLDOWN.as_secs()),
            _ => None,
        }
    }

    fn answer(&self) -> (u16, Cow<'_, str>) {
        let (status, sentence) = match self {
            Refusal::Source { .. } => (403, "source IP not permitted"),
            Refusal::Authorization { .. } => (401, "missing or malformed Authorization header"),
            Refusal::Token(rejected) => return (401, format!("token rejected: {}", rejected.check).into()),
            Refusal::Pin { claim, .. } => return (401, format!("token rejected: claim {claim}").into()),
            Refusal::Keys { .. } => (503, "the issuer's keys cannot be had"),
            Refusal::Body { sentence, .. } => (400, sentence.as_ref()),
            Refusal::Module { allowed, .. } => {
                let allowed = allowed.join(", ");
                return (403, format!("module not permitted; there are: {allowed}").into());
            }
            Refusal::Commit { .. } => (403, "sha not permitted: it must be that of the token"),
            Refusal::QueueFull => (503, "the queue is full"),
            Refusal::Run { .. } => (503, "the run could not be prepared"),
            Refusal::TooManyFollowers => (503, "too many callers follow runs"),
            Refusal::UnknownRun => (404, "no such run"),
            Refusal::MemoryIsNew { .. } => (503, "the replay memory is new: retry with a token issued later"),
            Refusal::Memory { .. } => (503, "the replay memory cannot be used"),
            Refusal::Replay { .. } => (401, "token replay detected"),
        };
        (status, sentence.into())
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
            Refusal::QueueFull | Refusal::TooManyFollowers | Refusal::UnknownRun => String::new(),
        }
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        Refusal::Token(rejected)
    }
}
