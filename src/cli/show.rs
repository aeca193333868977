//! How lines of a run are shown: as they are, for a program; aligned, for a person on a terminal.
//!
//! A line that is neither an event nor an outcome is shown as it is: it comes from a newer version of this program.

use std::io::{self, IsTerminal};

use serde_json::Value;

use super::Args;
use super::commands::JSON;
use crate::event::{Outcome, Status, harmless, outcome_of, took};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// As it is.
    Json,
    /// For a person.
    Plain,
    /// For a person, outcomes in colour.
    Coloured,
}

/// Wide enough for the phases of a deploy.
const PHASE: usize = 10;

impl Show {
    /// How to print to standard output: JSON where it was asked for or is no terminal; no colour where `NO_COLOR` is set
    /// (no-color.org).
    pub fn on_stdout(args: &Args) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        if args.has(&JSON) || !io::stdout().is_terminal() {
            Show::Json
        } else if !variable("NO_COLOR").is_empty() || variable("TERM") == "dumb" {
            Show::Plain
        } else {
            Show::Coloured
        }
    }

    /// One line of a run, with its newline; nothing for what a person need not see.
    pub fn line(self, line: &str) -> String {
        if self == Show::Json {
            return format!("{line}\n");
        }
        if let Some(outcome) = outcome_of(line) {
            return format!("{} {}\n", clock_of(&outcome.finished_at), self.result(&outcome));
        }
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        let text = |name: &str| event[name].as_str();
        match (text("phase"), text("message")) {
            (Some("heartbeat"), _) => String::new(),
            (Some(phase), Some(message)) => {
                let time = clock_of(text("time").unwrap_or_default());
                harmless(&format!("{time} {phase:PHASE$} {message}")) + "\n"
            }
            _ => harmless(line) + "\n",
        }
    }

    /// The outcome in one line: how, what, why not, how long.
    pub fn result(self, outcome: &Outcome) -> String {
        let what = outcome.version.as_ref().or(outcome.sha.as_ref());
        let mut text = what.unwrap_or(&outcome.run_id).clone();
        if let Some(error) = &outcome.error {
            text += &format!(": {error}");
        }
        text += &format!(" ({}", took(outcome.duration_ms));
        if outcome.more.get("dry_run") == Some(&Value::Bool(true)) {
            text += ", a dry run: nothing was changed";
        }
        if let Some(count) = outcome.more.get("drifted").and_then(Value::as_u64) {
            text += &format!(", {count} drifted");
        }
        let word = self.coloured(&format!("{:PHASE$}", word(outcome.status)));
        format!("{word} {})", harmless(&text))
    }

    /// `text`, which begins with an outcome's [`word`] or with something else, in the colour of that.
    pub fn coloured(self, text: &str) -> String {
        match (self, text.get(..2)) {
            (Show::Coloured, Some("ok")) => format!("\u{1b}[32m{text}\u{1b}[0m"),
            (Show::Coloured, Some("FA")) => format!("\u{1b}[31m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

/// How a run ended, for a person.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Fail => "FAIL",
    }
}

/// `03:04:05` of `2026-01-02T03:04:05.678Z`.
fn clock_of(time: &str) -> &str {
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
        let plain = Show::Plain;
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
        let shown = Show::Coloured.line(OUTCOME);
        assert!(
            shown.contains("\u{1b}[31mFAIL      \u{1b}[0m 0.5.61"),
            "{shown:?}"
        );
        let good = OUTCOME.replace(r#""fail","error":"no such image""#, r#""ok","dry_run":true"#);
        let shown = Show::Coloured.line(&good);
        assert!(
            shown.contains("\u{1b}[32mok") && shown.contains("dry run"),
            "{shown:?}"
        );
    }
}
