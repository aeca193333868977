//! The frames between keeper and network half: bytes in, frames out; no I/O. A frame is a length of four bytes (big-endian) and
//! that many bytes of JSON. The half may have been taken over: the keeper takes from it only what these types hold.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::limits::FRAME_BYTES;
use crate::wire::{ReplyTo, RunId, Subject};

/// What the half may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Up {
    Connected,
    Disconnected,
    /// A message on a deploy subject, at most as long as a request may be.
    Request {
        payload: String,
    },
    /// A question about a deploy that the half's answer does not tell of.
    Ask {
        reply_to: ReplyTo,
        id: RunId,
    },
    /// It cannot go on: what a person must mend.
    Fatal {
        message: String,
    },
    /// A line for the log; the keeper escapes it.
    Log {
        message: String,
    },
}

/// What the keeper may say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "frame", rename_all = "snake_case")]
pub enum Down {
    /// The first frame.
    Settings {
        servers: String,
        seed: String,
        ca_file: Option<std::path::PathBuf>,
        name: String,
        subjects: Vec<Subject>,
        discover: Subject,
        metrics: Option<String>,
    },
    /// The answer to discovery, without the time.
    Answer {
        answer: serde_json::Value,
    },
    Publish {
        reply_to: ReplyTo,
        payload: String,
    },
    Metrics {
        text: String,
    },
}

/// Why bytes on the link are no frame. Either side ends the link then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFrame(pub String);

pub fn encode<T: Serialize>(frame: &T) -> Vec<u8> {
    let json = serde_json::to_vec(frame).expect("a frame is JSON");
    assert!(json.len() <= FRAME_BYTES, "a frame of ours is over its bound");
    let mut bytes = (json.len() as u32).to_be_bytes().to_vec();
    bytes.extend(json);
    bytes
}

/// Collects bytes until they are a frame.
#[derive(Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BadFrame> {
        let Some((head, _)) = self.bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > FRAME_BYTES {
            return Err(BadFrame(format!("a frame of {length} bytes is over the bound of {FRAME_BYTES}")));
        }
        let Some(json) = self.bytes.get(4..4 + length) else {
            return Ok(None);
        };
        let frame = serde_json::from_slice(json).map_err(|why| BadFrame(format!("no frame: {why}")))?;
        self.bytes.drain(..4 + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_pieces() {
        let frames = [Up::Connected, Up::Request { payload: "{\"a\":\"\u{1}\"}".to_owned() }];
        let bytes: Vec<u8> = frames.iter().flat_map(encode).collect();
        let mut decoder = Decoder::default();
        let mut found: Vec<Up> = Vec::new();
        for byte in bytes {
            decoder.push(&[byte]);
            found.extend(decoder.next::<Up>().unwrap());
        }
        assert_eq!(found, frames);
    }

    #[test]
    fn frames_that_are_too_long_or_of_the_wrong_direction_end_the_link() {
        let mut decoder = Decoder::default();
        decoder.push(&(FRAME_BYTES as u32 + 1).to_be_bytes());
        assert!(decoder.next::<Up>().is_err());
        let mut decoder = Decoder::default();
        decoder.push(&encode(&Down::Metrics { text: String::new() }));
        assert!(decoder.next::<Up>().is_err());
    }

    #[test]
    fn the_largest_request_fits_into_a_frame() {
        let payload = "\u{1}".repeat(crate::limits::REQUEST_BYTES);
        encode(&Up::Request { payload });
    }
}
