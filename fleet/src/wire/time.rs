//! Points in time: milliseconds since 1970, written as in RFC 3339. What the time is now is the caller's to say.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Invalid;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl Time {
    pub fn plus_ms(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    pub fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = DateTime::from_timestamp_millis(self.0 as i64).unwrap_or_default();
        f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl FromStr for Time {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let read = DateTime::parse_from_rfc3339(text).ok();
        let ms = read.and_then(|time| time.timestamp_millis().try_into().ok());
        ms.map(Time).ok_or_else(|| Invalid(format!("time {text:?}: as in 2026-01-02T03:04:05.678Z")))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_times_are_written_and_read_as_in_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
            (4_102_444_799_999, "2099-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Time(ms).to_string(), text);
            assert_eq!(text.parse::<Time>().unwrap(), Time(ms));
        }
        assert_eq!("2026-01-02T04:04:05.678901+01:00".parse(), Ok(Time(1_767_323_045_678)));
        assert_eq!("2026-01-02T03:04:05Z".parse(), Ok(Time(1_767_323_045_000)));
        for bad in [
            "",
            "2026-13-02T03:04:05Z",
            "2026-01-02T03:04:05",
            "2026-01-02",
            "2026-01-02T03:04:05.Z",
            "1960-01-01T00:00:00Z",
        ] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }
}
