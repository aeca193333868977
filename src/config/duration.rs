//! Go's duration syntax (`2s`, `1m30s`, `1.5h`, `500ms`), as `time.ParseDuration` documents it, within bounds.

use std::time::Duration;

use crate::limits::{LONGEST_SETTING, SHORTEST_SETTING};

/// Reads a duration between [`SHORTEST_SETTING`] and [`LONGEST_SETTING`]; the error says what it should be.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    nanoseconds(text)
        .map(Duration::from_nanos)
        .filter(|time| (SHORTEST_SETTING..=LONGEST_SETTING).contains(time))
        .ok_or_else(|| {
            format!(
                "a time such as `2s`, `1m30s` or `500ms`, from {} ms to {} h",
                SHORTEST_SETTING.as_millis(),
                LONGEST_SETTING.as_secs() / 3600
            )
        })
}

/// The same, or `None` for `0` and `off`.
pub(super) fn duration_or_never(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "0" | "off" => Ok(None),
        _ => duration(text)
            .map(Some)
            .map_err(|should| format!("{should}; or `0` or `off` for never")),
    }
}

/// A sum of numbers with units. Go's sign is left out: no setting of ours is negative.
fn nanoseconds(text: &str) -> Option<u64> {
    let is_of_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut sum, mut rest) = (0u64, text);
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_of_number(c))?);
        let (unit, after) = after.split_at(after.find(is_of_number).unwrap_or(after.len()));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if number.is_empty() || number == "." {
            return None;
        }
        let unit = nanoseconds_of(unit)?;
        let whole: u64 = format!("0{whole}").parse().ok()?;
        // Digits past the ninth are below a nanosecond of any sensible setting.
        let billionths: u128 = format!("{fraction:0<9.9}").parse().ok()?;
        let part = u64::try_from(u128::from(unit) * billionths / 1_000_000_000).ok()?;
        sum = sum.checked_add(whole.checked_mul(unit)?)?.checked_add(part)?;
        rest = after;
    }
    Some(sum)
}

fn nanoseconds_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // Both letters that Go takes for micro: U+00B5 and U+03BC.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
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
            ("0.0123456789999s", 12_345_678),
            ("24h", 86_400_000_000_000),
            ("010s", 10_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn never_is_written_as_nought_or_off() {
        assert_eq!(duration_or_never("0"), Ok(None));
        assert_eq!(duration_or_never("off"), Ok(None));
        assert_eq!(duration_or_never("90s"), Ok(Some(Duration::from_secs(90))));
        for bad in ["never", "OFF", "00", "-1", "0s", ""] {
            let should = duration_or_never(bad).expect_err(bad);
            assert!(should.ends_with("or `0` or `off` for never"), "{should}");
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
            assert!(duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(duration("10ms"), Ok(SHORTEST_SETTING));
    }
}
