//! What GitHub means when it gives no token, and what to do about it. Pure.
//!
//! The status alone does not tell a wrong key from a wrong clock, nor a wrong app from a wrong installation; the words
//! and headers that do are those of GitHub's API as documented, and as its users report them.

use serde_json::Value;

use crate::config::GithubApp;
use crate::event::harmless;
use crate::fetch::FetchResponse;
use crate::limits::{APP_CLOCK_SKEW, MAX_QUOTE};

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This host's clock is so many seconds ahead of GitHub's (behind it, below zero).
    Clock(i64),
    /// The key is not one of the app's.
    Key,
    /// There is no such app.
    App,
    /// The app is not installed there.
    Installation,
    /// It may not read this repository.
    Permission,
    /// It has asked too often; so many seconds are to be waited, when GitHub says.
    RateLimit(Option<u64>),
    /// Anything else.
    Other,
}

/// What `answer`, which is not a token, means at `now`, seconds since 1970.
pub(super) fn trouble(answer: &FetchResponse, now: u64) -> Trouble {
    let said = message(answer).to_ascii_lowercase();
    match answer.status {
        401 => match skew(answer, now) {
            Some(ahead) if ahead.unsigned_abs() > APP_CLOCK_SKEW.as_secs() => Trouble::Clock(ahead),
            _ => Trouble::Key,
        },
        403 | 429 if is_limited(answer, &said) => Trouble::RateLimit(wait(answer)),
        404 if said.contains("integration not found") => Trouble::App,
        404 => Trouble::Installation,
        403 | 422 => Trouble::Permission,
        _ => Trouble::Other,
    }
}

impl Trouble {
    /// All of it in one sentence: what came back, what it means, what to do.
    pub(super) fn sentence(self, answer: &FetchResponse, app: &GithubApp, repository: &str) -> String {
        let means = match self {
            Trouble::Clock(ahead) => clock(ahead),
            Trouble::Key => format!(
                "the key in {} is none of this app's (was it replaced?), or DEPLOYER_TF_APPLY_GH_APP_ID is another app's",
                app.pem.display()
            ),
            Trouble::App => "there is no such app, check DEPLOYER_TF_APPLY_GH_APP_ID".into(),
            Trouble::Installation => format!(
                "the app has no installation {}, check DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID",
                app.installation
            ),
            Trouble::Permission => format!(
                "the app may not read {repository}: it needs the permission Contents (read), this repository among those of its \
                 installation, and not to be suspended"
            ),
            Trouble::RateLimit(None) => "GitHub's rate limit is reached, try again later".into(),
            Trouble::RateLimit(Some(seconds)) => {
                format!("GitHub's rate limit is reached, try again in {seconds} s")
            }
            Trouble::Other if answer.status >= 500 => "GitHub is in trouble, try again later".into(),
            Trouble::Other => format!(
                "this is no answer of GitHub's API, check DEPLOYER_GITHUB_API_URL ({})",
                app.api_url
            ),
        };
        format!("{means} (status {}{})", answer.status, quoted(answer))
    }
}

fn clock(ahead: i64) -> String {
    let (seconds, way) = (
        ahead.unsigned_abs(),
        if ahead > 0 { "ahead of" } else { "behind" },
    );
    format!("this host's clock is {seconds} s {way} GitHub's, set it right (NTP)")
}

fn quoted(answer: &FetchResponse) -> String {
    match message(answer) {
        said if said.is_empty() => String::new(),
        said => format!(": {}", harmless(&said)),
    }
}

/// GitHub's own words, as far as they are a sentence.
fn message(answer: &FetchResponse) -> String {
    let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let said = body.as_ref().and_then(|body| body.get("message")?.as_str());
    said.unwrap_or_default().chars().take(MAX_QUOTE).collect()
}

/// By how many seconds our clock is ahead of the one that answered.
fn skew(answer: &FetchResponse, now: u64) -> Option<i64> {
    let theirs = seconds_of(answer.header("date")?)?;
    i64::try_from(now).ok()?.checked_sub(theirs)
}

/// The primary limit says what remains, the secondary one how long to wait; older servers only talk of it.
fn is_limited(answer: &FetchResponse, said: &str) -> bool {
    answer.status == 429
        || answer.header("retry-after").is_some()
        || answer.header("x-ratelimit-remaining") == Some("0")
        || said.contains("rate limit")
}

fn wait(answer: &FetchResponse) -> Option<u64> {
    answer.header("retry-after")?.parse().ok()
}

/// Seconds since 1970 of a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7).
fn seconds_of(date: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = date.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else {
        return None;
    };
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let number = |text: &str| text.parse::<u16>().ok().map(i64::from);
    let clock: Vec<i64> = time.split(':').map(number).collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else {
        return None;
    };
    let days = days_until(number(year)?, month, number(day)?);
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970-01-01: years begin in March here, so that the leap day is a year's last.
fn days_until(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AT: u64 = 784_111_777;

    fn answer(status: u16, said: &str, headers: &[(&str, &str)]) -> FetchResponse {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        FetchResponse {
            status,
            headers: headers.collect(),
            body: serde_json::json!({ "message": said }).to_string().into_bytes(),
        }
    }

    #[test]
    fn every_refusal_of_github_is_told_by_its_cause() {
        let date = [("date", DATE)];
        let none = [("x-ratelimit-remaining", "0")];
        let some = [("x-ratelimit-remaining", "4999")];
        let later = [("retry-after", "60")];
        for (status, said, headers, expected) in [
            (
                401,
                "A JSON web token could not be decoded",
                &date[..],
                Trouble::Key,
            ),
            (401, "Bad credentials", &[], Trouble::Key),
            (404, "Integration not found", &[], Trouble::App),
            (404, "Not Found", &[], Trouble::Installation),
            (
                403,
                "This installation has been suspended",
                &some,
                Trouble::Permission,
            ),
            (
                422,
                "The permissions requested are not granted to this installation.",
                &[],
                Trouble::Permission,
            ),
            (403, "API rate limit exceeded", &none, Trouble::RateLimit(None)),
            (
                403,
                "You have exceeded a secondary rate limit.",
                &[],
                Trouble::RateLimit(None),
            ),
            (403, "", &later, Trouble::RateLimit(Some(60))),
            (429, "", &[], Trouble::RateLimit(None)),
            (502, "Server Error", &[], Trouble::Other),
            (200, "", &[], Trouble::Other),
            (302, "", &[], Trouble::Other),
        ] {
            assert_eq!(
                trouble(&answer(status, said, headers), AT),
                expected,
                "{status} {said}"
            );
        }
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_key() {
        let refused = answer(
            401,
            "'Expiration time' claim ('exp') is too far in the future",
            &[("date", DATE)],
        );
        for (now, expected) in [
            (AT + 61, Trouble::Clock(61)),
            (AT - 61, Trouble::Clock(-61)),
            (AT + 60, Trouble::Key),
            (AT - 60, Trouble::Key),
        ] {
            assert_eq!(trouble(&refused, now), expected, "{now}");
        }
        assert!(clock(61).contains("61 s ahead of") && clock(-61).contains("61 s behind"));
        assert_eq!(trouble(&refused, u64::MAX), Trouble::Key);
    }

    #[test]
    fn dates_are_read_as_http_writes_them() {
        for (text, seconds) in [
            (DATE, Some(AT as i64)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Fri, 01 Mar 2024 00:00:00 GMT", Some(1_709_251_200)),
            ("Sun, 22 Nov 2026 09:44:09 GMT", Some(1_795_340_649)),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 ovD 1994 08:49:37 XXX", None),
            ("Sun, 06 anF 1994 08:49:37 GMT", None),
            ("Sun, 99999999 Nov 1994 08:49:37 GMT", None),
            ("", None),
            ("a b c d e GMT", None),
        ] {
            assert_eq!(seconds_of(text), seconds, "{text}");
        }
    }

    #[test]
    fn what_github_says_is_quoted_briefly_and_harmlessly() {
        let app = GithubApp {
            id: "1".into(),
            installation: "77".into(),
            pem: "/etc/app.pem".into(),
            api_url: "https://api.example".into(),
        };
        let refused = answer(404, &format!("a\u{1b}[31m\n::error::b{}", "x".repeat(5000)), &[]);
        let sentence = trouble(&refused, AT).sentence(&refused, &app, "infra");
        assert!(
            sentence.contains("no installation 77") && sentence.contains("status 404"),
            "{sentence}"
        );
        assert!(
            !sentence.contains(['\u{1b}', '\n']) && sentence.len() < 500,
            "{sentence}"
        );
        let refused = FetchResponse {
            body: b"<html>".to_vec(),
            ..refused
        };
        assert!(
            trouble(&refused, AT)
                .sentence(&refused, &app, "infra")
                .ends_with("(status 404)")
        );
    }
}
