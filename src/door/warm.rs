//! One warm session as `serve` sees it: a child, and a line on which it says `ready` and `accepted ADDRESS`.

use std::io::{self, Read};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::config::Settings;
use crate::os::child::{Child, Command};
use crate::os::{descriptor, settings};

/// A session that waits for its connection. Dropping it is the lifeline's end: it exits, unless it has its connection.
#[derive(Debug)]
pub struct Warm {
    child: Child,
    line: UnixStream,
    heard: Vec<u8>,
}

/// What a session said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It can take a connection.
    Ready,
    /// It has one, and needs nobody any more.
    Accepted(String),
    /// It is gone without one.
    Gone,
}

/// A word of ours and an address; a line that is longer is no line of a session's.
const LONGEST_LINE: usize = 128;

impl Warm {
    /// Starts a session on copies of `listeners`.
    pub fn start(listeners: &[TcpListener], with: &Settings) -> io::Result<Self> {
        let (ours, theirs) = descriptor::pair()?;
        let mut session = Command::role("session")
            .logging_as_we_do()
            .descriptor(0, settings::hand_over(with)?)
            .descriptor(descriptor::FIRST, theirs);
        if listeners.len() > 1 {
            session = session.argument(listeners.len().to_string());
        }
        for (number, listener) in (descriptor::FIRST + 1..).zip(listeners) {
            session = session.descriptor(number, OwnedFd::from(listener.try_clone()?));
        }
        let child = session.spawn()?;
        descriptor::set_nonblocking(&ours)?;
        Ok(Self {
            child,
            line: UnixStream::from(ours),
            heard: Vec::new(),
        })
    }

    /// Tells it that nobody wants it any more. It says `accepted` when a connection came first, and else ends.
    pub fn dismiss(&self) {
        // An error is a session that has ended, which its line says as well.
        let _ = self.line.shutdown(Shutdown::Write);
    }

    /// Its process, which has a connection now and needs nobody any more.
    pub fn into_child(self) -> Child {
        self.child
    }

    /// What to poll for reading.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }

    /// The next thing it said; `None` when there is nothing yet.
    pub fn hear(&mut self) -> Option<Said> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Some(understand(&line[..end]));
            }
            let mut part = [0u8; LONGEST_LINE];
            match self.line.read(&mut part) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Ok(count) if count > 0 && self.heard.len() <= LONGEST_LINE => {
                    self.heard.extend(&part[..count])
                }
                _ => return Some(Said::Gone),
            }
        }
    }
}

fn understand(line: &[u8]) -> Said {
    match std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_prefix("accepted "))
    {
        Some(address) => Said::Accepted(address.to_owned()),
        None if line == b"ready" => Said::Ready,
        None => Said::Gone,
    }
}
