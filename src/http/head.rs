//! The request line and the headers: bytes -> [`Head`].
//!
//! Reads byte by byte, so that a head cut anywhere means the same, and so that a fault is refused as soon as it is seen. It
//! keeps one line and the few facts that matter; every other header is checked and forgotten. Trusts nothing.

use std::mem::take;

use super::fields::{Fields, is_token};
use super::{HttpError, Result};
use crate::limits::{MAX_HEAD, MAX_TARGET};

/// Bytes of a request line besides its target: the longest registered method, two spaces, the version, CR.
const REQUEST_LINE_FRAME: usize = 32;

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
    /// Exactly this many bytes; at most [`MAX_BODY`](crate::limits::MAX_BODY).
    Length(usize),
    /// Chunks, the last of them empty.
    Chunked,
}

/// A head that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub method: String,
    /// Begins with a slash; no query, no percent sign, no dot segment.
    pub path: String,
    /// What came behind the first `?`, in visible ASCII, not decoded; empty when there was none.
    pub query: String,
    pub version: Version,
    pub framing: Framing,
    /// Whether the client waits for leave to send its body: `Expect: 100-continue` (RFC 9110, 10.1.1).
    pub expects_continue: bool,
    /// The values of all Authorization headers, in order. That there is one is for the gate to demand.
    pub authorization: Vec<String>,
}

/// Takes bytes until a head is complete.
#[derive(Debug, Default)]
pub struct HeadReader {
    line: Vec<u8>,
    used: usize,
    /// What the request line said.
    head: Option<Head>,
    fields: Fields,
}

impl HeadReader {
    /// Takes what it needs of `input`.
    ///
    /// # Errors
    /// The first fault seen; after it, and after the head, the reader is of no more use.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Head>)> {
        for (at, &byte) in input.iter().enumerate() {
            if let Some(head) = self.take(byte)? {
                return Ok((at + 1, Some(head)));
            }
        }
        Ok((input.len(), None))
    }

    /// Whether not a single byte has come yet.
    pub fn is_untouched(&self) -> bool {
        self.used == 0
    }

    fn take(&mut self, byte: u8) -> Result<Option<Head>> {
        self.used += 1;
        if self.used > MAX_HEAD {
            return Err(HttpError::HEAD_TOO_LARGE);
        }
        let line_is_complete = push_line(&mut self.line, byte)?;
        if self.head.is_none() && self.line.len() > MAX_TARGET + REQUEST_LINE_FRAME {
            return Err(overlong_request_line(&self.line));
        }
        if !line_is_complete {
            return Ok(None);
        }
        let line = take(&mut self.line);
        match self.head.take() {
            None => self.head = Some(parse_request_line(&line)?),
            Some(head) if line.is_empty() => return take(&mut self.fields).finish(head).map(Some),
            head => {
                self.fields.add(&line)?;
                self.head = head;
            }
        }
        Ok(None)
    }
}

/// Appends `byte` to `line`; `true` when that completed it, CR and LF removed.
pub fn push_line(line: &mut Vec<u8>, byte: u8) -> Result<bool> {
    match (line.last() == Some(&b'\r'), byte) {
        (true, b'\n') => {
            line.pop();
            Ok(true)
        }
        (true, _) | (_, 0 | b'\n') => Err(HttpError::LINE_END),
        _ => {
            line.push(byte);
            Ok(false)
        }
    }
}

fn overlong_request_line(line: &[u8]) -> HttpError {
    match line.iter().position(|b| *b == b' ') {
        Some(at) if at <= REQUEST_LINE_FRAME => HttpError::TARGET_TOO_LONG,
        _ => HttpError::REQUEST_LINE,
    }
}

/// The head that the line, without its CR and LF, begins.
fn parse_request_line(line: &[u8]) -> Result<Head> {
    let parts: Vec<&[u8]> = line.split(|b| *b == b' ').collect();
    let [method, target, version] = parts[..] else {
        return Err(HttpError::REQUEST_LINE);
    };
    if !is_token(method) {
        return Err(HttpError::REQUEST_LINE);
    }
    // Before the target: the preface of HTTP/2 is `PRI * HTTP/2.0`, and its version is what is wrong with it.
    let version = parse_version(version)?;
    let (path, query) = parse_target(target)?;
    Ok(Head {
        method: text(method),
        path: text(path),
        query: text(query),
        version,
        framing: Framing::Length(0),
        expects_continue: false,
        authorization: Vec::new(),
    })
}

fn parse_version(version: &[u8]) -> Result<Version> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(HttpError::VERSION),
        _ => Err(HttpError::REQUEST_LINE),
    }
}

/// The path of an origin-form target (RFC 9112, 3.2.1) and its query, without the `?`. No path of ours needs an escape,
/// so none is decoded; nor is one in the query, whose only readers compare it with names that have none.
fn parse_target(target: &[u8]) -> Result<(&[u8], &[u8])> {
    if target.len() > MAX_TARGET {
        return Err(HttpError::TARGET_TOO_LONG);
    }
    let query_at = target.iter().position(|b| *b == b'?');
    let (path, query) = target.split_at(query_at.unwrap_or(target.len()));
    let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
    if path.first() != Some(&b'/')
        || !path.iter().all(is_path_byte)
        || !query.iter().all(|b| b.is_ascii_graphic() && *b != b'#')
        || path.split(|b| *b == b'/').any(is_dots)
    {
        return Err(HttpError::TARGET);
    }
    Ok((path, query.strip_prefix(b"?").unwrap_or_default()))
}

/// `pchar` of RFC 3986 without the escape, and the slash.
fn is_path_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(byte)
}

/// Of bytes that are known to be ASCII.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into()
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
