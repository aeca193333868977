//! What was ordered, by whom, when: the content of a run folder's `grant.json`. Claims, and never the token.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Job;
use crate::run::Ask;
use crate::run::RunId;

/// An admitted order. Written once, before the token's `jti` is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The run that carries it out.
    pub run_id: RunId,
    /// The endpoint's name, as in [`crate::config::Endpoint::name`]; the local command line uses the same names.
    pub endpoint: String,
    /// What is started.
    pub job: Job,
    /// What was asked for.
    pub ask: Ask,
    /// Who asked.
    pub origin: Origin,
    /// As in the answer's `Request-Id`; for the local command line one of its own.
    pub request_id: String,
    /// RFC 3339, UTC, milliseconds.
    pub accepted_at: String,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// A CI job, by its token.
    Token {
        /// The hash under which the replay memory knows the token's `jti`.
        jti: String,
        /// The claims worth keeping: [`KEPT_CLAIMS`], those that were there.
        claims: Map<String, Value>,
    },
    /// Somebody on the host.
    Local {
        /// Real user id.
        uid: u32,
        /// Its name, if it has one.
        user: String,
    },
}

/// The claims that a record keeps: who, from where, and which CI job to look at.
pub const KEPT_CLAIMS: [&str; 12] = [
    "actor",
    "event_name",
    "project_path",
    "ref",
    "repository",
    "run_attempt",
    "run_id",
    "run_number",
    "sha",
    "sub",
    "user_login",
    "workflow_ref",
];

impl Order {
    /// Whether nothing is to be changed.
    pub fn dry_run(&self) -> bool {
        let Ask::Deploy { dry_run, .. } = &self.ask;
        *dry_run
    }
}
