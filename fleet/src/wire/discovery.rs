//! Discovery: who is there, what each does and what it did last.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::message::{heartbeat, lenient};
use super::{Hostname, ReplyTo, Request, Role, RunId, Status, Subject, Tier, Time, subject};
use crate::limits::{REQUEST_BYTES, RESPONSE_BYTES};

/// The question. A host of another tier does not answer; with an id `last` is the answer about that deploy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<RunId>,
}

/// A run that is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub id: RunId,
    pub since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    pub id: RunId,
    pub status: Status,
    pub error: Option<String>,
    pub revision: Option<String>,
    pub finished_at: Time,
    #[serde(default)]
    pub message: String,
}

/// A host's answer. Of a foreign one only the name is needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub hostname: Hostname,
    #[serde(default, deserialize_with = "lenient")]
    pub tier: Option<Tier>,
    #[serde(default, deserialize_with = "lenient")]
    pub role: Option<Role>,
    #[serde(default, deserialize_with = "subjects")]
    pub subjects: Vec<Subject>,
    /// One process of one machine. Two of them with one hostname are a cloned machine.
    #[serde(default, deserialize_with = "lenient")]
    pub instance: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub version: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub backend: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub timeout: Option<u64>,
    /// Seconds between two heartbeats.
    #[serde(default, deserialize_with = "lenient")]
    pub heartbeat: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub time: Option<Time>,
    #[serde(default, deserialize_with = "lenient")]
    pub running: Option<Running>,
    #[serde(default, deserialize_with = "lenient")]
    pub last: Option<Last>,
    /// Why deploys are held here.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

fn subjects<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Subject>, D::Error> {
    let values: Vec<Value> = lenient(from)?.unwrap_or_default();
    Ok(values.iter().take(64).filter_map(|subject| Subject::deserialize(subject).ok()).collect())
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
            let mut answer = Answer::deserialize(value).ok()?;
            answer.heartbeat = heartbeat(answer.heartbeat);
            return Some(Discovery::Answer(Box::new(answer)));
        }
        let is_ask = value.is_object() && bytes.len() <= REQUEST_BYTES;
        is_ask.then(|| Ask::deserialize(value).ok().map(Discovery::Ask))?
    }
}

impl Answer {
    /// The subjects that it has subscribed to, or those that are assumed of it.
    pub fn subjects(&self) -> Vec<Subject> {
        match self.subjects.is_empty() {
            true => subject::defaults(&self.hostname, self.tier, self.role.as_ref()),
            false => self.subjects.clone(),
        }
    }

    /// Whether it tells of this deploy.
    pub fn knows(&self, id: &RunId) -> bool {
        let running = self.running.as_ref().is_some_and(|running| running.id == *id);
        running || self.last.as_ref().is_some_and(|last| last.id == *id)
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
