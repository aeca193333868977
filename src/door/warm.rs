//! One warm session as `serve` sees it: a child, and a line on which it says `ready` and `accepted ADDRESS`.

use std::io::{self, Read};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::config::Settings;
use crate::os::child::Command;
use crate::os::{descriptor, settings};

/// A session that waits for its connection. Dropping it is the lifeline's end: it exits, unless it has its connection.
#[derive(Debug)]
pub struct Warm {
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
    /// Starts a session on a copy of `listener`.
    pub fn start(listener: &TcpListener, with: &Settings) -> io::Result<Self> {
        let (ours, theirs) = descriptor::pair()?;
        Command::role("session")
            .descriptor(0, settings::hand_over(with)?)
            .descriptor(descriptor::FIRST, OwnedFd::from(listener.try_clone()?))
            .descriptor(descriptor::FIRST + 1, theirs)
            .spawn()?;
        descriptor::set_nonblocking(&ours)?;
        Ok(Self {
            line: UnixStream::from(ours),
            heard: Vec::new(),
        })
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
