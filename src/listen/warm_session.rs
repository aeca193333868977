//! One warm session as `serve` sees it: a child, and a socket on which it writes `ready` and `accepted ADDRESS`.

use std::io::{self, BufRead, BufReader};
use std::mem;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::config::Settings;
use crate::os::child::{Child, Command};
use crate::os::{descriptor, settings};

/// A session that waits for its connection. Dropping this closes its lifeline: it exits, unless it has its connection.
pub struct WarmSession {
    pub child: Child,
    /// Whether it was told to end.
    pub is_dismissed: bool,
    socket: BufReader<UnixStream>,
    /// The beginning of a line.
    line: Vec<u8>,
}

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
            socket: BufReader::new(socket),
            line: Vec::new(),
            is_dismissed: false,
        })
    }

    /// Tells it to end. It writes `accepted` all the same when a connection came first.
    pub fn dismiss(&mut self) {
        self.is_dismissed = true;
        // An error is a session that has ended, which reading shows as well.
        let _ = self.socket.get_ref().shutdown(Shutdown::Write);
    }

    /// What to poll for reading.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.get_ref().as_fd()
    }

    /// The next line that it writes, `ready` or `accepted ADDRESS`; any other is its end. `None` when there is nothing new.
    pub fn next_line(&mut self) -> Option<String> {
        let read = self.socket.read_until(b'\n', &mut self.line);
        if read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return None;
        }
        let line = String::from_utf8(mem::take(&mut self.line)).unwrap_or_default();
        Some(line.trim_end().to_owned())
    }
}
