//! The outbound role: one HTTP GET, made by a process without privileges.
//!
//! [`get`] is the caller's side (root): it starts the role, hands it the order on standard input and takes bytes back.
//! [`role`] is the other: it drops to its user before it touches the network, sets `alarm(2)` as its one deadline,
//! follows no redirect, uses no proxy, stops at a number of bytes, and decides nothing. Plain http goes to loopback
//! only. ureq is given no timeout of its own: it would start a thread for the resolver, which a role without the right
//! to fork cannot have.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config;
use crate::limits::{FETCH_MEMORY, FETCH_OPEN_FILES, KILL_AFTER, MAX_SETTINGS};
use crate::os::child::{Child, Command, Exit};
use crate::os::privilege::{Confinement, Identity};
use crate::os::signal::Signal;
use crate::os::{descriptor, files, poll};

/// What to fetch, and how much of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// https, or http to loopback.
    pub url: String,
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

/// What came back, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, complete.
    pub body: Vec<u8>,
}

/// The first line that the role writes; after `Answered` comes the body, to end of file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Answered { status: u16, length: usize },
    Failed { why: String },
}

impl Order {
    /// An order for `url` as `identity`, within `deadline`.
    pub fn new(url: &str, identity: Identity, deadline: Duration, most: usize) -> Self {
        let seconds = u32::try_from(deadline.as_millis().div_ceil(1000))
            .unwrap_or(u32::MAX)
            .max(1);
        Self {
            url: url.into(),
            authorities: None,
            most,
            seconds,
            uid: identity.uid,
            gid: identity.gid,
        }
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

/// Has `order` fetched by a process of its own.
///
/// A role that was killed by a signal other than its own alarm is started once more: that is the machine's state (no
/// memory, an operator), never a verdict about the peer.
///
/// # Errors
/// One sentence: what could not be done, and what came back.
pub fn get(order: &Order) -> Result<Answer, String> {
    for _ in 0..2 {
        match attempt(order).map_err(|error| format!("start the fetch role: {error}"))? {
            Attempt::Done(result) => return result,
            Attempt::Killed(exit) => log::warn!("the fetch of {} was {exit}; trying again", order.url),
        }
    }
    Err(format!("get {}: the fetch role was killed twice", order.url))
}

enum Attempt {
    Done(Result<Answer, String>),
    Killed(Exit),
}

fn attempt(order: &Order) -> io::Result<Attempt> {
    let (order_reader, order_writer) = descriptor::pipe()?;
    let (answer_reader, answer_writer) = descriptor::pipe()?;
    let json = serde_json::to_vec(order)?;
    if json.len() > MAX_SETTINGS {
        return Err(io::Error::other("the order does not fit into a pipe"));
    }
    // Complete in the pipe before the role starts, so this cannot wait for it.
    std::fs::File::from(order_writer).write_all(&json)?;
    let mut child = Command::role("fetch")
        .descriptor(0, order_reader)
        .descriptor(1, answer_writer)
        .descriptor(2, null()?)
        .spawn()?;
    let until = Instant::now() + Duration::from_secs(order.seconds.into()) + KILL_AFTER;
    let output = read_until(answer_reader, order.most + 4096, until);
    let exit = end(&mut child, output.is_err())?;
    Ok(match (output, exit) {
        (_, Exit::Signal(number)) if number == Signal::SIGALRM as i32 => Attempt::Done(Err(format!(
            "get {}: no complete answer within {} s",
            order.url, order.seconds
        ))),
        (Ok(bytes), Exit::Code(0)) => Attempt::Done(understand(&bytes, order)),
        (_, exit @ Exit::Signal(_)) => Attempt::Killed(exit),
        (_, exit) => Attempt::Done(Err(format!(
            "get {}: the fetch role ended with {exit}",
            order.url
        ))),
    })
}

/// Everything the role writes, up to end of file.
fn read_until(reader: OwnedFd, most: usize, until: Instant) -> io::Result<Vec<u8>> {
    let mut file = std::fs::File::from(reader);
    let (mut bytes, mut part) = (Vec::new(), [0u8; 8192]);
    loop {
        let [ready] = poll::wait([(file.as_fd(), poll::For::Reading)], Some(until))?;
        if !ready.any() || bytes.len() > most {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        match file.read(&mut part)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}

fn end(child: &mut Child, by_force: bool) -> io::Result<Exit> {
    if by_force {
        child.signal(Signal::SIGKILL);
    }
    child.wait()
}

fn understand(bytes: &[u8], order: &Order) -> Result<Answer, String> {
    let garbled = || format!("get {}: the fetch role gave no whole answer", order.url);
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(garbled)?;
    match serde_json::from_slice(&bytes[..end]).map_err(|_| garbled())? {
        Report::Answered { status, length } if bytes.len() - end - 1 == length => Ok(Answer {
            status,
            body: bytes[end + 1..].to_vec(),
        }),
        Report::Answered { .. } => Err(garbled()),
        Report::Failed { why } => Err(format!("get {}: {why}", order.url)),
    }
}

fn null() -> io::Result<OwnedFd> {
    Ok(std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into())
}

/// The role itself: order on standard input, report and body on standard output.
///
/// # Errors
/// When the order cannot be read or privileges cannot be given up; nothing was fetched then.
pub fn role() -> io::Result<()> {
    let mut json = Vec::new();
    io::stdin().take(MAX_SETTINGS as u64).read_to_end(&mut json)?;
    let order: Order = serde_json::from_slice(&json)?;
    nix::unistd::alarm::set(order.seconds);
    let confinement = Confinement {
        root: None,
        identity: Identity {
            uid: order.uid,
            gid: order.gid,
        },
        descriptors: FETCH_OPEN_FILES,
        address_space: FETCH_MEMORY,
        processor_seconds: u64::from(order.seconds),
    };
    confinement.enter()?;
    let (report, body) = match request(&order) {
        Ok(answer) => (
            Report::Answered {
                status: answer.status,
                length: answer.body.len(),
            },
            answer.body,
        ),
        Err(why) => (Report::Failed { why }, Vec::new()),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &report)?;
    out.write_all(b"\n")?;
    out.write_all(&body)?;
    out.flush()
}

fn request(order: &Order) -> Result<Answer, String> {
    if !config::may_be_fetched(&order.url) {
        return Err("only https, or http to loopback, is fetched".into());
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .user_agent(concat!("engram-deployer/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls(order)?)
        .build()
        .into();
    let mut response = agent.get(&order.url).call().map_err(|error| plain(&error))?;
    let status = response.status().as_u16();
    let body = response
        .body_mut()
        .with_config()
        .limit(order.most as u64)
        .read_to_vec();
    Ok(Answer {
        status,
        body: body.map_err(|error| plain(&error))?,
    })
}

fn tls(order: &Order) -> Result<ureq::tls::TlsConfig, String> {
    let builder = ureq::tls::TlsConfig::builder().provider(ureq::tls::TlsProvider::Rustls);
    let Some(pem) = &order.authorities else {
        return Ok(builder.build());
    };
    let mut roots = Vec::new();
    for item in ureq::tls::parse_pem(pem.as_bytes()) {
        if let ureq::tls::PemItem::Certificate(certificate) = item.map_err(|error| plain(&error))? {
            roots.push(certificate);
        }
    }
    if roots.is_empty() {
        return Err("the file of authorities holds no certificate".into());
    }
    Ok(builder.root_certs(ureq::tls::RootCerts::from(roots)).build())
}

fn plain(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::BodyExceedsLimit(most) => format!("the answer is larger than {most} bytes"),
        other => other.to_string(),
    }
}
