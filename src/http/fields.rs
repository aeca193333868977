//! The headers: lines -> the few facts that matter. The others are checked and forgotten.

use super::request_line::RequestLine;
use super::{Expectation, Framing, Head, HttpError, Method, Version};
use crate::limits::{MAX_BODY, MAX_HEADERS};

/// The facts of the headers seen so far.
#[derive(Debug, Default)]
pub(super) struct Fields {
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
    /// Takes a line without its CR and LF.
    pub(super) fn add(&mut self, line: &[u8]) -> Result<(), HttpError> {
        self.count += 1;
        if self.count > MAX_HEADERS {
            return Err(HttpError::TooManyHeaders);
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

    fn add_host(&mut self, value: &[u8]) -> Result<(), HttpError> {
        self.hosts += 1;
        if self.hosts > 1 {
            return Err(HttpError::HostTwice);
        }
        let is_host_byte = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(b);
        if value.iter().all(is_host_byte) {
            Ok(())
        } else {
            Err(HttpError::HostMalformed)
        }
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), HttpError> {
        if self.length.is_some() {
            return Err(HttpError::LengthTwice);
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(HttpError::LengthMalformed);
        }
        let length = value.iter().fold(0_usize, |n, d| {
            n.saturating_mul(10).saturating_add(usize::from(d - b'0'))
        });
        self.length = Some(length);
        Ok(())
    }

    fn add_coding(&mut self, value: &[u8]) -> Result<(), HttpError> {
        if self.coding.is_some() || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(HttpError::Coding);
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

    /// What all of them mean together.
    pub(super) fn finish(self, request_line: RequestLine) -> Result<Head, HttpError> {
        let RequestLine {
            method,
            path,
            query,
            version,
        } = request_line;
        if version == Version::Http11 && self.hosts == 0 {
            return Err(HttpError::HostMissing);
        }
        let framing = self.framing(method, version)?;
        let expectation = match (version, self.expectation) {
            // RFC 9110, 10.1.1: an expectation in HTTP/1.0 is ignored.
            (Version::Http10, _) | (_, Expected::Nothing) => Expectation::Nothing,
            (_, Expected::Continue) => Expectation::Continue,
            (_, Expected::Else) => return Err(HttpError::Expectation),
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
        let framing = match (self.length, self.coding) {
            (Some(_), Some(())) => return Err(HttpError::LengthWithCoding),
            (None, Some(())) if version == Version::Http10 => return Err(HttpError::CodingInHttp10),
            (None, Some(())) => Framing::Chunked,
            (Some(0), None) => Framing::Empty,
            (Some(length), None) if length > MAX_BODY => return Err(HttpError::BodyTooLarge),
            (Some(length), None) => Framing::Length(length),
            (None, None) if method == Method::Post => return Err(HttpError::LengthRequired),
            (None, None) => Framing::Empty,
        };
        match method {
            Method::Get | Method::Head if framing != Framing::Empty => Err(HttpError::BodyNotAllowed),
            _ => Ok(framing),
        }
    }
}

/// A header line's name, in lower case, and its value, without the white space around it.
fn split_field(line: &[u8]) -> Result<(String, &[u8]), HttpError> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(HttpError::Folded);
    }
    let colon = line
        .iter()
        .position(|b| *b == b':')
        .ok_or(HttpError::HeaderName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if matches!(name.last(), Some(b' ' | b'\t')) {
        return Err(HttpError::SpaceBeforeColon);
    }
    if !is_token(name) {
        return Err(HttpError::HeaderName);
    }
    if value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(HttpError::HeaderValue);
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
