//! The words a run speaks: [`Event`] while it works, [`Outcome`] at its end.
//!
//! Both are lines of NDJSON and a contract with every client (golden copies are in `tests/data/wire/`). This module
//! formats; it reads no clock and opens no file.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::limits::MAX_LINE;

/// A stage of a run, as the wire names it. Clients ignore the ones they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waiting for its turn.
    Queued,
    /// Checking everything that can be checked without changing anything.
    Preflight,
    /// Pulling the image.
    Pull,
    /// Making sure that what was pulled is what was asked for.
    Verify,
    /// Moving the `latest` tag.
    Tag,
    /// Writing the new version into a container's template.
    Template,
    /// Replacing a container.
    Update,
    /// Waiting until a container answers as it should.
    Health,
    /// The last lines of a container that failed.
    Logs,
    /// Putting back what was there before.
    Rollback,
    /// Removing what is no longer needed.
    Cleanup,
    /// Fetching one commit.
    GitFetch,
    /// Preparing a checkout for terraform: providers, modules, the backend.
    TfInit,
    /// Preparing it once more after the network failed.
    TfInitRetry,
    /// Finding out what terraform would change.
    TfPlan,
    /// Changing it.
    TfApply,
    /// What came of a run of terraform.
    Done,
    /// The stream is alive and the run is at work; never in a log.
    Heartbeat,
}

impl fmt::Display for Phase {
    /// As the wire names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One line of progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What the run is doing.
    pub phase: Phase,
    /// One line for a person; control characters already made harmless.
    pub message: String,
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The run, on its first line only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything that was asked for is live.
    Ok,
    /// It is not; `error` says why.
    Fail,
}

/// The last line of a run and its status document: the only line without a `phase`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Ok or fail.
    pub status: Status,
    /// Why it failed, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The deployed version, for a deploy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The commit, when the request named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<String>,
    /// RFC 3339, UTC, milliseconds.
    pub started_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub finished_at: String,
    /// From start to finish, in milliseconds.
    pub duration_ms: u64,
    /// The run.
    pub run_id: String,
    /// Further members of this kind of run (`dry_run`, `interrupted`, `cancelled`, ...).
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl Outcome {
    /// What is special about how it ended, behind a word for that; nothing for most.
    pub fn notes(&self) -> String {
        let is = |name: &str, value: bool| self.more.get(name) == Some(&Value::Bool(value));
        let put_back = self.more.get("rolled_back").and_then(Value::as_array);
        let mut versions: Vec<&str> = put_back
            .into_iter()
            .flatten()
            .filter_map(|one| one["to"].as_str())
            .collect();
        versions.dedup();
        let back = format!(", rolled back to {}", versions.join(" and "));
        let notes = [
            (!versions.is_empty() && !is("rollback_failed", true), &*back),
            (is("rollback_failed", true), ", ROLLBACK FAILED"),
            (is("interrupted", true), ", interrupted"),
            (is("cancelled", true), ", cancelled"),
            (is("changed", false), ", unchanged"),
        ];
        let holding = notes.into_iter().filter(|(holds, _)| *holds);
        holding.map(|(_, note)| note).collect()
    }
}

/// A duration for a person: `0.4 s`, `73.0 s`.
pub fn took(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

/// An event or an outcome as a line, without its newline.
pub fn to_line(value: &impl Serialize) -> String {
    // Strings, numbers and maps with string keys: serialising them cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// The outcome in `line`, when it is the last line of a run; `None` for an event.
pub fn outcome_of(line: &str) -> Option<Outcome> {
    serde_json::from_str(line).ok()
}

/// Behind what was cut.
pub const CUT: &str = " ... (cut)";

/// `text`, cut at [`MAX_LINE`] bytes, and saying so.
pub fn bounded(text: &str) -> String {
    if text.len() <= MAX_LINE {
        return text.to_owned();
    }
    let end = (0..=MAX_LINE).rfind(|at| text.is_char_boundary(*at));
    let end = end.unwrap_or(0);
    format!("{}{CUT}", &text[..end])
}

/// `text` as it may stand in a log or a stream: one line, no control characters, no invalid UTF-8.
///
/// A tool's output, a claim or a header reaches terminals and CI logs; escape sequences in it must not act there.
pub fn harmless(text: &str) -> String {
    // Nearly every line, and there may be hundreds of thousands.
    if text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return text.to_owned();
    }
    text.replace(is_harmful, "\u{fffd}")
}

fn is_harmful(c: char) -> bool {
    // Tab is kept; C0, DEL, C1, line and paragraph separators, and the bidirectional overrides are not.
    (c.is_control() && c != '\t')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_special_about_the_end_is_said() {
        let two = json!([{"container": "a", "to": "1.0.0"}, {"container": "b", "to": "1.0.0"}]);
        for (more, expected) in [
            (json!({}), ""),
            (json!({"changed": false}), ", unchanged"),
            (json!({"changed": true}), ""),
            (json!({"rolled_back": []}), ""),
            (
                json!({"rolled_back": two, "interrupted": true}),
                ", rolled back to 1.0.0, interrupted",
            ),
            (
                json!({"rolled_back": two, "rollback_failed": true}),
                ", ROLLBACK FAILED",
            ),
            (json!({"cancelled": true}), ", cancelled"),
        ] {
            let mut ended: Value = json!({"status": "fail", "started_at": "", "finished_at": "", "duration_ms": 1, "run_id": "x"});
            ended
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            assert_eq!(outcome_of(&ended.to_string()).unwrap().notes(), expected);
        }
    }
}
