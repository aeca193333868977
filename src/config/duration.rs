//! Go's duration syntax (`2s`, `1m30s`, `1.5h`, `500ms`), as `time.ParseDuration` documents it, within bounds.

use std::time::Duration;

use crate::limits::{LONGEST_SETTING, SHORTEST_SETTING};

/// A sum of numbers with units, between [`SHORTEST_SETTING`] and [`LONGEST_SETTING`]. Go's sign is left out: no setting of
/// ours is negative.
pub fn duration(text: &str) -> Option<Duration> {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut sum, mut rest) = (Duration::ZERO, text);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_of_number(c))?);
        let (unit, after) = after.split_at(after.find(is_of_number).unwrap_or(after.len()));
        let time = number.parse::<f64>().ok()? * seconds_of(unit)?;
        sum = sum.checked_add(Duration::try_from_secs_f64(time).ok()?)?;
        rest = after;
    }
    (SHORTEST_SETTING..=LONGEST_SETTING).contains(&sum).then_some(sum)
}

/// The same, or `None` for `0` and `off`.
pub fn duration_or_never(text: &str) -> Option<Option<Duration>> {
    match text {
        "0" | "off" => Some(None),
        _ => duration(text).map(Some),
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        // Both letters that Go takes for micro: U+00B5 and U+03BC.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_what_go_takes_it_for() {
        for (text, nanos) in [
            ("2s", 2_000_000_000),
            ("60s", 60_000_000_000),
            ("1m30s", 90_000_000_000),
            ("500ms", 500_000_000),
            ("1.5h", 5_400_000_000_000),
            ("1.s", 1_000_000_000),
            (".5s", 500_000_000),
            ("0.1s", 100_000_000),
            ("1h2m3s4ms5us6ns", 3_723_004_005_006),
            ("30s1m", 90_000_000_000),
            ("20000\u{b5}s", 20_000_000),
            ("20000\u{3bc}s", 20_000_000),
            ("0.0123456789999s", 12_345_679),
            ("24h", 86_400_000_000_000),
            ("010s", 10_000_000_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn never_is_written_as_nought_or_off() {
        assert_eq!(duration_or_never("0"), Some(None));
        assert_eq!(duration_or_never("off"), Some(None));
        assert_eq!(duration_or_never("90s"), Some(Some(Duration::from_secs(90))));
        for bad in ["never", "OFF", "00", "-1", "0s", ""] {
            assert!(duration_or_never(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_duration_or_out_of_bounds_is_refused() {
        for bad in [
            "",
            "2",
            "s",
            ".s",
            "2 s",
            " 2s",
            "2S",
            "2d",
            "-2s",
            "+2s",
            "1e3s",
            "2sm",
            "2s3",
            "1..5s",
            "0",
            "0s",
            "9ms",
            "24h1ns",
            "99999999999999999999s",
            "18446744073709551615ns",
            "5124095576030431h15m",
            "\u{662}s",
            "1,5s",
        ] {
            assert!(duration(bad).is_none(), "{bad:?}");
        }
        assert_eq!(duration("10ms"), Some(SHORTEST_SETTING));
    }
}
