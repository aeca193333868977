//! The front's end of the link: frames in, frames out, and the one descriptor.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::front::error::FrontError::Link as Broken;
use crate::front::error::Result;
use crate::limits::MAX_FRONT_LOG_LINES;
use crate::link::{Caller, Decoder, FromFront, ToFront, encode};
use crate::os::descriptor;

/// The link. Reads wait; the session never leaves a frame half sent.
pub struct Link {
    socket: UnixStream,
    decoder: Decoder,
    passed: Option<OwnedFd>,
    logged: usize,
}

impl Link {
    /// The link on `socket`.
    pub fn new(socket: UnixStream) -> Link {
        Link {
            socket,
            decoder: Decoder::default(),
            passed: None,
            logged: 0,
        }
    }

    /// Waits for the connection, however long that takes.
    pub fn connection(&mut self) -> Result<(OwnedFd, Caller)> {
        let frame = loop {
            match self.decoded()? {
                Some(frame) => break frame,
                None => self.receive()?,
            }
        };
        match (self.passed.take(), frame) {
            (Some(connection), ToFront::Connection(caller)) => Ok((connection, caller)),
            _ => Err(Broken(io::Error::other("the first frame brings no connection"))),
        }
    }

    /// A frame that is here already.
    pub fn decoded(&mut self) -> Result<Option<ToFront>> {
        self.decoder.frame().map_err(Broken)
    }

    /// Takes what has come, waiting when nothing has.
    pub fn receive(&mut self) -> Result {
        let mut buffer = [0; 16 * 1024];
        let (length, passed) = loop {
            match descriptor::receive(&self.socket, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(Broken)?,
            }
        };
        if length == 0 {
            return Err(Broken(io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some(passed) = passed
            && self.passed.replace(passed).is_some()
        {
            return Err(Broken(io::Error::other("a second descriptor came")));
        }
        self.decoder.push(&buffer[..length]);
        Ok(())
    }

    /// Sends a frame.
    pub fn say(&mut self, frame: &FromFront) -> Result {
        let sent = encode(frame).and_then(|bytes| self.socket.write_all(&bytes));
        sent.map_err(Broken)
    }

    /// Sends a line for the log; past the bound the session would take it for an attack, so it is dropped here.
    pub fn log(&mut self, message: String) -> Result {
        if self.logged == MAX_FRONT_LOG_LINES {
            return Ok(());
        }
        self.logged += 1;
        self.say(&FromFront::Log(message))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
