//! One warm session as `serve` sees it: a child, and a socket on which it writes `ready` and `accepted ADDRESS`.

use std::io::{self, Read};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::config::Settings;
use crate::os::child::{Child, Command};
use crate::os::{descriptor, settings};

/// A session that waits for its connection. Dropping this closes its lifeline: it exits, unless it has its connection.
#[derive(Debug)]
pub struct WarmSession {
    pub child: Child,
    /// Whether it was told to end.
    pub is_dismissed: bool,
    socket: UnixStream,
    received: Vec<u8>,
}

/// What a session reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// It can take a connection.
    Ready,
    /// It has one, from this address, and needs nobody any more.
    Accepted(String),
    /// It ended without one.
    Ended,
}

/// `accepted ` and an address; a line that is longer is none of a session's.
const MAX_LINE: usize = 128;

impl WarmSession {
    /// Starts a session on copies of `listeners`.
    pub fn start(listeners: &[TcpListener], settings: &Settings) -> io::Result<Self> {
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let mut session = Command::role("session")
            .logging_as_we_do()
            .descriptor(0, settings::memory_file(settings)?)
            .descriptor(descriptor::FIRST, theirs);
        if listeners.len() > 1 {
            session = session.argument(listeners.len().to_string());
        }
        for (number, listener) in (descriptor::FIRST + 1..).zip(listeners) {
            session = session.descriptor(number, listener.try_clone()?);
        }
        Ok(Self {
            child: session.spawn()?,
            socket,
            received: Vec::new(),
            is_dismissed: false,
        })
    }

    /// Tells it to end. It reports [`SessionState::Accepted`] all the same when a connection came first.
    pub fn dismiss(&mut self) {
        self.is_dismissed = true;
        // An error is a session that has ended, which reading shows as well.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    /// What to poll for reading.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next state that it reports; `None` when there is nothing new.
    pub fn next_state(&mut self) -> Option<SessionState> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return Some(parse(&line[..end]));
            }
            let mut part = [0u8; MAX_LINE];
            match self.socket.read(&mut part) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Ok(count) if count > 0 && self.received.len() <= MAX_LINE => {
                    self.received.extend(&part[..count])
                }
                _ => return Some(SessionState::Ended),
            }
        }
    }
}

/// Anything else than a session's two lines counts as its end.
fn parse(line: &[u8]) -> SessionState {
    let line = std::str::from_utf8(line).unwrap_or_default();
    match line.strip_prefix("accepted ") {
        Some(address) => SessionState::Accepted(address.to_owned()),
        None if line == "ready" => SessionState::Ready,
        None => SessionState::Ended,
    }
}
