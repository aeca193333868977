//! The front's end of the link: frames in, frames out, and the one descriptor.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::front::error::FrontError;
use crate::limits::MAX_FRONT_LOG_LINES;
use crate::link::{Decoder, FromFront, ToFront, encode};
use crate::os::descriptor;

/// A connection and what the session says about it.
pub struct Arrival {
    /// The socket.
    pub connection: OwnedFd,
    /// For the `Request-Id` header.
    pub request_id: String,
    /// Whether this source may GET the open paths.
    pub open_paths: bool,
}

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
    pub fn connection(&mut self) -> Result<Arrival, FrontError> {
        let ToFront::Connection {
            request_id,
            open_paths,
        } = self.next()?
        else {
            return Err(FrontError::Link(
                "the frame after the settings is not the connection".into(),
            ));
        };
        let connection = self.passed.take();
        let connection =
            connection.ok_or_else(|| FrontError::Link("a connection was announced and not passed".into()))?;
        Ok(Arrival {
            connection,
            request_id,
            open_paths,
        })
    }

    /// The next frame; waits for it.
    pub fn next(&mut self) -> Result<ToFront, FrontError> {
        loop {
            if let Some(frame) = self.decoded()? {
                return Ok(frame);
            }
            self.receive()?;
        }
    }

    /// A frame that is here already.
    pub fn decoded(&mut self) -> Result<Option<ToFront>, FrontError> {
        Ok(self.decoder.frame()?)
    }

    /// Takes what has come, waiting when nothing has.
    pub fn receive(&mut self) -> Result<(), FrontError> {
        let mut buffer = [0; 16 * 1024];
        let (length, passed) = loop {
            match descriptor::receive(&self.socket, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => break other.map_err(FrontError::of_link)?,
            }
        };
        if length == 0 {
            return Err(FrontError::SessionEnded);
        }
        if let Some(passed) = passed
            && self.passed.replace(passed).is_some()
        {
            return Err(FrontError::Link("a second descriptor came".into()));
        }
        self.decoder.push(&buffer[..length]);
        Ok(())
    }

    /// Sends a frame.
    pub fn say(&mut self, frame: &FromFront) -> Result<(), FrontError> {
        self.socket
            .write_all(&encode(frame)?)
            .map_err(FrontError::of_link)
    }

    /// Sends a line for the log; past the bound the session would take it for an attack, so it is dropped here.
    pub fn log(&mut self, message: &str) -> Result<(), FrontError> {
        if self.logged == MAX_FRONT_LOG_LINES {
            return Ok(());
        }
        self.logged += 1;
        self.say(&FromFront::Log {
            message: message.to_string(),
        })
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
