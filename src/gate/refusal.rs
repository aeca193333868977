//! Everything a stranger can be told at a gate: one table of statuses and sentences.
//!
//! A caller learns which check refused, never what was expected of it. What was found and what was wanted is the
//! detail, and goes to the log alone.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use crate::event::harmless;
use crate::jwt::Rejected;
use crate::limits::{JWKS_COOLDOWN, QUEUE_RETRY_AFTER};

/// What a gate comes to.
pub type Result<T = (), E = Refusal> = std::result::Result<T, E>;

/// Why a request goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status. 503 says "later"; the others say "not like this".
    pub status: u16,
    /// What the caller is told.
    pub sentence: Cow<'static, str>,
    /// For a `Retry-After` header.
    pub retry_after: Option<Duration>,
    /// What the log is told beside the sentence: one line, harmless in a terminal, never the token.
    pub detail: String,
}

impl Refusal {
    /// The address, by the kernel's word, is not on the list.
    pub const SOURCE: Self = Self::fixed(403, "source IP not permitted", None);
    /// Not exactly one `Authorization: Bearer <token>`. The detail holds nothing of it.
    pub const AUTHORIZATION: Self = Self::fixed(401, "missing or malformed Authorization header", None);
    /// No key set to judge the token by: nothing is said about the token.
    pub const KEYS: Self = Self::fixed(503, "the issuer's keys cannot be had", Some(JWKS_COOLDOWN));
    /// The commit that is to be applied is not the one that the token is for.
    pub const COMMIT: Self = Self::fixed(403, "sha not permitted: it must be that of the token", None);
    /// As many runs wait as may.
    pub const QUEUE_FULL: Self = Self::fixed(503, "the queue is full", Some(QUEUE_RETRY_AFTER));
    /// The ticket or the run folder could not be made.
    pub const RUN: Self = Self::fixed(503, "the run could not be prepared", None);
    /// As many callers follow runs as may.
    pub const TOO_MANY_FOLLOWERS: Self = Self::fixed(503, "too many callers follow runs", None);
    /// No run of that id.
    pub const UNKNOWN_RUN: Self = Self::fixed(404, "no such run", None);
    /// The memory cannot tell whether a token from before its time was used.
    pub const MEMORY_IS_NEW: Self = Self::fixed(
        503,
        "the replay memory is new: retry with a token issued later",
        None,
    );
    /// The memory cannot be read or written.
    pub const MEMORY: Self = Self::fixed(503, "the replay memory cannot be used", None);

    /// The token was used, for this run.
    pub fn replay(run_id: &str) -> Self {
        Self::told(
            401,
            "token replay detected",
            format_args!("it started run {run_id}"),
        )
    }

    /// The token broke a rule that holds for every endpoint, or one of this endpoint.
    pub fn token(rule: impl Display, detail: impl Display) -> Self {
        Self::told(401, format!("token rejected: {rule}"), detail)
    }

    /// The body is not what the endpoint takes. The one refusal that tells what was expected, as its rules are public.
    pub fn body(sentence: impl Into<Cow<'static, str>>, detail: impl Display) -> Self {
        Self::told(400, sentence, detail)
    }

    /// The body names a module that is not configured; those that are, are public by that.
    #[cfg(feature = "terraform")]
    pub fn module(allowed: &[String], name: &str) -> Self {
        let sentence = format!("module not permitted; there are: {}", allowed.join(", "));
        Self::told(403, sentence, format_args!("module is `{name}`"))
    }

    const fn fixed(status: u16, sentence: &'static str, retry_after: Option<Duration>) -> Self {
        Self {
            status,
            sentence: Cow::Borrowed(sentence),
            retry_after,
            detail: String::new(),
        }
    }

    fn told(status: u16, sentence: impl Into<Cow<'static, str>>, detail: impl Display) -> Self {
        let mut told = Self::fixed(status, "", None).because(detail);
        told.sentence = sentence.into();
        told
    }

    /// The same, with the detail for the log.
    pub fn because(mut self, detail: impl Display) -> Self {
        self.detail = harmless(&detail.to_string());
        self
    }
}

impl From<Rejected> for Refusal {
    fn from(rejected: Rejected) -> Self {
        Self::token(rejected.check.0, rejected.detail)
    }
}
