//! The front's end of the link: frames in, frames out, and the one descriptor.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use crate::front::OpenPaths;
use crate::limits::MAX_FRONT_LOG_LINES;
use crate::link::{BadFrame, Decoder, FromFront, Settings, ToFront, encode};
use crate::os::descriptor;

/// A connection and what the session says about it.
pub struct Arrival {
    /// The socket.
    pub connection: OwnedFd,
    /// For the `Request-Id` header.
    pub request_id: String,
    /// Whether this source may GET the open paths.
    pub open_paths: OpenPaths,
}

/// Why nothing more comes over the link.
#[derive(Debug)]
pub enum LinkEnded {
    /// The session closed it, which is how it tells a front to go.
    Closed,
    /// What came makes no sense, or nothing could be sent: a fault of ours.
    Broken(String),
}

impl fmt::Display for LinkEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkEnded::Closed => write!(f, "the session closed the link"),
            LinkEnded::Broken(why) => write!(f, "the link to the session broke: {why}"),
        }
    }
}

impl From<io::Error> for LinkEnded {
    fn from(error: io::Error) -> LinkEnded {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => LinkEnded::Closed,
            _ => LinkEnded::Broken(error.to_string()),
        }
    }
}

impl From<BadFrame> for LinkEnded {
    fn from(bad: BadFrame) -> LinkEnded {
        LinkEnded::Broken(bad.to_string())
    }
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
    pub fn new(socket: OwnedFd) -> Link {
        Link {
            socket: UnixStream::from(socket),
            decoder: Decoder::default(),
            passed: None,
            logged: 0,
        }
    }

    /// The first frame.
    pub fn settings(&mut self) -> Result<Settings, LinkEnded> {
        match self.next()? {
            ToFront::Settings(settings) => Ok(settings),
            _ => Err(LinkEnded::Broken("the first frame is not the settings".into())),
        }
    }

    /// Waits for the connection, however long that takes.
    pub fn connection(&mut self) -> Result<Arrival, LinkEnded> {
        let ToFront::Connection {
            request_id,
            open_paths,
        } = self.next()?
        else {
            return Err(LinkEnded::Broken(
                "the frame after the settings is not the connection".into(),
            ));
        };
        let connection = self.passed.take();
        let connection = connection
            .ok_or_else(|| LinkEnded::Broken("a connection was announced and not passed".into()))?;
        let open_paths = if open_paths {
            OpenPaths::Allowed
        } else {
            OpenPaths::Denied
        };
        Ok(Arrival {
            connection,
            request_id,
            open_paths,
        })
    }

    /// The next frame; waits for it.
    pub fn next(&mut self) -> Result<ToFront, LinkEnded> {
        loop {
            if let Some(frame) = self.decoded()? {
                return Ok(frame);
            }
            self.receive()?;
        }
    }

    /// A frame that is here already.
    pub fn decoded(&mut self) -> Result<Option<ToFront>, LinkEnded> {
        Ok(self.decoder.frame()?)
    }

    /// Takes what has come, waiting when nothing has.
    pub fn receive(&mut self) -> Result<(), LinkEnded> {
        let mut buffer = [0; 16 * 1024];
        let (length, passed) = loop {
            match descriptor::receive(&self.socket, &mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => break other?,
            }
        };
        if length == 0 {
            return Err(LinkEnded::Closed);
        }
        if let Some(passed) = passed
            && self.passed.replace(passed).is_some()
        {
            return Err(LinkEnded::Broken("a second descriptor came".into()));
        }
        self.decoder.push(&buffer[..length]);
        Ok(())
    }

    /// Sends a frame.
    pub fn say(&mut self, frame: &FromFront) -> Result<(), LinkEnded> {
        Ok(self.socket.write_all(&encode(frame)?)?)
    }

    /// Sends a line for the log; past the bound the session would take it for an attack, so it is dropped here.
    pub fn log(&mut self, message: &str) -> Result<(), LinkEnded> {
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
