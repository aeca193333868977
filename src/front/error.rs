//! Why a connection has no answer, or is over before its answer was.

use std::fmt;
use std::io;

use crate::http::HttpError;
use crate::limits::STALLED_CALLER;
use crate::link::BadFrame;

#[derive(Debug)]
pub enum FrontError {
    /// The caller is told.
    Refused(HttpError),
    /// The deadline came during the handshake or the request.
    TooSlow,
    /// Not a byte came: somebody looked whether the port is open.
    Silent,
    /// The caller took no byte for [`STALLED_CALLER`].
    Stalled,
    /// The caller hung up, or the socket failed.
    Gone(io::Error),
    /// TLS could not be agreed on, or a record was bad.
    Tls(rustls::Error),
    /// The session closed the link, which is how it tells a front to go.
    SessionEnded,
    /// What came over the link makes no sense, or nothing could be sent: a fault of ours.
    Link(String),
}

impl FrontError {
    /// Of a read or write of the link.
    pub fn of_link(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => FrontError::SessionEnded,
            _ => FrontError::Link(error.to_string()),
        }
    }
}

impl fmt::Display for FrontError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontError::Refused(refusal) => {
                write!(f, "refused with {}: {}", refusal.status(), refusal.sentence())
            }
            FrontError::TooSlow => f.write_str("the caller was too slow with its handshake or request"),
            FrontError::Silent => f.write_str("the caller said nothing"),
            FrontError::Stalled => write!(f, "the caller took no byte for {} s", STALLED_CALLER.as_secs()),
            FrontError::Gone(error) => write!(f, "the caller has gone: {error}"),
            FrontError::Tls(error) => write!(f, "TLS failed: {error}"),
            FrontError::SessionEnded => f.write_str("the session closed the link"),
            FrontError::Link(why) => write!(f, "the link to the session broke: {why}"),
        }
    }
}

impl From<HttpError> for FrontError {
    fn from(refusal: HttpError) -> Self {
        FrontError::Refused(refusal)
    }
}

impl From<io::Error> for FrontError {
    fn from(error: io::Error) -> Self {
        FrontError::Gone(error)
    }
}

impl From<BadFrame> for FrontError {
    fn from(bad: BadFrame) -> Self {
        FrontError::Link(bad.to_string())
    }
}
