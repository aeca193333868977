//! The request line and the headers: bytes -> [`Head`].
//!
//! Reads byte by byte, so that a head cut anywhere means the same, and so that a fault is refused as soon as it is seen. It
//! keeps one line and the few facts that matter; every other header is checked and forgotten. Trusts nothing.

use super::fields::Fields;
use super::request_line::RequestLine;
use super::{HttpError, Progress};
use crate::limits::{MAX_HEAD, MAX_TARGET};

/// Bytes of a request line besides its target: the longest registered method, two spaces, the version, CR.
const REQUEST_LINE_FRAME: usize = 32;

/// The methods that some path of ours has, and all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD: a GET whose answer has no body.
    Head,
    /// POST
    Post,
    /// A well-formed method that no path has.
    Other,
}

impl Method {
    /// As it stands in a request line; `OTHER` for the ones we do not tell apart.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Other => "OTHER",
        }
    }
}

/// The two versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// No Host needed, no chunks in either direction.
    Http10,
    /// Everything.
    Http11,
}

/// How the end of the body is known (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// Exactly this many bytes; at most [`MAX_BODY`](crate::limits::MAX_BODY).
    Length(usize),
    /// Chunks, the last of them empty.
    Chunked,
}

/// Whether the client waits for leave to send its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// It sends the body unasked.
    Nothing,
    /// `Expect: 100-continue` (RFC 9110, 10.1.1).
    Continue,
}

/// A head that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// Begins with a slash; no query, no percent sign, no dot segment.
    pub path: String,
    /// What came behind the first `?`, in visible ASCII, not decoded; empty when there was none.
    pub query: String,
    /// The version.
    pub version: Version,
    /// The body's framing.
    pub framing: Framing,
    /// What the client waits for.
    pub expectation: Expectation,
    /// The values of all Authorization headers, in order. That there is one is for the gate to demand.
    pub authorization: Vec<String>,
}

/// Takes bytes until a head is complete.
#[derive(Debug, Default)]
pub struct HeadReader {
    line: Vec<u8>,
    used: usize,
    request_line: Option<RequestLine>,
    fields: Fields,
}

impl HeadReader {
    /// Takes what it needs of `input` and says how much that was.
    ///
    /// # Errors
    /// The first fault seen; after it, and after `Done`, the reader is of no more use.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Progress<Head>), HttpError> {
        for (at, &byte) in input.iter().enumerate() {
            if let Some(head) = self.take(byte)? {
                return Ok((at + 1, Progress::Done(head)));
            }
        }
        Ok((input.len(), Progress::More))
    }

    /// Whether not a single byte has come yet.
    pub fn is_untouched(&self) -> bool {
        self.used == 0
    }

    fn take(&mut self, byte: u8) -> Result<Option<Head>, HttpError> {
        self.used += 1;
        if self.used > MAX_HEAD {
            return Err(HttpError::HeadTooLarge);
        }
        let line_is_complete = push_line(&mut self.line, byte)?;
        if self.request_line.is_none() && self.line.len() > MAX_TARGET + REQUEST_LINE_FRAME {
            return Err(overlong_request_line(&self.line));
        }
        if !line_is_complete {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        match self.request_line.take() {
            None => self.request_line = Some(RequestLine::parse(&line)?),
            Some(request_line) if line.is_empty() => {
                return std::mem::take(&mut self.fields).finish(request_line).map(Some);
            }
            Some(request_line) => {
                self.fields.add(&line)?;
                self.request_line = Some(request_line);
            }
        }
        Ok(None)
    }
}

/// Appends `byte` to `line`; `true` when that completed it, CR and LF removed.
pub(super) fn push_line(line: &mut Vec<u8>, byte: u8) -> Result<bool, HttpError> {
    match (byte, line.last()) {
        (0, _) => return Err(HttpError::LineEnd),
        (b'\n', Some(b'\r')) => {
            line.pop();
            return Ok(true);
        }
        (b'\n', _) => return Err(HttpError::LineEnd),
        (_, Some(b'\r')) => return Err(HttpError::LineEnd),
        _ => line.push(byte),
    }
    Ok(false)
}

fn overlong_request_line(line: &[u8]) -> HttpError {
    match line.iter().position(|b| *b == b' ') {
        Some(at) if at <= REQUEST_LINE_FRAME => HttpError::TargetTooLong,
        _ => HttpError::RequestLine,
    }
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
