//! `history`: every run that is kept, as a table or a line of JSON each. `runs`: the same table, or the list that everyone
//! may read.
//!
//! The table is made from the runs' own folders, which only root may enter, so it tells more than that list: the CI job's
//! number, the workflow, the commit that the token names.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::arguments::Arguments;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::settings_source;
use crate::cli::show::{GREEN, RED, Show, date_and_clock_of, took};
use crate::config::{Config, Places};
use crate::event::{Outcome, Status, harmless};
use crate::limits::MAX_PUBLIC_FILE;
use crate::os::files::{describe, read_bounded};
use crate::os::places;
use crate::queue::list::{self, Run, State};
use crate::queue::{RunRequest, ensure_published};

/// Digits of a commit in the table.
const SHORT_SHA: usize = 12;

/// `history`.
///
/// # Errors
/// When the runs' folders cannot be read.
pub fn history(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let config = settings_source::load(arguments.env_file())?.config;
    places::prepare(&config.places)?;
    let entries = entries(&config.places)?;
    match Show::on_stdout(arguments) {
        Show::Json => output::print(&entries.iter().map(line).collect::<String>()),
        show => output::print(&table(&entries, show)),
    }
}

/// `runs`; as JSON the document of `GET /runs`.
///
/// # Errors
/// When it cannot be read.
pub fn runs(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let config = settings_source::load(arguments.env_file())?.config;
    places::prepare(&config.places)?;
    match Show::on_stdout(arguments) {
        Show::Json => output::print(&document(&config)?),
        show => output::print(&table(&entries(&config.places)?, show)),
    }
}

/// The document of `GET /runs`, made anew where it is missing.
fn document(config: &Config) -> Result<String, String> {
    let path = config.places.public().join("runs.json");
    ensure_published(&config.places, config.runs.keep)
        .and_then(|()| read_bounded(&path, MAX_PUBLIC_FILE))
        .and_then(|text| Ok(serde_json::from_slice::<Value>(&text)?))
        .map(|document| format!("{document}\n"))
        .map_err(|error| describe(&error, "read", &path))
}

fn entries(places: &Places) -> Result<Vec<Run>, String> {
    list::list(places).map_err(|error| describe(&error, "list the runs in", &places.runs))
}

/// The run whose turn it is and those that wait, as rows of the table.
///
/// # Errors
/// When the runs' folders cannot be read.
pub fn at_work(places: &Places, show: Show) -> Result<String, String> {
    let live = list::live(places).map_err(|error| describe(&error, "list", &places.queue()))?;
    Ok(laid_out(live.iter().map(row).collect(), show))
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
    NotEnded(Map<String, Value>),
}

fn line(entry: &Run) -> String {
    let order = &entry.order;
    let line = Line {
        course: match &entry.state {
            State::Ended(record) => Course::Ended(&record.outcome),
            State::Running(since) => not_ended(order, "running", Some(since)),
            State::Queued => not_ended(order, "queued", None),
            State::Dead => not_ended(order, "dead", None),
        },
        endpoint: &order.endpoint,
        accepted_at: &order.accepted_at,
        origin: order.origin.details(),
    };
    // Strings, numbers and maps with string keys: serialising them cannot fail.
    format!("{}\n", serde_json::to_string(&line).unwrap_or_default())
}

fn not_ended<'a>(order: &RunRequest, state: &str, started_at: Option<&String>) -> Course<'a> {
    let (version, sha) = order.names();
    let members = [
        ("state", Some(json!(state))),
        ("run_id", Some(json!(order.run_id))),
        ("version", version.map(Value::from)),
        ("sha", sha.map(Value::from)),
        ("module", order.module().map(Value::from)),
        ("started_at", started_at.cloned().map(Value::from)),
        ("dry_run", order.dry_run().then_some(json!(true))),
    ];
    let members = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Course::NotEnded(members.collect())
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

fn table(entries: &[Run], show: Show) -> String {
    if entries.is_empty() {
        return "no run yet\n".to_owned();
    }
    let head = [HEAD.map(str::to_owned)].into_iter();
    laid_out(head.chain(entries.iter().map(row)).collect(), show)
}

fn laid_out(rows: Vec<Row>, show: Show) -> String {
    let widths = [0, 1, 2, 3, 4, 5, 6, 7].map(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    });
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let padded = match column {
                TOOK => format!("{cell:>width$}  "),
                _ => format!("{cell:width$}  "),
            };
            line += &match (column, cell.get(..2)) {
                (OUTCOME, Some("ok")) => show.coloured(&padded, GREEN),
                (OUTCOME, Some("FA")) => show.coloured(&padded, RED),
                _ => padded,
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn row(entry: &Run) -> Row {
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

/// Who asked: a user of this host, or whoever the token says, and in which CI job.
fn who(origin: &Value) -> String {
    let text = |name: &str| match &origin[name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    if origin["from"] == "local" {
        return format!("{} on this host", text("user").unwrap_or_default());
    }
    let who = text("actor").or_else(|| text("user_login"));
    let place = text("repository").or_else(|| text("project_path"));
    let parts = [
        (" of ", place),
        (", CI run ", text("run_id")),
        (", attempt ", text("run_attempt")),
    ];
    let parts = parts
        .into_iter()
        .filter_map(|(before, part)| Some(format!("{before}{}", part?)));
    parts.fold(who.unwrap_or("a token".to_owned()), |text, part| text + &part)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "terraform")]
    use crate::config::Job;
    #[cfg(feature = "terraform")]
    use crate::gate::TerraformTask;
    use crate::gate::{DeployTask, Task};
    use crate::queue::record::{End, Publication, Record};
    use crate::queue::{Origin, RunId};
    use std::time::{Duration, UNIX_EPOCH};

    fn entry(sha: Option<&str>, error: Option<&str>, more: Value) -> Run {
        let task = Task::Deploy(DeployTask {
            version: "1.2.3".to_owned().try_into().unwrap(),
            sha: sha.map(|sha| sha.to_owned().try_into().unwrap()),
            dry_run: false,
            force: false,
            rollback: false,
        });
        let id = RunId::parse("20260102T030405Z-0123abcd").unwrap();
        let order = RunRequest::local(task, &id, 0, "root", UNIX_EPOCH);
        let end = End {
            error: error.map(str::to_owned),
            more: more.as_object().cloned().unwrap_or_default(),
            started: UNIX_EPOCH,
            finished: UNIX_EPOCH + Duration::from_millis(12_345),
            publication: Publication::Status,
        };
        let record = Record::new(&order, end);
        Run {
            order,
            state: State::Ended(Box::new(record)),
        }
    }

    #[test]
    fn the_columns_of_the_table_stand_below_each_other() {
        let mut by_token = entry(Some("0123456789abcdef"), Some("no"), json!({"interrupted": true}));
        by_token.order.origin = Origin::Token {
            token: crate::gate::TokenId::of_jti("issuer", "jti"),
            claims:
                json!({"actor": "o\u{1b}[2Jcat", "repository": "a/b", "run_id": "77", "run_attempt": "2"})
                    .as_object()
                    .cloned()
                    .unwrap(),
        };
        let mut queued = entry(None, None, Value::Null);
        queued.state = State::Queued;
        let rows = [queued, entry(None, None, Value::Null), by_token];
        let plain = table(&rows, Show::Plain);
        assert_eq!(
            plain,
            "\
WHEN (UTC)           OUTCOME            ENDPOINT  VERSION  COMMIT          TOOK  RUN                        WHO
1970-01-01 00:00:00  queued             deploy    1.2.3                          20260102T030405Z-0123abcd  root on this host
1970-01-01 00:00:12  ok                 deploy    1.2.3                  12.3 s  20260102T030405Z-0123abcd  root on this host
1970-01-01 00:00:12  FAIL, interrupted  deploy    1.2.3    0123456789ab  12.3 s  20260102T030405Z-0123abcd  o\u{fffd}[2Jcat of a/b, CI run 77, attempt 2
"
        );
        let coloured = table(&rows, Show::Coloured);
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

    #[cfg(feature = "terraform")]
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
            publication: Publication::Status,
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
