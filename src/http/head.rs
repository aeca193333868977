//! The request line and the headers: bytes -> [`Head`].
//!
//! Reads byte by byte, so that a head cut anywhere means the same, and so that a fault is refused as soon as it is seen. It
//! keeps one line and the few facts that matter; every other header is checked and forgotten. Trusts nothing.

use super::{Progress, Refusal};
use crate::limits::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_TARGET};

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
    /// Exactly this many bytes; at most [`MAX_BODY`].
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

#[derive(Debug)]
struct RequestLine {
    method: Method,
    path: String,
    version: Version,
}

impl HeadReader {
    /// Takes what it needs of `input` and says how much that was.
    ///
    /// # Errors
    /// The first fault seen; after it, and after `Done`, the reader is of no more use.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Progress<Head>), Refusal> {
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

    fn take(&mut self, byte: u8) -> Result<Option<Head>, Refusal> {
        self.used += 1;
        if self.used > MAX_HEAD {
            return Err(Refusal::HeadTooLarge);
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
pub(super) fn push_line(line: &mut Vec<u8>, byte: u8) -> Result<bool, Refusal> {
    match (byte, line.last()) {
        (0, _) => return Err(Refusal::Nul),
        (b'\n', Some(b'\r')) => {
            line.pop();
            return Ok(true);
        }
        (b'\n', _) => return Err(Refusal::BareLf),
        (_, Some(b'\r')) => return Err(Refusal::BareCr),
        _ => line.push(byte),
    }
    Ok(false)
}

fn overlong_request_line(line: &[u8]) -> Refusal {
    match line.iter().position(|b| *b == b' ') {
        Some(at) if at <= REQUEST_LINE_FRAME => Refusal::TargetTooLong,
        _ => Refusal::RequestLine,
    }
}

impl RequestLine {
    fn parse(line: &[u8]) -> Result<RequestLine, Refusal> {
        let mut parts = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Refusal::RequestLine);
        };
        let method = parse_method(method)?;
        // Before the target: the preface of HTTP/2 is `PRI * HTTP/2.0`, and its version is what is wrong with it.
        let version = parse_version(version)?;
        Ok(RequestLine {
            method,
            path: parse_target(target)?,
            version,
        })
    }
}

fn parse_method(method: &[u8]) -> Result<Method, Refusal> {
    match method {
        b"GET" => Ok(Method::Get),
        b"HEAD" => Ok(Method::Head),
        b"POST" => Ok(Method::Post),
        other if is_token(other) => Ok(Method::Other),
        _ => Err(Refusal::RequestLine),
    }
}

fn parse_version(version: &[u8]) -> Result<Version, Refusal> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::RequestLine),
    }
}

/// The path of an origin-form target (RFC 9112, 3.2.1). No path of ours needs an escape, so none is decoded, and no
/// endpoint reads a query, so it ends here.
fn parse_target(target: &[u8]) -> Result<String, Refusal> {
    if target.len() > MAX_TARGET {
        return Err(Refusal::TargetTooLong);
    }
    if target.first() != Some(&b'/') {
        return Err(Refusal::TargetForm);
    }
    let (path, query) = match target.iter().position(|b| *b == b'?') {
        Some(at) => (&target[..at], &target[at..]),
        None => (target, &target[..0]),
    };
    if path.contains(&b'%') {
        return Err(Refusal::TargetEncoded);
    }
    if !path.iter().all(|b| is_path_byte(*b)) || !query.iter().all(|b| b.is_ascii_graphic() && *b != b'#') {
        return Err(Refusal::TargetBytes);
    }
    if path
        .split(|b| *b == b'/')
        .any(|segment| segment == b"." || segment == b"..")
    {
        return Err(Refusal::TargetDots);
    }
    String::from_utf8(path.to_vec()).map_err(|_| Refusal::TargetBytes)
}

/// `pchar` of RFC 3986 without the escape, and the slash.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}

/// `tchar` of RFC 9110, 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// The facts of the headers seen so far.
#[derive(Debug, Default)]
struct Fields {
    count: usize,
    hosts: usize,
    length: Option<usize>,
    coding: Option<()>,
    expectation: Expected,
    authorization: Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Nothing,
    Continue,
    Else,
}

impl Fields {
    fn add(&mut self, line: &[u8]) -> Result<(), Refusal> {
        self.count += 1;
        if self.count > MAX_HEADERS {
            return Err(Refusal::TooManyHeaders);
        }
        let (name, value) = split_field(line)?;
        match name.as_str() {
            "host" => self.add_host(value),
            "content-length" => self.add_length(value),
            "transfer-encoding" => self.add_coding(value),
            "expect" => {
                self.add_expectation(value);
                Ok(())
            }
            "authorization" => {
                // Bytes that are no UTF-8 become a character that no token has: the gate's refusal, not ours.
                self.authorization
                    .push(String::from_utf8_lossy(value).into_owned());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(Refusal::HostTwice);
        }
        let is_host_byte = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(b);
        if value.iter().all(is_host_byte) {
            Ok(())
        } else {
            Err(Refusal::HostMalformed)
        }
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::LengthTwice);
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::LengthMalformed);
        }
        let length = value.iter().fold(0_usize, |n, d| {
            n.saturating_mul(10).saturating_add(usize::from(d - b'0'))
        });
        self.length = Some(length);
        Ok(())
    }

    fn add_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.coding.is_some() || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::Coding);
        }
        self.coding = Some(());
        Ok(())
    }

    fn add_expectation(&mut self, value: &[u8]) {
        let is_continue = value.eq_ignore_ascii_case(b"100-continue") && self.expectation != Expected::Else;
        self.expectation = if is_continue {
            Expected::Continue
        } else {
            Expected::Else
        };
    }

    fn finish(self, request_line: RequestLine) -> Result<Head, Refusal> {
        let RequestLine {
            method,
            path,
            version,
        } = request_line;
        if version == Version::Http11 && self.hosts == 0 {
            return Err(Refusal::HostMissing);
        }
        let framing = self.framing(method, version)?;
        let expectation = match (version, self.expectation) {
            // RFC 9110, 10.1.1: an expectation in HTTP/1.0 is ignored.
            (Version::Http10, _) | (_, Expected::Nothing) => Expectation::Nothing,
            (_, Expected::Continue) => Expectation::Continue,
            (_, Expected::Else) => return Err(Refusal::Expectation),
        };
        Ok(Head {
            method,
            path,
            version,
            framing,
            expectation,
            authorization: self.authorization,
        })
    }

    fn framing(&self, method: Method, version: Version) -> Result<Framing, Refusal> {
        let framing = match (self.length, self.coding) {
            (Some(_), Some(())) => return Err(Refusal::LengthWithCoding),
            (None, Some(())) if version == Version::Http10 => return Err(Refusal::CodingInHttp10),
            (None, Some(())) => Framing::Chunked,
            (Some(0), None) => Framing::Empty,
            (Some(length), None) if length > MAX_BODY => return Err(Refusal::BodyTooLarge),
            (Some(length), None) => Framing::Length(length),
            (None, None) if method == Method::Post => return Err(Refusal::LengthRequired),
            (None, None) => Framing::Empty,
        };
        match method {
            Method::Get | Method::Head if framing != Framing::Empty => Err(Refusal::BodyNotAllowed),
            _ => Ok(framing),
        }
    }
}

/// A header line's name, in lower case, and its value, without the white space around it.
fn split_field(line: &[u8]) -> Result<(String, &[u8]), Refusal> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Refusal::Folded);
    }
    let colon = line.iter().position(|b| *b == b':').ok_or(Refusal::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(Refusal::SpaceBeforeColon);
    }
    if !is_token(name) {
        return Err(Refusal::HeaderName);
    }
    if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(Refusal::HeaderValue);
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Ok((name, trim(value)))
}

/// Without spaces and tabs around it; `trim_ascii` would take other bytes too.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
