//! Reading the request from the connection, with what stands in its way.

use crate::front::connection::{Connection, Input};
use crate::front::error::FrontError;
use crate::front::link::Link;
use crate::http::{Body, BodyReader, CONTINUE, Expectation, Framing, Head, HeadReader, HttpError, Progress};

/// Reads the head; and returns the bytes that came behind it.
pub fn head(connection: &mut Connection, link: &Link) -> Result<(Head, Vec<u8>), FrontError> {
    let mut reader = HeadReader::default();
    let mut buffer = [0; 4096];
    loop {
        let length = match read(connection, link, &mut buffer)? {
            Input::Bytes(length) => length,
            Input::End if reader.is_untouched() => return Err(FrontError::Silent),
            Input::End => return Err(HttpError::ENDS_EARLY.into()),
        };
        if let (used, Progress::Done(head)) = reader.feed(&buffer[..length])? {
            return Ok((head, buffer[used..length].to_vec()));
        }
    }
}

/// Reads the body, of which `rest` came with the head. Nothing may follow it.
pub fn body(
    connection: &mut Connection,
    link: &Link,
    head: &Head,
    rest: Vec<u8>,
) -> Result<String, FrontError> {
    if head.expectation == Expectation::Continue && head.framing != Framing::Empty && rest.is_empty() {
        connection.write(CONTINUE)?;
    }
    let mut reader = BodyReader::new(head.framing);
    let (mut used, mut progress) = reader.feed(&rest)?;
    let mut here = rest.len();
    let mut buffer = [0; 4096];
    while progress == Progress::More {
        here = match read(connection, link, &mut buffer)? {
            Input::Bytes(length) => length,
            Input::End => return Err(HttpError::ENDS_EARLY.into()),
        };
        (used, progress) = reader.feed(&buffer[..here])?;
    }
    if used < here || connection.has_more() {
        return Err(HttpError::BYTES_BEYOND.into());
    }
    match progress {
        Progress::Done(Body(body)) => String::from_utf8(body).map_err(|_| HttpError::BODY_NOT_TEXT.into()),
        Progress::More => Ok(String::new()),
    }
}

/// As [`Connection::read`]; a deadline that passes after the handshake can be said.
fn read(connection: &mut Connection, link: &Link, buffer: &mut [u8]) -> Result<Input, FrontError> {
    connection.read(link, buffer).map_err(|error| match error {
        FrontError::TooSlow if connection.is_secure() => HttpError::TOO_SLOW.into(),
        other => other,
    })
}
