//! The frames between keeper and network half: bytes in, frames out; no I/O. A frame is a length of four bytes (big-endian) and
//! that many bytes of JSON. The half may have been taken over: the keeper takes from it only what these types hold.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::limits::FRAME_BYTES;
use crate::nats::Servers;
use crate::wire::{ReplyTo, RunId, Subject};

/// What the half may say.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Up {
    Connected,
    Disconnected,
    /// A message on a deploy subject, at most as long as a request may be.
    Request(String),
    /// A question about a deploy that the half's answer does not tell of.
    Ask(ReplyTo, RunId),
    /// It cannot go on: what a person must mend.
    Fatal(String),
    /// A line for the log; the keeper escapes it.
    Log(String),
}

/// What the keeper may say.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Down {
    /// The first frame.
    Settings(Task),
    /// The answer to discovery, without the time.
    Answer(serde_json::Value),
    Publish(ReplyTo, String),
    Metrics(String),
}

/// What the half is set to.
#[derive(Serialize, Deserialize)]
pub struct Task {
    pub servers: Servers,
    pub seed: String,
    pub ca_file: Option<PathBuf>,
    pub name: String,
    pub subjects: Vec<Subject>,
    pub discover: Subject,
    pub metrics: Option<String>,
}

pub fn encode<T: Serialize>(frame: &T) -> Vec<u8> {
    let json = serde_json::to_vec(frame).expect("a frame is JSON");
    assert!(json.len() <= FRAME_BYTES, "a frame of ours is over its bound");
    let mut bytes = (json.len() as u32).to_be_bytes().to_vec();
    bytes.extend(json);
    bytes
}

/// Collects bytes until they are a frame. Either side ends the link where they are none.
#[derive(Default)]
pub struct Decoder(Vec<u8>);

impl Decoder {
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some((head, _)) = self.0.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > FRAME_BYTES {
            return Err(io::Error::other(format!("a frame of {length} bytes is over the bound of {FRAME_BYTES}")));
        }
        let Some(json) = self.0.get(4..4 + length) else {
            return Ok(None);
        };
        let frame = serde_json::from_slice(json)?;
        self.0.drain(..4 + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_whatever_the_pieces() {
        let frames = [Up::Connected, Up::Request("{\"a\":\"\u{1}\"}".to_owned())];
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
        decoder.push(&encode(&Down::Metrics(String::new())));
        assert!(decoder.next::<Up>().is_err());
    }

    #[test]
    fn the_largest_request_fits_into_a_frame() {
        let payload = "\u{1}".repeat(crate::limits::REQUEST_BYTES);
        encode(&Up::Request(payload));
    }
}
