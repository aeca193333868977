//! Discovery: who is there, what each does and what it did last.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::message::lenient;
use super::{Hostname, ReplyTo, Request, Role, RunId, Status, Subject, Tier, Time, subject};
use crate::limits::{REQUEST_BYTES, RESPONSE_BYTES};

/// The question. A host of another tier does not answer; with an id `last` is the answer about that deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply_to: Option<ReplyTo>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tier: Option<Tier>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<RunId>,
}

/// A run that is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Running {
    #[schemars(with = "String")]
    pub id: RunId,
    #[schemars(with = "String")]
    pub since: Time,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Last {
    #[schemars(with = "String")]
    pub id: RunId,
    pub status: Status,
    pub error: Option<String>,
    pub revision: Option<String>,
    #[schemars(with = "String")]
    pub finished_at: Time,
    #[serde(default)]
    pub message: String,
}

/// A host's answer. Of a foreign one only the name is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub hostname: Hostname,
    pub tier: Option<Tier>,
    pub role: Option<Role>,
    pub subjects: Vec<Subject>,
    /// One process of one machine. Two of them with one hostname are a cloned machine.
    pub instance: Option<String>,
    pub version: Option<String>,
    pub backend: Option<String>,
    pub timeout: Option<u64>,
    /// Seconds between two heartbeats.
    pub heartbeat: Option<u64>,
    pub time: Option<Time>,
    pub running: Option<Running>,
    pub last: Option<Last>,
    /// Why deploys are held here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// What came on the discovery subject or on a reply subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    Ask(Ask),
    Answer(Box<Answer>),
}

impl Discovery {
    /// `None` for what is neither. What has a hostname is an answer, and is never answered.
    pub fn read(bytes: &[u8]) -> Option<Discovery> {
        if bytes.len() > RESPONSE_BYTES {
            return None;
        }
        let value: Value = serde_json::from_slice(bytes).ok()?;
        if value.get("hostname").is_some() {
            return Answer::of(&value).map(|answer| Discovery::Answer(Box::new(answer)));
        }
        (value.is_object() && bytes.len() <= REQUEST_BYTES).then(|| {
            Discovery::Ask(Ask {
                reply_to: lenient(&value, "reply_to"),
                tier: lenient(&value, "tier"),
                id: lenient(&value, "id"),
            })
        })
    }
}

impl Answer {
    fn of(value: &Value) -> Option<Answer> {
        Some(Answer {
            hostname: lenient(value, "hostname")?,
            tier: lenient(value, "tier"),
            role: lenient(value, "role"),
            subjects: lenient::<Vec<Value>>(value, "subjects")
                .unwrap_or_default()
                .iter()
                .take(64)
                .filter_map(|subject| Subject::deserialize(subject).ok())
                .collect(),
            instance: lenient(value, "instance"),
            version: lenient(value, "version"),
            backend: lenient(value, "backend"),
            timeout: lenient(value, "timeout"),
            heartbeat: lenient(value, "heartbeat").filter(|seconds| (1..=3_600).contains(seconds)),
            time: lenient(value, "time"),
            running: lenient(value, "running"),
            last: lenient(value, "last"),
            held: lenient(value, "held"),
        })
    }

    /// The subjects that it has subscribed to, or those that are assumed of it.
    pub fn subjects(&self) -> Vec<Subject> {
        if self.subjects.is_empty() {
            subject::defaults(&self.hostname, self.tier, self.role.as_ref())
        } else {
            self.subjects.clone()
        }
    }
}

impl Running {
    pub fn of(request: &Request, since: Time) -> Self {
        Running { id: request.id.clone(), since, by: request.by.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_reads_a_foreign_answer_that_has_a_name_and_nothing_else() {
        let Some(Discovery::Answer(answer)) = Discovery::read(br#"{"hostname":"h1","tier":"prod","role":"","last":7}"#)
        else {
            panic!("not read as an answer");
        };
        assert_eq!(answer.tier, Some(Tier::Prod));
        let subjects: Vec<_> = answer.subjects().iter().map(ToString::to_string).collect();
        assert_eq!(subjects, ["deploy.prod.h1", "deploy.prod.all"]);
        assert_eq!(Discovery::read(br#"{"hostname":"a.b"}"#), None);
    }

    #[test]
    fn discovery_takes_from_a_question_only_what_is_well_formed() {
        let ask = Discovery::read(br#"{"reply_to":"deploy.prod.evil","tier":"staging","x":1}"#);
        assert_eq!(ask, Some(Discovery::Ask(Ask { reply_to: None, tier: None, id: None })));
        assert_eq!(Discovery::read(b"hello"), None);
        assert_eq!(Discovery::read(b"[]"), None);
    }
}
