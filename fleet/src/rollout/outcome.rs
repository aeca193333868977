//! How a deploy ended.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::State;
use crate::wire::{Hostname, RunId, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every host completed.
    Ok,
    /// Some host did not.
    Fail,
    /// Nothing was sent, or nobody got it.
    Nobody,
    /// It was sent, and how it ended is not known.
    Unknown,
}

impl Verdict {
    pub fn exit_status(self) -> u8 {
        match self {
            Verdict::Ok => 0,
            Verdict::Fail => 1,
            Verdict::Nobody => 3,
            Verdict::Unknown => 4,
        }
    }

    /// The word of the last line. Nothing sent is a failure there.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Fail | Verdict::Nobody => "fail",
            Verdict::Unknown => "unknown",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEnd {
    pub state: State,
    pub error: Option<String>,
    pub revision: Option<String>,
    /// What the host said last, or why it said nothing.
    pub message: String,
    pub seconds: u64,
    pub optional: bool,
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub verdict: Verdict,
    pub error: Option<String>,
    pub hosts: BTreeMap<Hostname, HostEnd>,
    /// Hosts that never took the request.
    pub missing: Vec<Hostname>,
    /// Names that answered and are not in the plan.
    pub unexpected: BTreeSet<Hostname>,
    /// What was ignored, each named once.
    pub notes: Vec<String>,
    pub started: Time,
    pub finished: Time,
}

impl Outcome {
    /// The one commit that every completed host has built; `None` where they differ or do not say.
    pub fn revision(&self) -> Option<&str> {
        let mut built =
            self.hosts.values().filter(|host| host.state == State::Completed).map(|host| host.revision.as_deref());
        let first = built.next()??;
        built.all(|next| next == Some(first)).then_some(first)
    }

    /// The last line of `--json`, and what the MCP tools return.
    pub fn summary(&self, id: &RunId) -> Value {
        let host = |end: &HostEnd| {
            json!({ "status": end.state.as_str(), "error": end.error, "seconds": end.seconds,
                "revision": end.revision, "message": end.message })
        };
        let hosts: Map<String, Value> = self.hosts.iter().map(|(name, end)| (name.to_string(), host(end))).collect();
        json!({
            "status": self.verdict.as_str(),
            "error": self.error,
            "id": id,
            "revision": self.revision(),
            "hosts": hosts,
            "missing": self.missing,
            "unexpected": self.unexpected,
            "notes": self.notes,
            "started_at": self.started,
            "finished_at": self.finished,
            "duration_ms": self.finished.since(self.started),
        })
    }
}
