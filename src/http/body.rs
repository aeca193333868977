//! The request's body: bytes -> body, by length or by chunks.
//!
//! Chunk extensions are bounded and forgotten; trailers are refused, because a header after the body would come after
//! everything has been decided. Trusts nothing; holds at most [`MAX_BODY`] bytes.

use std::mem::take;

use super::head::push_line;
use super::{Framing, HttpError, Result};
use crate::limits::{MAX_BODY, MAX_BODY_WIRE, MAX_CHUNK_LINE};

/// Digits of a chunk size: enough for any size we take, and for none that overflows.
const MAX_SIZE_DIGITS: usize = 8;

/// Takes bytes until a body is complete.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Of the framing around chunks.
    line: Vec<u8>,
    body: Vec<u8>,
    wire: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// This many bytes by length are missing; with none the body is complete.
    Counted(usize),
    /// In a chunk-size line.
    SizeLine,
    /// In a chunk, this many bytes missing.
    Data(usize),
    /// Behind a chunk's data.
    DataEnd,
    /// Behind the last chunk's line.
    LastLine,
}

impl BodyReader {
    /// A reader for a body of this framing.
    pub fn new(framing: Framing) -> BodyReader {
        BodyReader {
            state: match framing {
                Framing::Length(length) => State::Counted(length),
                Framing::Chunked => State::SizeLine,
            },
            line: Vec::new(),
            body: Vec::new(),
            wire: 0,
        }
    }

    /// Takes what it needs of `input`. A body of no bytes is complete with an empty input.
    ///
    /// # Errors
    /// The first fault seen; after it, and after the body, the reader is of no more use.
    pub fn feed(&mut self, input: &[u8]) -> Result<(usize, Option<Vec<u8>>)> {
        let mut used = 0;
        while self.state != State::Counted(0) {
            let rest = &input[used..];
            if rest.is_empty() {
                return Ok((used, None));
            }
            let taken = self.step(rest)?;
            used += taken;
            self.wire += taken;
            if self.wire > MAX_BODY_WIRE {
                return Err(HttpError::BODY_TOO_LARGE);
            }
        }
        Ok((used, Some(take(&mut self.body))))
    }

    /// One step: takes at least one byte of `input`, which is not empty.
    fn step(&mut self, input: &[u8]) -> Result<usize> {
        if let State::Counted(missing) | State::Data(missing) = &mut self.state {
            let taken = input.len().min(*missing);
            self.body.extend_from_slice(&input[..taken]);
            *missing -= taken;
            if self.state == State::Data(0) {
                self.state = State::DataEnd;
            }
            return Ok(taken);
        }
        self.frame(input[0])?;
        Ok(1)
    }

    /// One byte of the framing around the chunks.
    fn frame(&mut self, byte: u8) -> Result {
        if push_line(&mut self.line, byte)? {
            return self.end_line();
        }
        // The line behind a chunk is empty, and so is the one behind the last: trailers are refused.
        let is_empty = self.state != State::SizeLine;
        match self.line.len() > MAX_CHUNK_LINE || (is_empty && self.line != b"\r") {
            true => Err(HttpError::CHUNK),
            false => Ok(()),
        }
    }

    fn end_line(&mut self) -> Result {
        let line = take(&mut self.line);
        self.state = match self.state {
            State::SizeLine => match parse_size_line(&line)? {
                0 => State::LastLine,
                size if self.body.len() + size > MAX_BODY => return Err(HttpError::BODY_TOO_LARGE),
                size => State::Data(size),
            },
            State::DataEnd => State::SizeLine,
            _ => State::Counted(0),
        };
        Ok(())
    }
}

/// The size of a chunk (RFC 9112, 7.1): hexadecimal digits, then an end or an extension. No white space between.
fn parse_size_line(line: &[u8]) -> Result<usize> {
    let end = line.iter().position(|b| *b == b';').unwrap_or(line.len());
    let (digits, extension) = line.split_at(end);
    let is_text = |b: &u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t');
    // `from_str_radix` would take a plus sign.
    let well_formed = (1..=MAX_SIZE_DIGITS).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_hexdigit)
        && extension.iter().all(is_text);
    let digits = std::str::from_utf8(digits).ok().filter(|_| well_formed);
    let size = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    size.ok_or(HttpError::CHUNK)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
