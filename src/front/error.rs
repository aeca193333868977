//! Why a connection has no answer, or is over before its answer was.

use std::fmt;
use std::io;

use crate::http::HttpError;

pub type Result<T = (), E = FrontError> = std::result::Result<T, E>;

#[derive(Debug)]
pub enum FrontError {
    /// The caller is told.
    Refused(HttpError),
    /// The deadline came during the handshake or the request.
    TooSlow,
    /// Not a byte came: somebody looked whether the port is open.
    Silent,
    /// The caller hung up or takes nothing, or the socket failed.
    Gone(io::Error),
    /// TLS could not be agreed on, or a record was bad.
    Tls(rustls::Error),
    /// The session closed the link, which is how it tells a front to go, or says what makes no sense.
    Link(io::Error),
}

impl fmt::Display for FrontError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontError::Refused(HttpError { status, sentence, .. }) => {
                write!(f, "refused with {status}: {sentence}")
            }
            FrontError::TooSlow => f.write_str("the caller was too slow with its handshake or request"),
            FrontError::Silent => f.write_str("the caller said nothing"),
            FrontError::Gone(error) => write!(f, "the caller has gone: {error}"),
            FrontError::Tls(error) => write!(f, "TLS failed: {error}"),
            FrontError::Link(error) => write!(f, "the link to the session broke: {error}"),
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

impl From<rustls::Error> for FrontError {
    fn from(error: rustls::Error) -> Self {
        FrontError::Tls(error)
    }
}
