//! Whether what was seen means healthy. Pure: an answer or a state in, a [`Verdict`] out.

use std::time::Duration;

use serde_json::Value;

use crate::deploy::docker::Container;
use crate::limits::{MAX_QUOTE, RESTARTS_TOLERATED, STEADY};

/// What one look says.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// It is as it should be; how it is.
    Healthy(String),
    /// It is not, and may become so; what was seen.
    NotYet(String),
    /// It will not become so; what was seen.
    Hopeless(String),
}
use Verdict::{Healthy, Hopeless, NotYet};

/// What one HTTP probe brought: status and body, or why there was none.
pub type Answer = Result<(u16, Vec<u8>), String>;

/// Judges an answer of the health URL; with a `version`, it must say that one.
pub fn answer(answer: &Answer, version: Option<&str>) -> Verdict {
    let (body, version) = match (answer, version) {
        (Err(why), _) => return NotYet(format!("no answer: {}", quote(why))),
        (Ok((200, _)), None) => return Healthy("healthy".into()),
        (Ok((200, body)), Some(version)) => (body, version),
        (Ok((status, _)), _) => return NotYet(format!("last answer: {status}")),
    };
    let document: Result<Value, _> = serde_json::from_slice(body);
    match document.as_ref().map(|document| &document["version"]) {
        Ok(Value::String(said)) if said == version => Healthy(format!("healthy at {version}")),
        Ok(Value::String(said)) => NotYet(format!("last version: {}", quote(said))),
        Ok(_) => NotYet("last answer: 200 with JSON that has no version".into()),
        Err(_) => NotYet("last answer: 200 without JSON".into()),
    }
}

/// Judges a container by itself: Docker's own health state; without one, that it has run for a while without a
/// restart. `steady` is how long that has been seen so far.
pub fn container(seen: &Container, steady: Duration) -> Verdict {
    let alive = alive(seen);
    if alive == Hopeless(seen.describe()) || !seen.is_running() {
        return alive;
    }
    match seen.health() {
        Some(("healthy", _)) => Healthy("healthy, says Docker".into()),
        Some(("unhealthy", output)) => Hopeless(with_output("unhealthy, says Docker", &output)),
        Some((_, output)) => NotYet(with_output("starting, says Docker", &output)),
        None if steady >= STEADY => Healthy(format!("running for {} s without a restart", STEADY.as_secs())),
        None => NotYet("running, for too short a time".into()),
    }
}

/// Whether a container may still answer one day: [`Verdict::Hopeless`] when it has ended or ends again and again.
pub fn alive(seen: &Container) -> Verdict {
    let ended = matches!(seen.status(), "exited" | "dead" | "removing" | "created");
    // One that runs at this moment may end once more: then it says with which status, which is what helps.
    match ended || seen.restart_count > RESTARTS_TOLERATED + u64::from(seen.is_running()) {
        true => Hopeless(seen.describe()),
        false => NotYet(seen.describe()),
    }
}

fn with_output(what: &str, output: &str) -> String {
    match output {
        "" => what.into(),
        output => format!("{what}: {}", quote(output)),
    }
}

/// The beginning of a text that somebody else wrote.
fn quote(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ok(body: &str) -> Answer {
        Ok((200, body.as_bytes().to_vec()))
    }

    #[test]
    fn only_200_with_the_deployed_version_is_healthy() {
        for (body, verdict) in [
            (
                r#"{"status":"ok","version":"0.5.61"}"#,
                Healthy("healthy at 0.5.61".into()),
            ),
            (r#"{"version":"0.5.60"}"#, NotYet("last version: 0.5.60".into())),
            (r#"{"version":"0.5.610"}"#, NotYet("last version: 0.5.610".into())),
            (
                r#"{"version":0.5}"#,
                NotYet("last answer: 200 with JSON that has no version".into()),
            ),
            (
                r#"["0.5.61"]"#,
                NotYet("last answer: 200 with JSON that has no version".into()),
            ),
            ("0.5.61", NotYet("last answer: 200 without JSON".into())),
            ("", NotYet("last answer: 200 without JSON".into())),
        ] {
            assert_eq!(answer(&ok(body), Some("0.5.61")), verdict, "{body}");
        }
        let right = br#"{"version":"0.5.61"}"#.to_vec();
        for status in [201, 204, 302, 404, 502] {
            let judged = answer(&Ok((status, right.clone())), Some("0.5.61"));
            assert_eq!(judged, NotYet(format!("last answer: {status}")));
        }
    }

    #[test]
    fn with_status_any_200_is_healthy_and_nothing_else() {
        let judge = |given: Answer| answer(&given, None);
        assert_eq!(judge(ok("anything")), Healthy("healthy".into()));
        assert_eq!(judge(Ok((503, Vec::new()))), NotYet("last answer: 503".into()));
        assert_eq!(
            judge(Err("connection refused".into())),
            NotYet("no answer: connection refused".into())
        );
    }

    #[test]
    fn a_long_version_is_cut() {
        let body = json!({"version": "\u{e9}".repeat(5000)}).to_string();
        let NotYet(said) = answer(&ok(&body), Some("1.0.0")) else {
            panic!()
        };
        assert_eq!(said.chars().count(), "last version: ".len() + MAX_QUOTE + 3);
    }

    fn seen(status: &str, restarts: u64, health: Option<&str>) -> Container {
        let mut state = json!({"Status": status, "ExitCode": 3});
        if let Some(word) = health {
            state["Health"] = json!({"Status": word, "Log": [{"Output": "curl: (7)\n"}]});
        }
        let id = format!("sha256:{}", "ab".repeat(32));
        serde_json::from_value(
            json!({"Id": "3f2a", "Name": "/app", "Image": id, "RestartCount": restarts,
            "State": state, "Config": {"Image": "x"}, "HostConfig": {}}),
        )
        .unwrap()
    }

    #[test]
    fn dockers_word_counts_where_there_is_a_health_check() {
        let judge = |word| container(&seen("running", 0, Some(word)), Duration::ZERO);
        assert_eq!(judge("healthy"), Healthy("healthy, says Docker".into()));
        assert_eq!(
            judge("unhealthy"),
            Hopeless("unhealthy, says Docker: curl: (7)".into())
        );
        assert!(matches!(judge("starting"), NotYet(_)) && matches!(judge("splendid"), NotYet(_)));
    }

    #[test]
    fn without_a_health_check_it_must_run_for_a_while() {
        for health in [None, Some("none")] {
            let judge = |steady| container(&seen("running", 0, health), steady);
            assert!(matches!(judge(STEADY - Duration::from_millis(1)), NotYet(_)));
            assert!(matches!(judge(STEADY), Healthy(_)));
        }
    }

    #[test]
    fn what_has_ended_or_ends_again_and_again_is_hopeless() {
        for (status, restarts, hopeless) in [
            ("exited", 0, true),
            ("dead", 0, true),
            ("created", 0, true),
            ("running", 0, false),
            ("paused", 0, false),
            ("restarting", RESTARTS_TOLERATED, false),
            ("running", RESTARTS_TOLERATED, false),
            ("running", RESTARTS_TOLERATED + 1, false),
            ("running", RESTARTS_TOLERATED + 2, true),
            ("restarting", RESTARTS_TOLERATED + 1, true),
        ] {
            let container_is = container(&seen(status, restarts, Some("healthy")), STEADY);
            assert_eq!(
                matches!(container_is, Hopeless(_)),
                hopeless,
                "{status} {restarts}"
            );
            assert_eq!(
                matches!(alive(&seen(status, restarts, None)), Hopeless(_)),
                hopeless,
                "{status} {restarts}"
            );
        }
    }
}
