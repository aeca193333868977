//! Reading the request from the connection, with what stands in its way.

use crate::front::connection::Connection;
use crate::front::error::{FrontError, Result};
use crate::front::link::Link;
use crate::http::{BodyReader, CONTINUE, Framing, Head, HeadReader, HttpError};

/// Reads the head; and returns the bytes that came behind it.
pub fn head(connection: &mut Connection, link: &Link) -> Result<(Head, Vec<u8>)> {
    let mut reader = HeadReader::default();
    loop {
        let input = match read(connection, link) {
            Err(FrontError::Refused(HttpError::ENDS_EARLY)) if reader.is_untouched() => {
                return Err(FrontError::Silent);
            }
            input => input?,
        };
        if let (used, Some(head)) = reader.feed(&input)? {
            return Ok((head, input[used..].to_vec()));
        }
    }
}

/// Reads the body, of which `input` came with the head. Nothing may follow it.
pub fn body(connection: &mut Connection, link: &Link, head: &Head, mut input: Vec<u8>) -> Result<String> {
    if head.expects_continue && head.framing != Framing::Length(0) && input.is_empty() {
        connection.write(CONTINUE)?;
    }
    let mut reader = BodyReader::new(head.framing);
    let (used, body) = loop {
        match reader.feed(&input)? {
            (used, Some(body)) => break (used, body),
            _ => input = read(connection, link)?,
        }
    };
    if used < input.len() || connection.has_more() {
        return Err(HttpError::BYTES_BEYOND.into());
    }
    String::from_utf8(body).map_err(|_| HttpError::BODY_NOT_TEXT.into())
}

/// Some bytes of the request. A deadline that passes after the handshake can be said.
fn read(connection: &mut Connection, link: &Link) -> Result<Vec<u8>> {
    let mut buffer = [0; 4096];
    match connection.read(link, &mut buffer) {
        Ok(0) => Err(HttpError::ENDS_EARLY.into()),
        Ok(length) => Ok(buffer[..length].to_vec()),
        Err(FrontError::TooSlow) if connection.is_secure() => Err(HttpError::TOO_SLOW.into()),
        Err(error) => Err(error),
    }
}
