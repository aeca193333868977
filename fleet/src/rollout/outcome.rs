//! How a deploy ended.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::State;
use crate::wire::{Hostname, RunId, Time};

/// Spelled as in the last line, where nothing sent is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every host completed.
    Ok = 0,
    /// Some host did not.
    Fail = 1,
    /// Nothing was sent, or nobody got it.
    #[serde(rename = "fail")]
    Nobody = 3,
    /// It was sent, and how it ended is not known.
    Unknown = 4,
}

impl Verdict {
    pub fn exit_status(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct HostEnd {
    #[serde(rename = "status")]
    pub state: State,
    pub error: Option<String>,
    pub revision: Option<String>,
    /// What the host said last, or why it said nothing.
    pub message: String,
    pub seconds: u64,
    #[serde(skip)]
    pub optional: bool,
}

impl HostEnd {
    /// It never took the request.
    pub fn away(&self) -> bool {
        matches!(self.state, State::Missing | State::Unreachable)
    }
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub error: Option<String>,
    pub hosts: BTreeMap<Hostname, HostEnd>,
    /// Names that answered and are not in the plan.
    pub unexpected: BTreeSet<Hostname>,
    /// What was ignored, each named once.
    pub notes: BTreeSet<String>,
    pub started: Time,
    pub finished: Time,
}

impl Outcome {
    /// The one commit that every completed host has built; `None` where they differ or do not say.
    pub fn revision(&self) -> Option<&str> {
        let completed = self.hosts.values().filter(|host| host.state == State::Completed);
        let mut built = completed.map(|host| host.revision.as_deref());
        let first = built.next()??;
        built.all(|next| next == Some(first)).then_some(first)
    }

    /// The last line of `--json`, and what the MCP tools return.
    pub fn summary(&self, id: &RunId) -> Value {
        let missing = self.hosts.iter().filter(|(_, end)| end.away()).map(|(name, _)| name);
        json!({
            "status": self.verdict,
            "error": self.error,
            "id": id,
            "revision": self.revision(),
            "hosts": self.hosts,
            "missing": missing.collect::<Vec<_>>(),
            "unexpected": self.unexpected,
            "notes": self.notes,
            "started_at": self.started,
            "finished_at": self.finished,
            "duration_ms": self.finished.since(self.started),
        })
    }
}
