//! `status`, `runs`, `history`: what runs, what ran, who asked for it, and what became of it.
//!
//! The table is made from the runs' own folders, which only root may enter, so it tells more than the documents that
//! everyone may read: the CI job's number, the workflow, the commit that the token names.

use std::array::from_fn;
use std::io;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::show::{date_and_clock_of, word};
use super::{Args, ExitStatus, Result, Show, load, print};
use crate::config::{Config, Places};
use crate::event::{Outcome, harmless, to_line, took};
use crate::limits::MAX_PUBLIC_FILE;
use crate::os::files::{describe, optional, read_bounded};
use crate::queue::list::{self, Run, State};
use crate::queue::publish::not_ended;
use crate::queue::{Origin, ensure_published};

/// `status`: how the last deploy and the last runs of terraform ended, and what runs now; as JSON the document of
/// `GET /status`.
pub fn status(args: &Args) -> Result {
    let config = load(args)?.config;
    let last: Option<Outcome> = document(&config, "deploy")?;
    let text = match (Show::on_stdout(args), &last) {
        (Show::Json, last) => last.iter().map(|outcome| to_line(outcome) + "\n").collect(),
        (show, last) => {
            let deploy = match last {
                None => "no deploy has finished yet\n".to_owned(),
                Some(outcome) => readable(outcome, show),
            };
            #[cfg(feature = "terraform")]
            let deploy = deploy + &super::terraform::last_results(&config, show)?;
            let live = list::live(&config.places);
            let live = live.map_err(|error| describe(&error, "list", &config.places.queue()))?;
            deploy + &laid_out(live.iter().map(row).collect(), show)
        }
    };
    print(&text)?;
    Ok(last.map_or(ExitStatus::Unable, |outcome| outcome.status.into()))
}

/// `runs`: the last runs as a table; as JSON the document of `GET /runs`.
pub fn runs(args: &Args) -> Result {
    let config = load(args)?.config;
    print(&match Show::on_stdout(args) {
        Show::Json => format!("{}\n", document::<Value>(&config, "runs")?.unwrap_or_default()),
        show => table(&kept(&config.places)?, show),
    })
}

/// `history`: the same table; as JSON a line for every run that is kept.
pub fn history(args: &Args) -> Result {
    let runs = kept(&load(args)?.config.places)?;
    print(&match Show::on_stdout(args) {
        Show::Json => runs.iter().map(line).collect(),
        show => table(&runs, show),
    })
}

pub fn kept(places: &Places) -> Result<Vec<Run>, String> {
    list::list(places).map_err(|error| describe(&error, "list the runs in", &places.runs))
}

/// The public document `name`, made anew after a restart of the host.
pub fn document<T: DeserializeOwned>(config: &Config, name: &str) -> Result<Option<T>, String> {
    let path = config.places.public().join(format!("{name}.json"));
    let read = || -> io::Result<Option<T>> {
        ensure_published(&config.places, config.runs.keep)?;
        let text = optional(read_bounded(&path, MAX_PUBLIC_FILE))?;
        Ok(text.map(|text| serde_json::from_slice(&text)).transpose()?)
    };
    read().map_err(|error| describe(&error, "read", &path))
}

/// An outcome in two lines.
pub fn readable(outcome: &Outcome, show: Show) -> String {
    let (result, when) = (show.result(outcome), date_and_clock_of(&outcome.finished_at));
    format!("{result}\nfinished   {when} UTC, run {}\n", outcome.run_id)
}

/// A run as a line of JSON.
fn line(run: &Run) -> String {
    let order = &run.order;
    let origin = order.origin.details();
    if let State::Ended(record) = &run.state {
        return record.line(&origin, Some(&order.accepted_at)) + "\n";
    }
    let mut members = not_ended(run);
    members["state"] = json!(word_of(&run.state));
    members["origin"] = origin;
    if order.dry_run() {
        members["dry_run"] = json!(true);
    }
    format!("{members}\n")
}

pub fn word_of(state: &State) -> &'static str {
    match state {
        State::Running(_) => "running",
        State::Queued => "queued",
        State::Dead => "dead",
        State::Ended(_) => "ended",
    }
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

fn table(runs: &[Run], show: Show) -> String {
    if runs.is_empty() {
        return "no run yet\n".to_owned();
    }
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(runs.iter().map(row));
    laid_out(rows, show)
}

fn laid_out(rows: Vec<Row>, show: Show) -> String {
    let widths: [usize; 8] = from_fn(|column| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    });
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            line += &match column {
                OUTCOME => show.coloured(&format!("{cell:width$}  ")),
                TOOK => format!("{cell:>width$}  "),
                _ => format!("{cell:width$}  "),
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn row(run: &Run) -> Row {
    let order = &run.order;
    let (version, sha) = order.names();
    let (when, mut outcome, took) = match &run.state {
        State::Ended(record) => {
            let ended = &record.outcome;
            let outcome = word(ended.status).to_owned() + &ended.notes();
            (&ended.finished_at, outcome, took(ended.duration_ms))
        }
        State::Running(since) => (since, "running".to_owned(), String::new()),
        state => (&order.accepted_at, word_of(state).to_owned(), String::new()),
    };
    if order.dry_run() {
        outcome += ", dry run";
    }
    let module = order.module().map(|module| format!(" {module}"));
    let cells = [
        date_and_clock_of(when),
        outcome,
        order.endpoint.clone() + &module.unwrap_or_default(),
        version.unwrap_or_default(),
        sha.unwrap_or_default().chars().take(12).collect(),
        took,
        order.run_id.to_string(),
        who(&order.origin),
    ];
    cells.map(|cell| harmless(&cell))
}

/// Who asked: a user of this host, or whoever the token says, and in which CI job.
fn who(origin: &Origin) -> String {
    let claims = match origin {
        Origin::Local { user, .. } => return format!("{user} on this host"),
        Origin::Token { claims, .. } => claims,
    };
    let text = |name: &str| match claims.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let user = text("actor").or(text("user_login"));
    let mut who = user.unwrap_or("a token".to_owned());
    for (before, part) in [
        (" of ", text("repository").or(text("project_path"))),
        (", CI run ", text("run_id")),
        (", attempt ", text("run_attempt")),
    ] {
        who.extend(part.map(|part| format!("{before}{part}")));
    }
    who
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "terraform")]
    use crate::config::Job;
    #[cfg(feature = "terraform")]
    use crate::gate::TerraformTask;
    use crate::gate::{DeployTask, Task};
    use crate::queue::record::Record;
    use crate::queue::{RunId, RunRequest};
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
        let finished = UNIX_EPOCH + Duration::from_millis(12_345);
        let mut record = Record::new(&order, UNIX_EPOCH, finished);
        record.outcome.more = more.as_object().cloned().unwrap_or_default();
        error.iter().for_each(|error| record.fail(error));
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
        let record = Record::new(&queued.order, UNIX_EPOCH, UNIX_EPOCH);
        assert_eq!(record.outcome.more["module"], "dashboard");
    }
}
