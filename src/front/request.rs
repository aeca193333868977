//! Reading the request from the connection, with what stands in its way.

use crate::front::connection::{Connection, Input, Lost};
use crate::front::link::Link;
use crate::http::{Body, BodyReader, CONTINUE, Expectation, Framing, Head, HeadReader, HttpError, Progress};

/// Why there is no answer to relay or to give.
#[derive(Debug)]
pub enum Fault {
    /// The caller is told.
    Refused(HttpError),
    /// Nobody is left to tell.
    Lost(Lost),
}

impl From<HttpError> for Fault {
    fn from(refusal: HttpError) -> Fault {
        Fault::Refused(refusal)
    }
}

impl From<Lost> for Fault {
    fn from(lost: Lost) -> Fault {
        Fault::Lost(lost)
    }
}

/// Reads the head; and returns the bytes that came behind it.
pub fn head(connection: &mut Connection, link: &Link) -> Result<(Head, Vec<u8>), Fault> {
    let mut reader = HeadReader::default();
    let mut buffer = [0; 4096];
    loop {
        let length = match read(connection, link, &mut buffer)? {
            Input::Bytes(length) => length,
            Input::End if reader.is_untouched() => return Err(Lost::Silent.into()),
            Input::End => return Err(HttpError::HeadEndsEarly.into()),
        };
        if let (used, Progress::Done(head)) = reader.feed(&buffer[..length])? {
            return Ok((head, buffer[used..length].to_vec()));
        }
    }
}

/// Reads the body, of which `rest` came with the head. Nothing may follow it.
pub fn body(connection: &mut Connection, link: &Link, head: &Head, rest: Vec<u8>) -> Result<String, Fault> {
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
            Input::End => return Err(HttpError::BodyEndsEarly.into()),
        };
        (used, progress) = reader.feed(&buffer[..here])?;
    }
    if used < here || connection.has_more() {
        return Err(HttpError::BytesBeyond.into());
    }
    match progress {
        Progress::Done(Body(body)) => String::from_utf8(body).map_err(|_| HttpError::BodyNotText.into()),
        Progress::More => Ok(String::new()),
    }
}

/// As [`Connection::read`]; a deadline that passes after the handshake can be said.
fn read(connection: &mut Connection, link: &Link, buffer: &mut [u8]) -> Result<Input, Fault> {
    connection.read(link, buffer).map_err(|lost| match lost {
        Lost::TooSlow if connection.is_secure() => HttpError::TooSlow.into(),
        other => other.into(),
    })
}
