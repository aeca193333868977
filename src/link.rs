//! The frames between `front` and `session`: bytes in, frames out; no I/O.
//!
//! A frame is a length of four bytes (big-endian, at most [`MAX_FRAME`]) and that many bytes of JSON. Each side
//! names what it may say as a type of its own, so a frame of the wrong direction does not parse. Front is the side
//! that may have been taken over: session takes one [`FromFront::Request`] and a few log lines from it, and ends at
//! anything else.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::limits::MAX_FRAME;

/// What front may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum FromFront {
    /// Certificate and key are good, privileges are gone; a connection can come.
    Ready {
        /// False where we are not root: then nothing could be given up.
        confined: bool,
    },
    /// It cannot serve, and exits: what an operator has to correct.
    Broken {
        /// One sentence.
        message: String,
    },
    /// The one request of the connection.
    Request(Request),
    /// A line for the log; the session escapes it.
    Log {
        /// One line.
        message: String,
    },
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
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum ToFront {
    /// The first frame: what to load and whom to become. It comes before any connection.
    Settings(Settings),
    /// The connection itself comes with the first byte of this frame, by SCM_RIGHTS.
    Connection {
        /// For the `Request-Id` header of every answer.
        request_id: String,
        /// Whether this source may GET the open paths.
        open_paths: bool,
    },
    /// The answer's head.
    Head(Head),
    /// A line of the stream, without its newline.
    Line {
        /// NDJSON.
        line: String,
    },
    /// The stream is complete: end it so that the caller can tell.
    End,
}

/// What front needs to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The head of an answer, and its body when it is not a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// Further headers: `Run-Id`, `Retry-After`. `Request-Id` is front's own affair.
    pub headers: Vec<(String, String)>,
    /// A sentence for a refusal; `None` begins a stream of lines.
    pub sentence: Option<String>,
}

/// Why bytes on the link are not a frame. Either side ends the link then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// The length is over [`MAX_FRAME`].
    TooLong(usize),
    /// The JSON is not a frame of this direction.
    Malformed(String),
}

impl std::fmt::Display for BadFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BadFrame::TooLong(length) => {
                write!(f, "a frame of {length} bytes is over the limit of {MAX_FRAME}")
            }
            BadFrame::Malformed(why) => write!(f, "a frame of the link is malformed: {why}"),
        }
    }
}

/// A frame as bytes.
///
/// # Errors
/// [`BadFrame::TooLong`]: what was to be said does not fit; senders bound their parts so that it does.
pub fn encode(frame: &impl Serialize) -> Result<Vec<u8>, BadFrame> {
    let json = serde_json::to_vec(frame).map_err(|error| BadFrame::Malformed(error.to_string()))?;
    if json.len() > MAX_FRAME {
        return Err(BadFrame::TooLong(json.len()));
    }
    let mut bytes = Vec::with_capacity(4 + json.len());
    bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&json);
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
    pub fn frame<F: DeserializeOwned>(&mut self) -> Result<Option<F>, BadFrame> {
        let pending = self.pending.get(self.taken..).unwrap_or_default();
        let Some((length, rest)) = pending.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(BadFrame::TooLong(length));
        }
        let Some(json) = rest.get(..length) else {
            return Ok(None);
        };
        let frame = serde_json::from_slice(json).map_err(|error| BadFrame::Malformed(error.to_string()))?;
        self.taken += 4 + length;
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_the_bytes_are_cut() {
        let frames = [ToFront::Line { line: "{}".into() }, ToFront::End];
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
        assert_eq!(
            decoder.frame::<FromFront>(),
            Err(BadFrame::TooLong(MAX_FRAME + 1))
        );
    }

    #[test]
    fn a_frame_of_the_other_direction_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&encode(&ToFront::End).unwrap());
        assert!(matches!(
            decoder.frame::<FromFront>(),
            Err(BadFrame::Malformed(_))
        ));
    }
}
