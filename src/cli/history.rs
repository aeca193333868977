//! `history`: every run that is kept, as a table or a line of JSON each.
//!
//! It reads the runs' own folders, which only root may enter, so it tells more than `runs`: the CI job's number, the
//! workflow, the commit that the token names.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::args::Form;
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::cli::show::{Colour, GREEN, RED, Show, coloured, date_and_clock_of, took};
use crate::cli::{given, runs};
use crate::event::{Outcome, Status, harmless};
use crate::os::places;
use crate::queue::list::{Entry, State, entries};
use crate::queue::{RunId, RunRequest};

/// Digits of a commit in the table.
const SHORT_SHA: usize = 12;

/// Prints it.
///
/// # Errors
/// When the runs' folders cannot be read.
pub fn history(env_file: Option<&Path>, form: Form) -> Result<Exit, Trouble> {
    let given = given::config(env_file)?;
    places::prepare(&given.config.places)?;
    let entries = entries(&given.config.places).map_err(|error| {
        let folder = given.config.places.runs.display();
        format!("list the runs in {folder}: {error}")
    })?;
    match Show::on_stdout(form) {
        Show::Json => out::print(&entries.iter().map(line).collect::<String>()),
        Show::Readable(_) if entries.is_empty() => out::print("no run yet\n"),
        Show::Readable(colour) => out::print(&table(&entries, colour)),
    }
}

/// One run as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    course: Course<'a>,
    endpoint: &'a str,
    accepted_at: &'a str,
    origin: Value,
}

/// The members of the run's last line, where there is one.
#[derive(Serialize)]
#[serde(untagged)]
enum Course<'a> {
    Ended(&'a Outcome),
    NotEnded {
        state: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sha: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        module: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        started_at: Option<&'a str>,
        run_id: &'a RunId,
        #[serde(skip_serializing_if = "Option::is_none")]
        dry_run: Option<bool>,
    },
}

fn line(entry: &Entry) -> String {
    let order = &entry.order;
    let (version, sha) = order.names();
    let not_ended = |state, started_at| Course::NotEnded {
        state,
        version: version.as_deref(),
        sha: sha.as_deref(),
        module: order.module(),
        started_at,
        run_id: &order.run_id,
        dry_run: order.dry_run().then_some(true),
    };
    let line = Line {
        course: match &entry.state {
            State::Ended(record) => Course::Ended(&record.outcome),
            State::Running(since) => not_ended("running", Some(since)),
            State::Queued => not_ended("queued", None),
            State::Dead => not_ended("dead", None),
        },
        endpoint: &order.endpoint,
        accepted_at: &order.accepted_at,
        origin: order.origin.details(),
    };
    // Strings, numbers and maps with string keys: serialising them cannot fail.
    format!("{}\n", serde_json::to_string(&line).unwrap_or_default())
}

/// The cells of one run.
type Row = [String; 8];

const HEAD: [&str; 8] = [
    "WHEN (UTC)",
    "OUTCOME",
    "ENDPOINT",
    "VERSION",
    "COMMIT",
    "TOOK",
    "RUN",
    "WHO",
];

/// The column with the outcome, which is coloured.
const OUTCOME: usize = 1;

/// The column with the duration, whose points stand below each other.
const TOOK: usize = 5;

fn table(entries: &[Entry], colour: Colour) -> String {
    let rows: Vec<Row> = [HEAD.map(str::to_owned)]
        .into_iter()
        .chain(entries.iter().map(row))
        .collect();
    let widths = [0, 1, 2, 3, 4, 5, 6, 7].map(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    });
    rows.iter().map(|row| laid_out(row, &widths, colour)).collect()
}

fn laid_out(row: &Row, widths: &[usize; 8], colour: Colour) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
        let padded = match column {
            TOOK => format!("{cell:>width$}  "),
            _ => format!("{cell:width$}  "),
        };
        let code = match (column, cell.get(..2)) {
            (OUTCOME, Some("ok")) => Some(GREEN),
            (OUTCOME, Some("FA")) => Some(RED),
            _ => None,
        };
        text += &code.map_or(padded.clone(), |code| coloured(&padded, code, colour));
    }
    format!("{}\n", text.trim_end())
}

fn row(entry: &Entry) -> Row {
    let order = &entry.order;
    let (version, sha) = order.names();
    let (when, mut outcome, took) = match &entry.state {
        State::Ended(record) => {
            let ended = &record.outcome;
            (
                ended.finished_at.as_str(),
                outcome(ended),
                took(ended.duration_ms),
            )
        }
        State::Running(since) => (since.as_str(), "running".to_owned(), String::new()),
        State::Queued => (order.accepted_at.as_str(), "queued".to_owned(), String::new()),
        State::Dead => (order.accepted_at.as_str(), "dead".to_owned(), String::new()),
    };
    if order.dry_run() {
        outcome.push_str(", dry run");
    }
    let sha = sha.unwrap_or_default();
    let cells = [
        date_and_clock_of(when),
        outcome,
        endpoint(order),
        version.unwrap_or_default(),
        sha.chars().take(SHORT_SHA).collect(),
        took,
        order.run_id.to_string(),
        who(&order.origin.details()),
    ];
    cells.map(|cell| harmless(&cell))
}

/// The endpoint, and the module where one was named.
fn endpoint(order: &RunRequest) -> String {
    match order.module() {
        Some(module) => format!("{} {module}", order.endpoint),
        None => order.endpoint.clone(),
    }
}

/// How it ended, and what is special about that.
fn outcome(ended: &Outcome) -> String {
    let word = match ended.status {
        Status::Ok => "ok",
        Status::Fail => "FAIL",
    };
    let is = |name: &str, value: Value| ended.more.get(name) == Some(&value);
    let put_back = ended.more.get("rolled_back").and_then(Value::as_array);
    let not_put_back = is("rollback_failed", json!(true));
    let notes = [
        (
            "rolled back",
            !not_put_back && put_back.is_some_and(|list| !list.is_empty()),
        ),
        ("ROLLBACK FAILED", not_put_back),
        ("interrupted", is("interrupted", json!(true))),
        ("cancelled", is("cancelled", json!(true))),
        ("unchanged", is("changed", json!(false))),
    ];
    let notes = notes.into_iter().filter(|(_, holds)| *holds);
    notes.fold(word.to_owned(), |text, (note, _)| format!("{text}, {note}"))
}

/// Who asked, and in which CI job.
fn who(origin: &Value) -> String {
    let number = |name: &str| match &origin[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let mut who = runs::origin(origin);
    if let Some(run) = number("run_id") {
        who += &format!(", CI run {run}");
    }
    if let Some(attempt) = number("run_attempt") {
        who += &format!(", attempt {attempt}");
    }
    who
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Job;
    use crate::gate::{DeployTask, Task, TerraformTask};
    use crate::queue::Origin;
    use crate::queue::record::{End, Record, Shown};
    use std::time::{Duration, UNIX_EPOCH};

    fn entry(sha: Option<&str>, error: Option<&str>, more: Value) -> Entry {
        let task = Task::Deploy(DeployTask {
            version: "1.2.3".to_owned().try_into().unwrap(),
            sha: sha.map(|sha| sha.to_owned().try_into().unwrap()),
            dry_run: false,
            force: false,
        });
        let id = RunId::parse("20260102T030405Z-0123abcd").unwrap();
        let order = RunRequest::local(task, &id, 0, "root", UNIX_EPOCH);
        let end = End {
            error: error.map(str::to_owned),
            more: more.as_object().cloned().unwrap_or_default(),
            started: UNIX_EPOCH,
            finished: UNIX_EPOCH + Duration::from_millis(12_345),
            shown: Shown::Status,
        };
        let record = Record::new(&order, end);
        Entry {
            order,
            state: State::Ended(Box::new(record)),
        }
    }

    #[test]
    fn the_columns_of_the_table_stand_below_each_other() {
        let mut by_token = entry(Some("0123456789abcdef"), Some("no"), json!({"interrupted": true}));
        by_token.order.origin = Origin::Token {
            jti: serde_json::from_value(json!("0".repeat(64))).unwrap(),
            claims:
                json!({"actor": "o\u{1b}[2Jcat", "repository": "a/b", "run_id": "77", "run_attempt": "2"})
                    .as_object()
                    .cloned()
                    .unwrap(),
        };
        let mut queued = entry(None, None, Value::Null);
        queued.state = State::Queued;
        let rows = [queued, entry(None, None, Value::Null), by_token];
        let plain = table(&rows, Colour::No);
        assert_eq!(
            plain,
            "\
WHEN (UTC)           OUTCOME            ENDPOINT  VERSION  COMMIT          TOOK  RUN                        WHO
1970-01-01 00:00:00  queued             deploy    1.2.3                          20260102T030405Z-0123abcd  root on this host
1970-01-01 00:00:12  ok                 deploy    1.2.3                  12.3 s  20260102T030405Z-0123abcd  root on this host
1970-01-01 00:00:12  FAIL, interrupted  deploy    1.2.3    0123456789ab  12.3 s  20260102T030405Z-0123abcd  o\u{fffd}[2Jcat of a/b, CI run 77, attempt 2
"
        );
        let coloured = table(&rows, Colour::Yes);
        assert!(
            coloured.contains("\u{1b}[31mFAIL, interrupted  \u{1b}[0mdeploy"),
            "{coloured:?}"
        );
        assert_eq!(
            coloured
                .replace("\u{1b}[31m", "")
                .replace("\u{1b}[32m", "")
                .replace("\u{1b}[0m", ""),
            plain
        );
    }

    #[test]
    fn a_run_of_terraform_is_known_by_its_endpoint_commit_and_module() {
        let task = Task::Terraform(TerraformTask {
            what: Job::TfApply,
            sha: Some("0123456789abcdef".repeat(3)[..40].to_owned().try_into().unwrap()),
            module: Some("dashboard".into()),
            plan_digest: None,
            allow_destroy: false,
            approved_pr: None,
        });
        let mut queued = entry(None, None, Value::Null);
        queued.state = State::Queued;
        queued.order = RunRequest::local(task, &queued.order.run_id, 0, "root", UNIX_EPOCH);
        let row = row(&queued);
        assert_eq!(row[2..5], ["tf-apply dashboard", "", "0123456789ab"]);
        let line: Value = serde_json::from_str(&line(&queued)).unwrap();
        assert_eq!(
            (&line["endpoint"], &line["module"]),
            (&json!("tf-apply"), &json!("dashboard"))
        );
        let end = End {
            error: None,
            more: serde_json::Map::new(),
            started: UNIX_EPOCH,
            finished: UNIX_EPOCH,
            shown: Shown::Status,
        };
        let record = Record::new(&queued.order, end);
        assert_eq!(record.outcome.more["module"], "dashboard");
    }

    #[test]
    fn the_outcome_says_what_was_special() {
        for (error, more, expected) in [
            (None, json!({}), "ok"),
            (None, json!({"changed": false}), "ok, unchanged"),
            (Some("x"), json!({"rolled_back": []}), "FAIL"),
            (
                Some("x"),
                json!({"rolled_back": [{"container": "a", "to": "1.0.0"}], "interrupted": true}),
                "FAIL, rolled back, interrupted",
            ),
            (
                Some("x"),
                json!({"rolled_back": [{"container": "a", "to": "1.0.0"}], "rollback_failed": true}),
                "FAIL, ROLLBACK FAILED",
            ),
            (Some("x"), json!({"cancelled": true}), "FAIL, cancelled"),
        ] {
            let State::Ended(record) = entry(None, error, more).state else {
                unreachable!()
            };
            assert_eq!(outcome(&record.outcome), expected);
        }
    }
}
