//! The words of the outbound role: what is sent, and what came back of it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::Config;
use crate::limits::MAX_SETTINGS;
use crate::os::{files, privilege};
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
    /// An order to get `url` within `deadline`, as the user and by the authorities of `config`. Those are read here, so that
    /// the role opens nothing.
    ///
    /// # Errors
    /// One sentence: there is no such user, or no such file.
    pub fn new(config: &Config, url: &str, deadline: Duration, most: usize) -> Result<Self, String> {
        let identity = privilege::identity(&config.fetch_user)
            .map_err(|error| format!("become the user of DEPLOYER_FETCH_USER: {error}"))?;
        let authorities = |path: &PathBuf| {
            let pem = files::read_bounded(path, MAX_SETTINGS as u64 / 2);
            let pem = pem.map_err(|error| files::describe(&error, "read the authorities in", path))?;
            Ok::<_, String>(String::from_utf8_lossy(&pem).into_owned())
        };
        let seconds = u32::try_from(deadline.as_millis().div_ceil(1000));
        Ok(Self {
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            authorities: config.issuer.ca_file.as_ref().map(authorities).transpose()?,
            most,
            seconds: seconds.unwrap_or(u32::MAX).max(1),
            uid: identity.uid,
            gid: identity.gid,
        })
    }

    /// The same with one more header.
    pub fn header(mut self, name: &str, value: Secret) -> Self {
        let name = name.into();
        self.headers.push(Header { name, value });
        self
    }

    /// As a sentence says it: `get URL`.
    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.method, self.url)
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
    use crate::config::Settings;

    #[test]
    fn a_header_reaches_the_role_and_is_printed_by_nobody() {
        let least = Settings::from_env_file(include_bytes!("../../tests/data/least.env")).unwrap();
        let config = Config::from_settings(&least).unwrap();
        let mut order = FetchRequest::new(&config, "https://host/x", Duration::from_millis(1500), 7)
            .unwrap()
            .header("authorization", Secret::new("Bearer hunter2".into()));
        order.method = Method::Delete;
        assert!(!format!("{order:?}").contains("hunter2"));
        let handed: FetchRequest = serde_json::from_slice(&serde_json::to_vec(&order).unwrap()).unwrap();
        assert_eq!(handed.headers[0].value.expose(), "Bearer hunter2");
        assert_eq!((handed.method, handed.seconds), (Method::Delete, 2));
        assert_eq!(handed.summary(), "delete https://host/x");
    }
}
