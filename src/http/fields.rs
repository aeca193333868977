//! The headers: lines -> the few facts that matter. The others are checked and forgotten.

use super::request_line::RequestLine;
use super::{Expectation, Framing, Head, HttpError, Method, Version};
use crate::limits::{MAX_BODY, MAX_HEADERS};

/// The facts of the headers seen so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
    count: usize,
    host: bool,
    length: Option<usize>,
    chunked: bool,
    expects_continue: bool,
    expects_more: bool,
    authorization: Vec<String>,
}

impl Fields {
    /// Takes a line without its CR and LF.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), HttpError> {
        self.count += 1;
        if self.count > MAX_HEADERS {
            return Err(HttpError::HeadTooLarge);
        }
        let (name, value) = split_field(line)?;
        match name.as_str() {
            "host" if self.host || !value.iter().all(is_host_byte) => return Err(HttpError::Host),
            "host" => self.host = true,
            "content-length" if self.length.is_some() => return Err(HttpError::Length),
            "content-length" => self.length = Some(length_of(value)?),
            "transfer-encoding" if self.chunked || !value.eq_ignore_ascii_case(b"chunked") => {
                return Err(HttpError::Coding);
            }
            "transfer-encoding" => self.chunked = true,
            "expect" => {
                self.expects_continue = true;
                self.expects_more |= !value.eq_ignore_ascii_case(b"100-continue");
            }
            // Bytes that are no UTF-8 become a character that no token has: the gate's refusal, not ours.
            "authorization" => self
                .authorization
                .push(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
        Ok(())
    }

    /// What all of them mean together.
    pub(super) fn finish(self, request_line: RequestLine) -> Result<Head, HttpError> {
        let RequestLine {
            method,
            path,
            query,
            version,
        } = request_line;
        if version == Version::Http11 && !self.host {
            return Err(HttpError::Host);
        }
        let framing = self.framing(method, version)?;
        let expectation = match version {
            // RFC 9110, 10.1.1: an expectation in HTTP/1.0 is ignored.
            Version::Http11 if self.expects_more => return Err(HttpError::Expectation),
            Version::Http11 if self.expects_continue => Expectation::Continue,
            _ => Expectation::Nothing,
        };
        Ok(Head {
            method,
            path,
            query,
            version,
            framing,
            expectation,
            authorization: self.authorization,
        })
    }

    fn framing(&self, method: Method, version: Version) -> Result<Framing, HttpError> {
        let framing = match (self.length, self.chunked) {
            (Some(_), true) => return Err(HttpError::Length),
            (None, true) if version == Version::Http10 => return Err(HttpError::Coding),
            (None, true) => Framing::Chunked,
            (Some(length), false) if length > MAX_BODY => return Err(HttpError::BodyTooLarge),
            (Some(1..), false) => Framing::Length(self.length.unwrap_or_default()),
            (None, false) if method == Method::Post => return Err(HttpError::LengthRequired),
            (Some(0) | None, false) => Framing::Empty,
        };
        match method {
            Method::Get | Method::Head if framing != Framing::Empty => Err(HttpError::BodyNotAllowed),
            _ => Ok(framing),
        }
    }
}

fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte)
}

/// Digits alone; a number that is too large for us stays too large.
fn length_of(value: &[u8]) -> Result<usize, HttpError> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HttpError::Length);
    }
    let add = |n: usize, digit: &u8| n.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    Ok(value.iter().fold(0, add))
}

/// A header line's name, in lower case, and its value, without the white space around it.
fn split_field(line: &[u8]) -> Result<(String, &[u8]), HttpError> {
    let colon = line.iter().position(|b| *b == b':').ok_or(HttpError::Header)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // A blank in front of the name would be a folded line, one behind it a header that another reader does not see.
    if !is_token(name) || value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(HttpError::Header);
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

/// `tchar` of RFC 9110, 5.6.2.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}
