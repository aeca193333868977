//! The request line: a line -> method, path, version.

use super::fields::is_token;
use super::{Framing, Head, HttpError, Result, Version};
use crate::limits::MAX_TARGET;

/// The head that the line, without its CR and LF, begins.
pub(super) fn parse_request_line(line: &[u8]) -> Result<Head> {
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
