//! How lines of a run are shown: as they are, for a program; aligned, for a person on a terminal.
//!
//! A line that is neither an event nor an outcome is shown as it is: it comes from a newer version of this program.

use std::io::{self, IsTerminal};

use serde_json::Value;

use crate::cli::args::Form;
use crate::event::{Outcome, Status, harmless, outcome_of};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As it is.
    Json,
    /// For a person, outcomes in this manner.
    Readable(Colour),
}

/// Whether a colour may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// It may.
    Yes,
    /// It may not: no terminal, or `NO_COLOR` is set (no-color.org).
    No,
}

/// Wide enough for the phases of a deploy.
const PHASE: usize = 10;

/// What is well.
pub const GREEN: &str = "32";

/// What is not.
pub const RED: &str = "31";

impl Show {
    /// How to print to standard output.
    pub fn on_stdout(form: Form) -> Self {
        let terminal = io::stdout().is_terminal();
        let plain = |name, value: &str| {
            std::env::var(name).is_ok_and(|set| set == value || value.is_empty() && !set.is_empty())
        };
        match form {
            Form::Json => Show::Json,
            Form::ByTerminal if !terminal => Show::Json,
            Form::ByTerminal if plain("NO_COLOR", "") || plain("TERM", "dumb") => Show::Readable(Colour::No),
            Form::ByTerminal => Show::Readable(Colour::Yes),
        }
    }

    /// One line of a run, with its newline; nothing for what a person need not see.
    pub fn line(self, line: &str) -> String {
        let Show::Readable(colour) = self else {
            return format!("{line}\n");
        };
        if let Some(outcome) = outcome_of(line) {
            return format!(
                "{} {}\n",
                clock_of(&outcome.finished_at),
                result(&outcome, colour)
            );
        }
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        match (event["phase"].as_str(), event["message"].as_str()) {
            (Some("heartbeat"), _) => String::new(),
            (Some(phase), Some(message)) => {
                let time = clock_of(event["time"].as_str().unwrap_or_default());
                format!("{}\n", harmless(&format!("{time} {phase:PHASE$} {message}")))
            }
            _ => format!("{}\n", harmless(line)),
        }
    }
}

/// The outcome in one line: how, what, why not, how long.
pub fn result(outcome: &Outcome, colour: Colour) -> String {
    let (word, code) = match outcome.status {
        Status::Ok => ("ok", GREEN),
        Status::Fail => ("FAIL", RED),
    };
    let word = coloured(&format!("{word:PHASE$}"), code, colour);
    let what = match (&outcome.version, &outcome.sha) {
        (Some(version), _) => version,
        (None, Some(sha)) => sha,
        (None, None) => &outcome.run_id,
    };
    let dry = if outcome.more.get("dry_run") == Some(&Value::Bool(true)) {
        ", a dry run: nothing was changed"
    } else {
        ""
    };
    let drifted = outcome.more.get("drifted").and_then(Value::as_u64);
    let drifted = drifted.map(|count| format!(", {count} drifted"));
    let why = outcome.error.as_ref().map(|error| format!(": {error}"));
    let rest = format!(
        "{what}{} ({}{dry}{})",
        why.unwrap_or_default(),
        took(outcome.duration_ms),
        drifted.unwrap_or_default()
    );
    format!("{word} {}", harmless(&rest))
}

/// `text` in the colour `code`, where one may be used.
pub fn coloured(text: &str, code: &str, colour: Colour) -> String {
    match colour {
        Colour::Yes => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
        Colour::No => text.to_owned(),
    }
}

/// A duration for a person: `0.4 s`, `73.0 s`.
pub fn took(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

/// `03:04:05` of `2026-01-02T03:04:05.678Z`.
pub fn clock_of(time: &str) -> &str {
    time.get(11..19).unwrap_or("--:--:--")
}

/// `2026-01-02 03:04:05` of the same.
pub fn date_and_clock_of(time: &str) -> String {
    format!("{} {}", time.get(..10).unwrap_or("----------"), clock_of(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOME: &str = r#"{"status":"fail","error":"no such image","version":"0.5.61","started_at":"2026-01-02T03:04:05.678Z","finished_at":"2026-01-02T03:05:05.678Z","duration_ms":60040,"run_id":"20260102T030405Z-0123abcd"}"#;

    #[test]
    fn lines_are_aligned_for_a_person_and_untouched_for_a_program() {
        let event = r#"{"phase":"pull","message":"pull x:1","time":"2026-01-02T03:04:05.678Z"}"#;
        let plain = Show::Readable(Colour::No);
        for (line, shown) in [
            (event, "03:04:05 pull       pull x:1\n"),
            (OUTCOME, "03:05:05 FAIL       0.5.61: no such image (60.0 s)\n"),
            (r#"{"phase":"heartbeat","message":"","time":"x"}"#, ""),
            (
                r#"{"phase":"later","message":"m","time":"x"}"#,
                "--:--:-- later      m\n",
            ),
            ("no json\u{1b}[2J", "no json\u{fffd}[2J\n"),
        ] {
            assert_eq!(plain.line(line), shown);
            assert_eq!(Show::Json.line(line), format!("{line}\n"));
        }
    }

    #[test]
    fn only_the_word_of_an_outcome_is_coloured() {
        let shown = Show::Readable(Colour::Yes).line(OUTCOME);
        assert!(
            shown.contains("\u{1b}[31mFAIL      \u{1b}[0m 0.5.61"),
            "{shown:?}"
        );
        let good = OUTCOME.replace(r#""fail","error":"no such image""#, r#""ok","dry_run":true"#);
        let shown = Show::Readable(Colour::Yes).line(&good);
        assert!(
            shown.contains("\u{1b}[32mok") && shown.contains("dry run"),
            "{shown:?}"
        );
    }
}
