//! The request's body: bytes -> [`Body`], by length or by chunks.
//!
//! Chunk extensions are bounded and forgotten; trailers are refused, because a header after the body would come after
//! everything has been decided. Trusts nothing; holds at most [`MAX_BODY`] bytes.

use super::head::push_line;
use super::{Framing, HttpError, Progress};
use crate::limits::{MAX_BODY, MAX_BODY_WIRE, MAX_CHUNK_LINE};

/// Digits of a chunk size: enough for any size we take, and for none that overflows.
const MAX_SIZE_DIGITS: usize = 8;

/// A complete body: at most [`MAX_BODY`] bytes, as many as were announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(pub Vec<u8>);

/// Takes bytes until a body is complete.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    body: Vec<u8>,
    wire: usize,
}

#[derive(Debug)]
enum State {
    /// This many bytes by length are missing.
    Counted(usize),
    /// In a chunk-size line.
    SizeLine(Vec<u8>),
    /// In a chunk, this many bytes missing.
    Data(usize),
    /// Behind a chunk's data.
    DataEnd(Vec<u8>),
    /// Behind the last chunk's line.
    LastLine(Vec<u8>),
    /// Nothing is missing.
    Complete,
}

impl BodyReader {
    /// A reader for a body of this framing.
    pub fn new(framing: Framing) -> BodyReader {
        let state = match framing {
            Framing::Empty => State::Complete,
            Framing::Length(length) => State::Counted(length),
            Framing::Chunked => State::SizeLine(Vec::new()),
        };
        BodyReader {
            state,
            body: Vec::new(),
            wire: 0,
        }
    }

    /// Takes what it needs of `input` and says how much that was. An empty body is done with an empty input.
    ///
    /// # Errors
    /// The first fault seen; after it, and after `Done`, the reader is of no more use.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Progress<Body>), HttpError> {
        let mut used = 0;
        loop {
            if matches!(self.state, State::Complete | State::Counted(0)) {
                return Ok((used, Progress::Done(Body(std::mem::take(&mut self.body)))));
            }
            let rest = &input[used..];
            if rest.is_empty() {
                return Ok((used, Progress::More));
            }
            let taken = self.step(rest)?;
            used += taken;
            self.wire += taken;
            if self.wire > MAX_BODY_WIRE {
                return Err(HttpError::BodyTooLarge);
            }
        }
    }

    /// One step: takes at least one byte of `input`, which is not empty.
    fn step(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        if let State::Counted(missing) | State::Data(missing) = &mut self.state {
            let taken = input.len().min(*missing);
            self.body.extend_from_slice(&input[..taken]);
            *missing -= taken;
            if matches!(self.state, State::Data(0)) {
                self.state = State::DataEnd(Vec::new());
            }
            return Ok(taken);
        }
        self.frame(input[0])?;
        Ok(1)
    }

    /// One byte of the framing around the chunks.
    fn frame(&mut self, byte: u8) -> Result<(), HttpError> {
        // The line behind a chunk is empty, and so is the one behind the last: trailers are refused.
        let is_empty = !matches!(self.state, State::SizeLine(_));
        let (State::SizeLine(line) | State::DataEnd(line) | State::LastLine(line)) = &mut self.state else {
            return Ok(());
        };
        if !push_line(line, byte)? {
            return match line.len() > MAX_CHUNK_LINE || (is_empty && line != b"\r") {
                true => Err(HttpError::Chunk),
                false => Ok(()),
            };
        }
        self.state = match &self.state {
            State::SizeLine(line) => match parse_size_line(line)? {
                0 => State::LastLine(Vec::new()),
                size if self.body.len() + size > MAX_BODY => return Err(HttpError::BodyTooLarge),
                size => State::Data(size),
            },
            State::DataEnd(_) => State::SizeLine(Vec::new()),
            _ => State::Complete,
        };
        Ok(())
    }
}

/// The size of a chunk (RFC 9112, 7.1): hexadecimal digits, then an end or an extension. No white space between.
fn parse_size_line(line: &[u8]) -> Result<usize, HttpError> {
    let end = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    let (digits, extension) = line.split_at(end);
    let is_text = |b: &u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t');
    // `from_str_radix` would take a plus sign.
    let well_formed = (1..=MAX_SIZE_DIGITS).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_hexdigit)
        && extension.iter().all(is_text);
    let digits = std::str::from_utf8(digits).ok().filter(|_| well_formed);
    let size = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    size.ok_or(HttpError::Chunk)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
