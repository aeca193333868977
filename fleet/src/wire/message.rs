//! Requests and responses: those of the Go tool, and what ours carry besides, which an old reader ignores.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Action, Hostname, ReplyTo, Revision, RunId, Time, tail};
use crate::limits::{MESSAGE_BYTES, REQUEST_BYTES, RESPONSE_BYTES};

/// What a host says of a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Accepted,
    Rejected,
    Started,
    Completed,
    Failed,
}

impl Status {
    pub const ALL: [Status; 5] =
        [Status::Accepted, Status::Rejected, Status::Started, Status::Completed, Status::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::Accepted => "accepted",
            Status::Rejected => "rejected",
            Status::Started => "started",
            Status::Completed => "completed",
            Status::Failed => "failed",
        }
    }

    pub fn is_final(self) -> bool {
        matches!(self, Status::Completed | Status::Failed | Status::Rejected)
    }
}

/// Why a deploy was rejected or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    pub fn as_str(self) -> &'static str {
        match self {
            Code::InvalidRevision => "invalid_revision",
            Code::InvalidAction => "invalid_action",
            Code::AlreadyRunning => "already_running",
            Code::BuildFailed => "build_failed",
            Code::Timeout => "timeout",
            Code::Expired => "expired",
            Code::DuplicateId => "duplicate_id",
            Code::Unsigned => "unsigned",
            Code::Held => "held",
            Code::Interrupted => "interrupted",
            Code::ActivationFailed => "activation_failed",
            Code::RolledBack => "rolled_back",
            Code::Quarantined => "quarantined",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a deployer asks for. The first three fields are the Go tool's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub action: Action,
    pub revision: Revision,
    pub reply_to: ReplyTo,
    pub id: RunId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub issued_at: Option<Time>,
    /// Past this no host begins.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deadline: Option<Time>,
    /// The branch of a revision that is a commit: nix fetches it by that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub branch: Option<Revision>,
    /// Of the deployer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// For whom, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<String>,
}

/// Why bytes on a deploy subject are dropped unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    TooLong,
    NotJson,
    NoReplyTo,
    BadField(&'static str),
}

impl std::fmt::Display for BadRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadRequest::TooLong => write!(f, "it is over {REQUEST_BYTES} bytes"),
            BadRequest::NotJson => f.write_str("it is not a JSON object"),
            BadRequest::NoReplyTo => f.write_str("its reply_to is missing or not below deploy.responses"),
            BadRequest::BadField(name) => write!(f, "its field {name} is malformed"),
        }
    }
}

/// A request that can be answered; whether it can be done is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming {
    pub reply_to: ReplyTo,
    pub id: RunId,
    /// As they came: a wrong one is answered with its code.
    action: String,
    revision: String,
    pub issued_at: Option<Time>,
    pub deadline: Option<Time>,
    branch: Option<String>,
    pub version: Option<String>,
    pub by: Option<String>,
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An optional field that must be right where it is there.
fn checked<T: std::str::FromStr>(value: &Value, name: &'static str) -> Result<Option<T>, BadRequest> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| BadRequest::BadField(name)),
        Some(_) => Err(BadRequest::BadField(name)),
    }
}

impl Incoming {
    pub fn read(bytes: &[u8]) -> Result<Self, BadRequest> {
        if bytes.len() > REQUEST_BYTES {
            return Err(BadRequest::TooLong);
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| BadRequest::NotJson)?;
        if !value.is_object() {
            return Err(BadRequest::NotJson);
        }
        let reply_to: ReplyTo = text(&value, "reply_to").parse().map_err(|_| BadRequest::NoReplyTo)?;
        let note = |name| value.get(name).and_then(Value::as_str).map(|text| tail(text, 200).to_owned());
        Ok(Incoming {
            id: checked(&value, "id")?.unwrap_or_else(|| reply_to.id()),
            action: text(&value, "action"),
            revision: text(&value, "revision"),
            issued_at: checked(&value, "issued_at")?,
            deadline: checked(&value, "deadline")?,
            branch: value.get("branch").and_then(Value::as_str).map(str::to_owned),
            version: note("version"),
            by: note("by"),
            reply_to,
        })
    }

    /// The request, or the code and the sentence to reject it with.
    pub fn request(&self) -> Result<Request, (Code, String)> {
        let revision = |text: &str| -> Result<Revision, (Code, String)> {
            text.parse().map_err(|why: super::Invalid| (Code::InvalidRevision, why.0))
        };
        Ok(Request {
            action: self.action.parse().map_err(|why: super::Invalid| (Code::InvalidAction, why.0))?,
            revision: revision(&self.revision)?,
            branch: self.branch.as_deref().map(revision).transpose()?,
            reply_to: self.reply_to.clone(),
            id: self.id.clone(),
            issued_at: self.issued_at,
            deadline: self.deadline,
            version: self.version.clone(),
            by: self.by.clone(),
        })
    }

    /// The action's name where it is one, for the metrics.
    pub fn action(&self) -> Option<Action> {
        self.action.parse().ok()
    }
}

/// What a host answers. The first four fields are the Go tool's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    pub hostname: Hostname,
    pub status: Status,
    pub error: Option<String>,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<RunId>,
    /// The commit that was built.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Time>,
    /// The id of the run that is going on, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<RunId>,
    /// Seconds until the next `started`. A host that names none is never stalled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heartbeat: Option<u64>,
    /// As in discovery: what another listener cannot know.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance: Option<String>,
}

/// Why bytes on a reply subject are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BadResponse {
    TooLong,
    NotAResponse,
    NoHostname,
    UnknownStatus,
}

impl std::fmt::Display for BadResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BadResponse::TooLong => "a response over 16 KiB",
            BadResponse::NotAResponse => "a response that is not a JSON object",
            BadResponse::NoHostname => "a response without a valid hostname",
            BadResponse::UnknownStatus => "a response with an unknown status",
        })
    }
}

/// A field that is taken where it is right, and otherwise not there.
pub(super) fn lenient<T: serde::de::DeserializeOwned>(value: &Value, name: &str) -> Option<T> {
    value.get(name).and_then(|field| T::deserialize(field).ok())
}

impl Response {
    pub fn read(bytes: &[u8]) -> Result<Self, BadResponse> {
        if bytes.len() > RESPONSE_BYTES {
            return Err(BadResponse::TooLong);
        }
        let value: Value = serde_json::from_slice(bytes).map_err(|_| BadResponse::NotAResponse)?;
        if !value.is_object() {
            return Err(BadResponse::NotAResponse);
        }
        let error = text(&value, "error");
        Ok(Response {
            hostname: lenient(&value, "hostname").ok_or(BadResponse::NoHostname)?,
            status: lenient(&value, "status").ok_or(BadResponse::UnknownStatus)?,
            error: (!error.is_empty()).then(|| tail(&error, 100).to_owned()),
            message: tail(&text(&value, "message"), MESSAGE_BYTES).to_owned(),
            id: lenient(&value, "id"),
            revision: lenient(&value, "revision").filter(|text: &String| super::names::is_commit(text)),
            time: lenient(&value, "time"),
            run: lenient(&value, "run"),
            heartbeat: lenient(&value, "heartbeat").filter(|seconds| (1..=3_600).contains(seconds)),
            instance: lenient(&value, "instance"),
        })
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
        assert_eq!(incoming.id.as_str(), "abc123");
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
        assert_eq!(read("[]").unwrap_err(), BadRequest::NotJson);
        assert_eq!(read("{").unwrap_err(), BadRequest::NotJson);
        assert_eq!(read(r#"{"reply_to":"deploy.prod.evil"}"#).unwrap_err(), BadRequest::NoReplyTo);
        assert_eq!(read(&format!(r#"{{{to},"deadline":"soon"}}"#)).unwrap_err(), BadRequest::BadField("deadline"));
        assert_eq!(read(&format!(r#"{{{to},"id":"a/b"}}"#)).unwrap_err(), BadRequest::BadField("id"));
        assert_eq!(read(&format!("{{{to}}}{}", " ".repeat(REQUEST_BYTES))).unwrap_err(), BadRequest::TooLong);
    }

    #[test]
    fn contract_a_response_stays_below_its_bound_however_it_is_escaped() {
        let response = Response {
            hostname: "h".parse().unwrap(),
            status: Status::Failed,
            error: Some(Code::BuildFailed.to_string()),
            message: "\u{1}".repeat(50_000),
            id: None,
            revision: None,
            time: Some(Time(0)),
            run: None,
            heartbeat: None,
            instance: None,
        };
        let bytes = response.write();
        assert!(bytes.len() <= RESPONSE_BYTES);
        let read = Response::read(&bytes).unwrap();
        assert!(read.message.len() >= 1_000);
        assert_eq!(Response::read(&[b' '; RESPONSE_BYTES + 1]), Err(BadResponse::TooLong));
        assert_eq!(Response::read(br#"{"hostname":"h","status":"done"}"#), Err(BadResponse::UnknownStatus));
        assert_eq!(Response::read(br#"{"hostname":"all","status":"failed"}"#), Err(BadResponse::NoHostname));
    }
}
