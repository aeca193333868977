//! Requests and responses: those of the Go tool, and what ours carry besides, which an old reader ignores.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Action, Hostname, Invalid, ReplyTo, Revision, RunId, Time, tail, word};
use crate::limits::{HEARTBEAT_MAX, MESSAGE_BYTES, REQUEST_BYTES, RESPONSE_BYTES};

/// What a host says of a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Accepted,
    Rejected,
    Started,
    Completed,
    Failed,
}

impl Status {
    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Rejected)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Why a deploy was rejected or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    InvalidRevision,
    InvalidAction,
    AlreadyRunning,
    BuildFailed,
    Timeout,
    Expired,
    DuplicateId,
    Unsigned,
    Held,
    Interrupted,
    ActivationFailed,
    RolledBack,
    Quarantined,
}

impl Code {
    pub const ALL: [Code; 13] = [
        Code::InvalidRevision,
        Code::InvalidAction,
        Code::AlreadyRunning,
        Code::BuildFailed,
        Code::Timeout,
        Code::Expired,
        Code::DuplicateId,
        Code::Unsigned,
        Code::Held,
        Code::Interrupted,
        Code::ActivationFailed,
        Code::RolledBack,
        Code::Quarantined,
    ];
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What a deployer asks for. The first three fields are the Go tool's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub action: Action,
    pub revision: Revision,
    pub reply_to: ReplyTo,
    pub id: RunId,
    pub issued_at: Option<Time>,
    /// Past this no host begins.
    pub deadline: Option<Time>,
    /// The branch of a revision that is a commit: nix fetches it by that.
    pub branch: Option<Revision>,
    /// Of the deployer.
    pub version: Option<String>,
    /// For whom, in words.
    pub by: Option<String>,
}

/// A request that can be answered; whether it can be done is another question. What decides that is as it came: a wrong one is
/// answered with its code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Incoming {
    pub reply_to: ReplyTo,
    id: Option<RunId>,
    #[serde(default)]
    action: Value,
    #[serde(default)]
    revision: Value,
    issued_at: Option<Time>,
    pub deadline: Option<Time>,
    #[serde(default)]
    branch: Value,
    #[serde(default, deserialize_with = "lenient")]
    version: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    by: Option<String>,
}

/// A field that is taken where it is right, and otherwise not there.
pub(super) fn lenient<'de, T: serde::de::DeserializeOwned, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(T::deserialize(Value::deserialize(from)?).ok())
}

impl Incoming {
    pub fn read(bytes: &[u8]) -> Result<Self, Invalid> {
        if bytes.len() > REQUEST_BYTES {
            return Err(Invalid(format!("it is over {REQUEST_BYTES} bytes")));
        }
        let fields: Map<String, Value> = serde_json::from_slice(bytes).map_err(|why| Invalid(why.to_string()))?;
        Incoming::deserialize(Value::Object(fields)).map_err(|why| Invalid(why.to_string()))
    }

    pub fn id(&self) -> RunId {
        self.id.clone().unwrap_or_else(|| self.reply_to.id())
    }

    /// The request, or the code and the sentence to reject it with.
    pub fn request(&self) -> Result<Request, (Code, String)> {
        let revision = |value: &Value| -> Result<Revision, (Code, String)> {
            let text = value.as_str().unwrap_or_default();
            text.parse().map_err(|why: Invalid| (Code::InvalidRevision, why.0))
        };
        let note = |text: &Option<String>| text.as_deref().map(|text| tail(text, 200).to_owned());
        Ok(Request {
            action: self.action().map_err(|why| (Code::InvalidAction, why.0))?,
            revision: revision(&self.revision)?,
            branch: self.branch.as_str().map(|_| revision(&self.branch)).transpose()?,
            reply_to: self.reply_to.clone(),
            id: self.id(),
            issued_at: self.issued_at,
            deadline: self.deadline,
            version: note(&self.version),
            by: note(&self.by),
        })
    }

    pub fn action(&self) -> Result<Action, Invalid> {
        word("action", self.action.as_str().unwrap_or_default())
    }
}

/// What a host answers. The first four fields are the Go tool's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub hostname: Hostname,
    pub status: Status,
    #[serde(default, deserialize_with = "lenient")]
    pub error: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub message: String,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub id: Option<RunId>,
    /// The commit that was built.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
    /// The id of the run that is going on, where that is another one.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Seconds until the next `started`. A host that names none is never stalled.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub heartbeat: Option<u64>,
    /// As in discovery: what another listener cannot know.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

/// A text, or an empty one in the place of what is none.
fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    lenient(from).map(Option::unwrap_or_default)
}

/// Seconds between two heartbeats, where they can be so.
pub(super) fn heartbeat(seconds: Option<u64>) -> Option<u64> {
    seconds.filter(|seconds| (1..=HEARTBEAT_MAX).contains(seconds))
}

impl Response {
    pub fn new(hostname: Hostname, status: Status, message: String) -> Self {
        Response {
            hostname,
            status,
            error: None,
            message,
            id: None,
            revision: None,
            time: None,
            run: None,
            heartbeat: None,
            instance: None,
        }
    }

    /// What is none is named in one of a few ways.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > RESPONSE_BYTES {
            return Err("a response over 16 KiB");
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| "a response that is not a JSON object")?;
        if !value.is_object() {
            return Err("a response that is not a JSON object");
        }
        Hostname::deserialize(&value["hostname"]).map_err(|_| "a response without a valid hostname")?;
        let mut response = Response::deserialize(value).map_err(|_| "a response with an unknown status")?;
        response.error = response.error.filter(|code| !code.is_empty()).map(|code| tail(&code, 100).to_owned());
        response.message = tail(&response.message, MESSAGE_BYTES).to_owned();
        response.revision = response.revision.filter(|text| super::names::is_commit(text));
        response.heartbeat = heartbeat(response.heartbeat);
        Ok(response)
    }

    /// The bytes to publish. Escaping can make the text six times as long, so it is cut until it fits.
    pub fn write(&self) -> Vec<u8> {
        let mut response = self.clone();
        let mut most = MESSAGE_BYTES;
        loop {
            response.message = tail(&self.message, most).to_owned();
            let bytes = serde_json::to_vec(&response).expect("a response is JSON");
            if bytes.len() <= RESPONSE_BYTES || most == 0 {
                return bytes;
            }
            most /= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_a_request_of_the_go_tool_is_read() {
        let bytes = br#"{"action":"switch","revision":"main","reply_to":"deploy.responses.abc123"}"#;
        let incoming = Incoming::read(bytes).unwrap();
        assert_eq!(incoming.id().as_str(), "abc123");
        let request = incoming.request().unwrap();
        assert_eq!((request.action, request.revision.as_str()), (Action::Switch, "main"));
        assert_eq!(request.deadline, None);
    }

    #[test]
    fn bad_input_a_wrong_field_is_answered_and_an_unanswerable_request_is_not() {
        let read = |text: &str| Incoming::read(text.as_bytes());
        let code = |text: &str| read(text).unwrap().request().unwrap_err().0;
        let to = r#""reply_to":"deploy.responses.x""#;
        assert_eq!(code(&format!(r#"{{{to},"revision":"main"}}"#)), Code::InvalidAction);
        assert_eq!(code(&format!(r#"{{{to},"action":7,"revision":"main"}}"#)), Code::InvalidAction);
        assert_eq!(code(&format!(r#"{{{to},"action":"switch","revision":"a&b"}}"#)), Code::InvalidRevision);
        let branch = format!(r#"{{{to},"action":"boot","revision":"a","branch":"../x"}}"#);
        assert_eq!(code(&branch), Code::InvalidRevision);
        let refused = |text: &str| read(text).unwrap_err().0;
        assert!(refused("[]").contains("invalid"));
        assert!(refused("{").contains("EOF"));
        assert!(refused(r#"{"reply_to":"deploy.prod.evil"}"#).contains("reply_to"));
        assert!(refused(&format!(r#"{{{to},"deadline":"soon"}}"#)).contains("time \"soon\""));
        assert!(refused(&format!(r#"{{{to},"id":"a/b"}}"#)).contains("id \"a/b\""));
        assert!(refused(&format!("{{{to}}}{}", " ".repeat(REQUEST_BYTES))).contains("over 8192 bytes"));
    }

    #[test]
    fn contract_a_response_stays_below_its_bound_however_it_is_escaped() {
        let mut response = Response::new("h".parse().unwrap(), Status::Failed, "\u{1}".repeat(50_000));
        (response.error, response.time) = (Some(Code::BuildFailed.to_string()), Some(Time(0)));
        let bytes = response.write();
        assert!(bytes.len() <= RESPONSE_BYTES);
        let read = Response::read(&bytes).unwrap();
        assert!(read.message.len() >= 1_000);
        assert_eq!(Response::read(&[b' '; RESPONSE_BYTES + 1]), Err("a response over 16 KiB"));
        assert_eq!(Response::read(br#"{"hostname":"h","status":"done"}"#), Err("a response with an unknown status"));
        assert_eq!(
            Response::read(br#"{"hostname":"all","status":"failed"}"#),
            Err("a response without a valid hostname")
        );
    }
}
