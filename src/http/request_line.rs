//! The request line: a line -> method, path, version.

use super::fields::is_token;
use super::{HttpError, Method, Version};
use crate::limits::MAX_TARGET;

/// A request line that has been checked.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) version: Version,
}

impl RequestLine {
    /// Takes the line without its CR and LF.
    pub(super) fn parse(line: &[u8]) -> Result<RequestLine, HttpError> {
        let mut parts = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HttpError::RequestLine);
        };
        let method = parse_method(method)?;
        // Before the target: the preface of HTTP/2 is `PRI * HTTP/2.0`, and its version is what is wrong with it.
        let version = parse_version(version)?;
        let (path, query) = parse_target(target)?;
        Ok(RequestLine {
            method,
            path,
            query,
            version,
        })
    }
}

fn parse_method(method: &[u8]) -> Result<Method, HttpError> {
    match method {
        b"GET" => Ok(Method::Get),
        b"HEAD" => Ok(Method::Head),
        b"POST" => Ok(Method::Post),
        other if is_token(other) => Ok(Method::Other),
        _ => Err(HttpError::RequestLine),
    }
}

fn parse_version(version: &[u8]) -> Result<Version, HttpError> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(HttpError::Version)
        }
        _ => Err(HttpError::RequestLine),
    }
}

/// The path of an origin-form target (RFC 9112, 3.2.1) and its query, without the `?`. No path of ours needs an escape,
/// so none is decoded; nor is one in the query, whose only readers compare it with names that have none.
fn parse_target(target: &[u8]) -> Result<(String, String), HttpError> {
    if target.len() > MAX_TARGET {
        return Err(HttpError::TargetTooLong);
    }
    let query_at = target.iter().position(|b| *b == b'?');
    let (path, query) = target.split_at(query_at.unwrap_or(target.len()));
    let query = query.strip_prefix(b"?").unwrap_or_default();
    let is_dots = |segment: &[u8]| segment == b"." || segment == b"..";
    if path.first() != Some(&b'/')
        || !path.iter().all(|b| is_path_byte(*b))
        || !query.iter().all(|b| b.is_ascii_graphic() && *b != b'#')
        || path.split(|b| *b == b'/').any(is_dots)
    {
        return Err(HttpError::Target);
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| HttpError::Target);
    Ok((text(path)?, text(query)?))
}

/// `pchar` of RFC 3986 without the escape, and the slash.
fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte)
}
