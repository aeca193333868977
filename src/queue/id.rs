//! A run's name: `YYYYMMDDThhmmssZ-` and 8 hex digits.
//!
//! It becomes a folder's name and is asked for over the network, so nothing else parses as one.

use std::io;
use std::time::SystemTime;

use crate::checked_text::{CheckedText, TextRule};
use crate::os::{clock, random};

/// A run's name; safe in a path and on a terminal.
pub type RunId = CheckedText<RunIdRule>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunIdRule {}

/// The shape: `0` stands for a digit, `x` for a lower-case hex digit, anything else for itself.
const SHAPE: &[u8] = b"00000000T000000Z-xxxxxxxx";

impl TextRule for RunIdRule {
    const SENTENCE: &'static str = "a run id is YYYYMMDDThhmmssZ- and 8 hex digits";

    fn admits(text: &str) -> bool {
        let fits = |(byte, shape): (u8, u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            exact => byte == exact,
        };
        text.len() == SHAPE.len() && text.bytes().zip(SHAPE.iter().copied()).all(fits)
    }
}

impl RunId {
    /// A new one. Two of the same second differ in 32 random bits; a folder that exists already is an error where it
    /// is made.
    pub fn new(now: SystemTime) -> io::Result<Self> {
        let name = format!("{}-{}", clock::compact(now), random::hex::<4>()?);
        Self::parse(&name).ok_or_else(|| io::Error::other(format!("the clock gives no run id: {name}")))
    }

    /// `text` as a run id, if it is exactly one.
    pub fn parse(text: &str) -> Option<Self> {
        text.to_owned().try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_run_id_parses_as_one() {
        let id = RunId::new(SystemTime::now()).unwrap();
        assert_eq!(RunId::parse(id.as_str()), Some(id));
        for wrong in [
            "",
            "..",
            "20260102T030405Z-0123456",
            "20260102T030405Z-012345678",
            "20260102T030405Z-0123456G",
            "20260102T030405Z-0123456A",
            "20260102T030405Z/01234567",
            "2026-102T030405Z-01234567",
            "20260102T030405Z-0123456\n",
            "20260102T030405Z-012345\u{e9}",
        ] {
            assert_eq!(RunId::parse(wrong), None, "{wrong:?}");
        }
        assert!(serde_json::from_str::<RunId>("\"../../etc\"").is_err());
    }
}
