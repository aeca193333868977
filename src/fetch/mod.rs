//! The outbound role: one HTTP request, made by a process without privileges.
//!
//! [`send`] is the caller's side (root): it starts the role, hands it the order on standard input and takes bytes back.
//! An order may bear secrets in its headers; they are in that pipe and in no argument, environment or log.
//! [`role`] is the other: it drops to its user before it touches the network, sets `alarm(2)` as its one deadline,
//! follows no redirect, uses no proxy, stops at a number of bytes, and decides nothing. Plain http goes to loopback
//! only. ureq is given no timeout of its own: it would start a thread for the resolver, which a role without the right
//! to fork cannot have.

mod request;
mod role;

pub use request::{FetchRequest, FetchResponse, Header, Method};
pub use role::role;

use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::limits::KILL_AFTER;
use crate::os::child::{self, Command, Exit};
use crate::os::descriptor;
use crate::os::signal::Signal;

/// The first line that the role writes; after `Answered` comes the body, to end of file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Answered {
        status: u16,
        headers: Vec<(String, String)>,
        length: usize,
    },
    Failed {
        why: String,
    },
}

/// Has `order` carried out by a process of its own.
///
/// A role that was killed by a signal other than its own alarm is started once more: that is the machine's state (no
/// memory, an operator), never a verdict about the peer. So the peer may get the same request twice.
///
/// # Errors
/// One sentence: what could not be done, and what came back.
pub fn send(order: &FetchRequest) -> Result<FetchResponse, String> {
    for _ in 0..2 {
        match attempt(order).map_err(|error| format!("start the fetch role: {error}"))? {
            Attempt::Done(result) => return result,
            Attempt::Killed(exit) => log::warn!("`{}` was {exit}; trying again", order.summary()),
        }
    }
    Err(format!("{}: the fetch role was killed twice", order.summary()))
}

enum Attempt {
    Done(Result<FetchResponse, String>),
    Killed(Exit),
}

fn attempt(order: &FetchRequest) -> io::Result<Attempt> {
    let command = Command::role("fetch").descriptor(0, descriptor::memory_file(&serde_json::to_vec(order)?)?);
    let until = Instant::now() + Duration::from_secs(order.seconds.into()) + KILL_AFTER;
    let output = child::output(command, order.most + 4096, until)?;
    Ok(match (output.exit, output.bytes) {
        (Exit::Signal(number), _) if number == Signal::SIGALRM as i32 => Attempt::Done(Err(format!(
            "{}: no complete answer within {} s",
            order.summary(),
            order.seconds
        ))),
        (Exit::Code(0), Some(bytes)) => Attempt::Done(understand(&bytes, order)),
        (exit @ Exit::Signal(_), _) => Attempt::Killed(exit),
        (exit, _) => Attempt::Done(Err(format!(
            "{}: the fetch role ended with {exit}",
            order.summary()
        ))),
    })
}

pub fn understand(bytes: &[u8], order: &FetchRequest) -> Result<FetchResponse, String> {
    let garbled = || format!("{}: the fetch role gave no whole answer", order.summary());
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(garbled)?;
    match serde_json::from_slice(&bytes[..end]).map_err(|_| garbled())? {
        Report::Answered {
            status,
            headers,
            length,
        } if bytes.len() - end - 1 == length => Ok(FetchResponse {
            status,
            headers,
            body: bytes[end + 1..].to_vec(),
        }),
        Report::Answered { .. } => Err(garbled()),
        Report::Failed { why } => Err(format!("{}: {why}", order.summary())),
    }
}
