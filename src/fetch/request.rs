//! The words of the outbound role: what is sent, and what came back of it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MAX_SETTINGS;
use crate::os::files;
use crate::os::privilege::Identity;
use crate::secret::Secret;

/// What to send where, and how much of the answer to take.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FetchRequest {
    /// What is done to it.
    pub method: Method,
    /// https, or http to loopback.
    pub url: String,
    /// Beyond those that HTTP itself needs.
    pub headers: Vec<Header>,
    /// Only with [`Method::Post`].
    pub body: Option<String>,
    /// PEM of the authorities to trust; `None` for the built-in roots.
    pub authorities: Option<String>,
    /// Bytes of the body at most; a longer one is an error.
    pub most: usize,
    /// In all: name, connection, handshake, answer. Whole seconds, at least one, as alarm(2) counts.
    pub seconds: u32,
    /// User to become.
    pub uid: u32,
    /// Group to become.
    pub gid: u32,
}

/// The methods that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Look.
    Get,
    /// Make.
    Post,
    /// Take away.
    Delete,
}

/// As a sentence says it: `get`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Get => "get",
            Method::Post => "post",
            Method::Delete => "delete",
        })
    }
}

/// A header of a request. Its value may be a secret, so all are treated as such.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    pub(super) name: String,
    #[serde(serialize_with = "exposed", deserialize_with = "concealed")]
    pub(super) value: Secret,
}

fn exposed<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.expose())
}

fn concealed<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::new)
}

/// Headers of an answer that tell why a request was refused; no other is taken. Lower case.
pub(super) const TELLING: [&str; 2] = ["retry-after", "x-ratelimit-remaining"];

/// Bytes of such a header.
pub(super) const LONGEST_HEADER: usize = 64;

/// What came back, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchResponse {
    /// The HTTP status.
    pub status: u16,
    /// Those of `TELLING` that it has. See [`FetchResponse::header`].
    pub headers: Vec<(String, String)>,
    /// The body, complete.
    pub body: Vec<u8>,
}

impl FetchRequest {
    /// An order to get `url` as `identity`, within `deadline`.
    pub fn new(url: &str, identity: Identity, deadline: Duration, most: usize) -> Self {
        let seconds = u32::try_from(deadline.as_millis().div_ceil(1000))
            .unwrap_or(u32::MAX)
            .max(1);
        Self {
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            authorities: None,
            most,
            seconds,
            uid: identity.uid,
            gid: identity.gid,
        }
    }

    /// The same with another method.
    pub fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: Secret) -> Self {
        let name = name.into();
        self.headers.push(Header { name, value });
        self
    }

    /// The same with this body.
    pub fn body(self, body: String) -> Self {
        let body = Some(body);
        Self { body, ..self }
    }

    /// As a sentence says it: `get URL`.
    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.method, self.url)
    }

    /// Trusts the authorities in `file` instead of the built-in roots. Read here, so that the role opens nothing.
    pub fn trusting(mut self, file: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = file {
            let pem = files::read_bounded(path, MAX_SETTINGS as u64 / 2)
                .map_err(|error| files::describe(&error, "read the authorities in", path))?;
            self.authorities = Some(String::from_utf8_lossy(&pem).into_owned());
        }
        Ok(self)
    }
}

impl FetchResponse {
    /// The header `name`, in lower case: `retry-after` or `x-ratelimit-remaining`.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_reaches_the_role_and_is_printed_by_nobody() {
        let identity = Identity { uid: 1, gid: 1 };
        let order = FetchRequest::new("https://host/x", identity, Duration::from_millis(1500), 7)
            .method(Method::Delete)
            .header("authorization", Secret::new("Bearer hunter2".into()));
        assert!(!format!("{order:?}").contains("hunter2"));
        let handed: FetchRequest = serde_json::from_slice(&serde_json::to_vec(&order).unwrap()).unwrap();
        assert_eq!(handed.headers[0].value.expose(), "Bearer hunter2");
        assert_eq!((handed.method, handed.seconds), (Method::Delete, 2));
        assert_eq!(handed.summary(), "delete https://host/x");
    }
}
