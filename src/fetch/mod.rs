//! The outbound role: one HTTP request, made by a process without privileges.
//!
//! [`send`] is the caller's side (root): it starts the role, hands it the request on standard input and takes the answer
//! back. A request may bear secrets in its headers; they are in that file in memory and in no argument, environment or
//! log. [`role`] is the other: it drops to its user before it touches the network, sets `alarm(2)` as its one deadline,
//! follows no redirect, uses no proxy, stops at a number of bytes, and decides nothing. Plain http goes to loopback
//! only. ureq is given no timeout of its own: it would start a thread for the resolver, which a role without the right
//! to fork cannot have.

mod role;

pub use role::role;

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::limits::{KILL_AFTER, MAX_SETTINGS};
use crate::os::child::{self, Command, Exit};
use crate::os::privilege::{Identity, identity};
use crate::os::signal::Signal;
use crate::os::{descriptor, files};

/// What to send where, and how much of the answer to take. Cannot be printed: its headers may bear secrets.
#[derive(Clone, Serialize, Deserialize)]
pub struct FetchRequest {
    /// `GET`, `POST` or `DELETE`.
    pub method: String,
    /// https, or http to loopback.
    pub url: String,
    /// Beyond those that HTTP itself needs.
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// PEM of the authorities to trust; `None` for the built-in roots. Read by the caller, so that the role opens nothing.
    authorities: Option<String>,
    /// Bytes of the body at most; a longer one is an error.
    most: usize,
    /// In all: name, connection, handshake, answer. Whole seconds, at least one, as alarm(2) counts.
    seconds: u32,
    /// Whom to become.
    identity: Identity,
}

/// What came back, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchResponse {
    pub status: u16,
    /// Those that tell why a request was refused, by their names in lower case.
    pub headers: Vec<(String, String)>,
    /// Complete.
    pub body: Vec<u8>,
}

impl FetchRequest {
    /// A request to get `url`, by the user and with the authorities of `config`.
    ///
    /// # Errors
    /// One sentence: there is no such user, or the authorities cannot be read.
    pub fn new(config: &Config, url: &str, deadline: Duration, most: usize) -> Result<Self, String> {
        let read = |path| {
            let pem = files::read_bounded(path, MAX_SETTINGS as u64 / 2)
                .map_err(|error| files::describe(&error, "read the authorities in", path))?;
            Ok::<_, String>(String::from_utf8_lossy(&pem).into_owned())
        };
        Ok(Self {
            method: "GET".into(),
            url: url.into(),
            headers: Vec::new(),
            body: None,
            authorities: config.issuer.ca_file.as_deref().map(read).transpose()?,
            most,
            seconds: deadline.as_millis().div_ceil(1000).max(1) as u32,
            identity: identity(&config.fetch_user)
                .map_err(|error| format!("become the user of DEPLOYER_FETCH_USER: {error}"))?,
        })
    }
}

impl FetchResponse {
    /// The header `name`, in lower case: `retry-after` or `x-ratelimit-remaining`.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Has `request` sent by a process of its own.
///
/// A role that was killed by a signal other than its own alarm is started once more: that is the machine's state (no
/// memory, an operator), never a verdict about the peer. So the peer may get the same request twice.
///
/// # Errors
/// What could not be done, or what came back.
pub fn send(request: &FetchRequest) -> Result<FetchResponse, String> {
    for _ in 0..2 {
        match start(request).map_err(|error| format!("start the fetch role: {error}"))? {
            (Exit::Signal(Signal::SIGALRM), _) => {
                return Err(format!("no complete answer within {} s", request.seconds));
            }
            (exit @ Exit::Signal(_), _) => {
                log::warn!("the fetch role for {} was {exit}; trying again", request.url);
            }
            (Exit::Code(0), Some(bytes)) => {
                return serde_json::from_slice(&bytes)
                    .unwrap_or_else(|_| Err("the fetch role gave no whole answer".into()));
            }
            (exit, _) => return Err(format!("the fetch role ended with {exit}")),
        }
    }
    Err("the fetch role was killed twice".into())
}

fn start(request: &FetchRequest) -> std::io::Result<(Exit, Option<Vec<u8>>)> {
    let order = descriptor::memory_file(&serde_json::to_vec(request)?)?;
    let until = Instant::now() + Duration::from_secs(request.seconds.into()) + KILL_AFTER;
    // Each byte of the body is a number of up to three digits.
    child::output(
        Command::role("fetch").descriptor(0, order),
        4 * request.most + 4096,
        until,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_request_reaches_the_role_as_it_was_made() {
        let least = Settings::from_env_file(include_bytes!("../../tests/data/least.env")).unwrap();
        let config = Config::from_settings(&least).unwrap();
        let mut request =
            FetchRequest::new(&config, "https://host/x", Duration::from_millis(1500), 7).unwrap();
        request
            .headers
            .push(("authorization".into(), "Bearer hunter2".into()));
        let handed: FetchRequest = serde_json::from_slice(&serde_json::to_vec(&request).unwrap()).unwrap();
        assert_eq!(handed.headers, request.headers);
        assert_eq!((&*handed.method, handed.seconds, handed.most), ("GET", 2, 7));
    }
}
