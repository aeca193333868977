//! The frames between `front` and `session`: bytes in, frames out; no I/O.
//!
//! A frame is a length of four bytes (big-endian, at most [`MAX_FRAME`]) and that many bytes of JSON. Each side
//! names what it may say as a type of its own, so a frame of the wrong direction does not parse. Front is the side
//! that may have been taken over: session takes one [`FromFront::Request`] and a few log lines from it, and ends at
//! anything else.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::limits::MAX_FRAME;

/// What front is to load and whom it is to become: on its standard input, before there is a link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// PEM, read while still root.
    pub cert_file: String,
    /// PEM, read while still root.
    pub key_file: String,
    /// Becomes the root folder.
    pub public_dir: String,
    /// User to become.
    pub uid: u32,
    /// Group to become.
    pub gid: u32,
    /// Names of the configured endpoints, as in `/deploy`: what may be POSTed to and whose status exists.
    pub endpoints: Vec<String>,
    /// Names of terraform's modules, fit for a file's name: a status can be asked for by one of them.
    pub modules: Vec<String>,
}

/// What front may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromFront {
    /// Certificate and key are good, privileges are gone where we are root; a connection can come.
    Ready,
    /// It cannot serve, and exits: what an operator has to correct, in one sentence.
    Broken(String),
    /// The one request of the connection.
    Request(Request),
    /// A line for the log; the session escapes it.
    Log(String),
}

/// A request as front read it: well-formed HTTP, and nothing else is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// `POST` or `GET`.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// Every `Authorization` header, as it came.
    pub authorization: Vec<String>,
    /// The body, decoded; bytes that are not UTF-8 were refused by front, since no endpoint takes any.
    pub body: String,
}

/// The id in `/runs/<id>/log`.
pub fn log_path(path: &str) -> Option<&str> {
    path.strip_prefix("/runs/")?.strip_suffix("/log")
}

/// What session may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToFront {
    /// The connection itself comes with the first byte of this frame, by SCM_RIGHTS.
    Connection(Caller),
    /// The answer's head.
    Head(Head),
    /// A line of the stream, NDJSON without its newline.
    Line(String),
    /// The stream is complete: end it so that the caller can tell.
    End,
}

/// What the session knows of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// For the `Request-Id` header of every answer.
    pub request_id: String,
    /// Whether this source may GET the open paths.
    pub open_paths: bool,
}

/// The head of an answer, and its body when it is not a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The HTTP status; 200 for a stream.
    pub status: u16,
    /// Further headers: `Run-Id`, `Retry-After`. `Request-Id` is front's own affair.
    pub headers: Vec<(String, String)>,
    /// A sentence for a refusal; `None` begins a stream of lines.
    pub sentence: Option<String>,
}

/// A frame as bytes.
///
/// # Errors
/// What was to be said does not fit; senders bound their parts so that it does.
pub fn encode(frame: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(frame)?;
    let mut bytes = (bounded(json.len())? as u32).to_be_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}

/// Puts frames together from bytes as they come. Holds at most one frame and what one read brought behind it.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    /// So many of them have come out in frames.
    taken: usize,
}

impl Decoder {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        // Once a push and not once a frame: there may be hundreds of frames in what is pending.
        self.pending.drain(..self.taken);
        self.taken = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// The bytes are no frame of this direction. Either side ends the link then.
    pub fn frame<F: DeserializeOwned>(&mut self) -> io::Result<Option<F>> {
        let pending = self.pending.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = pending.split_first_chunk() else {
            return Ok(None);
        };
        let length = bounded(u32::from_be_bytes(*length) as usize)?;
        let Some(json) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = serde_json::from_slice(json)?;
        self.taken += 4 + length;
        Ok(Some(frame))
    }
}

fn bounded(length: usize) -> io::Result<usize> {
    match length <= MAX_FRAME {
        true => Ok(length),
        false => Err(io::Error::other(format!(
            "a frame of {length} bytes is over the limit of {MAX_FRAME}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_cut() {
        let frames = [ToFront::Line("{}".into()), ToFront::End];
        let bytes: Vec<u8> = frames.iter().flat_map(|frame| encode(frame).unwrap()).collect();
        for size in 1..=bytes.len() {
            let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
            for part in bytes.chunks(size) {
                decoder.push(part);
                while let Some(frame) = decoder.frame::<ToFront>().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames);
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_bytes_come() {
        let mut decoder = Decoder::default();
        decoder.push(&(MAX_FRAME as u32 + 1).to_be_bytes());
        let refused = decoder.frame::<FromFront>().unwrap_err();
        assert!(refused.to_string().contains("over the limit"), "{refused}");
    }

    #[test]
    fn a_frame_of_the_other_direction_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&encode(&ToFront::End).unwrap());
        assert!(decoder.frame::<FromFront>().is_err());
    }
}
