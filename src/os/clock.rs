//! The clock, and times as text. Everything below takes the time as an argument; only roles ask for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole seconds since 1970; a clock before that is 1970.
pub fn unix_seconds(time: SystemTime) -> u64 {
    since_epoch(time).as_secs()
}

/// RFC 3339 in UTC with milliseconds: `2026-01-02T03:04:05.678Z`.
///
/// By counting days in 400-year eras that begin on 1 March: leap days come last in such a year, so no month before them
/// moves.
pub fn rfc3339(time: SystemTime) -> String {
    let (seconds, millis) = (unix_seconds(time), since_epoch(time).subsec_millis());
    let days = seconds / 86_400 + 719_468; // from 0000-03-01 to 1970-01-01
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The same without separators and fractions, as run ids begin: `20260102T030405Z`.
pub fn compact(time: SystemTime) -> String {
    let text = rfc3339(time).replace(['-', ':'], "");
    format!("{}Z", &text[..15])
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_says() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_767_323_045, "2026-01-02T03:04:05.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            compact(UNIX_EPOCH + Duration::from_secs(1_767_323_045)),
            "20260102T030405Z"
        );
    }
}
