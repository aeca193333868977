//! The headers: lines -> the few facts that matter. The others are checked and forgotten.

use super::{Framing, Head, HttpError, Result, Version};
use crate::limits::{MAX_BODY, MAX_HEADERS};

/// The facts of the headers seen so far.
#[derive(Debug, Default)]
pub struct Fields {
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
    pub fn add(&mut self, line: &[u8]) -> Result {
        self.count += 1;
        if self.count > MAX_HEADERS {
            return Err(HttpError::HEAD_TOO_LARGE);
        }
        let (name, value) = split_field(line)?;
        match name.as_str() {
            "host" if self.host || !value.iter().all(is_host_byte) => return Err(HttpError::HOST),
            "host" => self.host = true,
            "content-length" if self.length.is_some() => return Err(HttpError::LENGTH),
            "content-length" => self.length = Some(length_of(value)?),
            "transfer-encoding" if self.chunked || !value.eq_ignore_ascii_case(b"chunked") => {
                return Err(HttpError::CODING);
            }
            "transfer-encoding" => self.chunked = true,
            "expect" if value.eq_ignore_ascii_case(b"100-continue") => self.expects_continue = true,
            "expect" => self.expects_more = true,
            // Bytes that are no UTF-8 become a character that no token has: the gate's refusal, not ours.
            "authorization" => self.authorization.push(String::from_utf8_lossy(value).into()),
            _ => {}
        }
        Ok(())
    }

    /// The head, with what all of them mean together.
    pub fn finish(self, head: Head) -> Result<Head> {
        let is_1_1 = head.version == Version::Http11;
        if is_1_1 && !self.host {
            return Err(HttpError::HOST);
        }
        let framing = self.framing(&head)?;
        // RFC 9110, 10.1.1: an expectation in HTTP/1.0 is ignored.
        if is_1_1 && self.expects_more {
            return Err(HttpError::EXPECTATION);
        }
        Ok(Head {
            framing,
            expects_continue: is_1_1 && self.expects_continue,
            authorization: self.authorization,
            ..head
        })
    }

    fn framing(&self, head: &Head) -> Result<Framing> {
        let framing = match (self.length, self.chunked) {
            (Some(_), true) => return Err(HttpError::LENGTH),
            (None, true) if head.version == Version::Http10 => return Err(HttpError::CODING),
            (None, true) => Framing::Chunked,
            (Some(length), false) if length > MAX_BODY => return Err(HttpError::BODY_TOO_LARGE),
            (None, false) if head.method == "POST" => return Err(HttpError::LENGTH_REQUIRED),
            (length, false) => Framing::Length(length.unwrap_or_default()),
        };
        match head.method.as_str() {
            "GET" | "HEAD" if framing != Framing::Length(0) => Err(HttpError::BODY_NOT_ALLOWED),
            _ => Ok(framing),
        }
    }
}

fn is_host_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte)
}

/// Digits alone; a number that is too large for us stays too large.
fn length_of(value: &[u8]) -> Result<usize> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(HttpError::LENGTH);
    }
    let add = |n: usize, digit: &u8| n.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    Ok(value.iter().fold(0, add))
}

/// A header line's name, in lower case, and its value, without the white space around it.
fn split_field(line: &[u8]) -> Result<(String, &[u8])> {
    let colon = line.iter().position(|b| *b == b':').ok_or(HttpError::HEADER)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // A blank in front of the name would be a folded line, one behind it a header that another reader does not see.
    if !is_token(name) || value.iter().any(|b| b.is_ascii_control() && *b != b'\t') {
        return Err(HttpError::HEADER);
    }
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    Ok((name, value.trim_ascii()))
}

/// `tchar` of RFC 9110, 5.6.2.
pub fn is_token(bytes: &[u8]) -> bool {
    let is_tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !bytes.is_empty() && bytes.iter().all(is_tchar)
}
