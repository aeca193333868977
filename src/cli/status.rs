//! `status`: how the last deploy and the last runs of terraform ended, from the files that everyone may read, and what runs
//! now.

use serde_json::Value;

use crate::cli::arguments::Arguments;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::show::{Show, date_and_clock_of};
use crate::cli::{history, settings_source};
use crate::config::{Config, Job};
use crate::event::{Outcome, Status, harmless, outcome_of};
use crate::limits::MAX_PUBLIC_FILE;
use crate::os::files::{describe, optional, read_bounded};
use crate::os::places;
use crate::queue::ensure_published;

/// Prints it; as JSON the document of `GET /status`.
///
/// # Errors
/// When the files cannot be read.
pub fn status(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let config = settings_source::load(arguments.env_file())?.config;
    places::prepare(&config.places)?;
    ensure_published(&config.places, config.runs.keep)
        .map_err(|error| format!("publish the last results: {error}"))?;
    let last = last_outcome(&config, Job::Deploy)?;
    let text = match (Show::on_stdout(arguments), &last) {
        (Show::Json, last) => last
            .iter()
            .map(|outcome| format!("{}\n", outcome.line()))
            .collect(),
        (show, last) => {
            let deploy = match last {
                None => "no deploy has finished yet\n".to_owned(),
                Some(outcome) => readable(outcome, show),
            };
            deploy + &terraform(&config, show)? + &history::at_work(&config.places, show)?
        }
    };
    output::print(&text)?;
    Ok(match last.map(|outcome| outcome.status) {
        None => ExitStatus::Unable,
        Some(Status::Ok) => ExitStatus::Done,
        Some(Status::Fail) => ExitStatus::Failed,
    })
}

fn last_outcome(config: &Config, job: Job) -> Result<Option<Outcome>, String> {
    let path = config.places.public().join(format!("{}.json", job.name()));
    let text = optional(read_bounded(&path, MAX_PUBLIC_FILE));
    let Some(text) = text.map_err(|error| describe(&error, "read", &path))? else {
        return Ok(None);
    };
    let outcome = outcome_of(&String::from_utf8_lossy(&text));
    outcome.map(Some).ok_or_else(|| {
        format!(
            "{} is not what we wrote; remove it, and it is made anew",
            path.display()
        )
    })
}

/// What terraform did last, of each kind that was ever done.
fn terraform(config: &Config, show: Show) -> Result<String, String> {
    let mut text = String::new();
    if config.terraform.is_none() {
        return Ok(text);
    }
    for job in [Job::TfApply, Job::TfPlan, Job::TfDrift] {
        if let Some(outcome) = last_outcome(config, job)? {
            let module = outcome.more.get("module").and_then(Value::as_str);
            let module = module.map(|module| format!(" {module}")).unwrap_or_default();
            let name = harmless(&format!("{}{module}", job.name()));
            text += &format!("{name}: {}", readable(&outcome, show));
        }
    }
    Ok(text)
}

fn readable(outcome: &Outcome, show: Show) -> String {
    format!(
        "{}\nfinished   {} UTC, run {}\n",
        show.result(outcome),
        date_and_clock_of(&outcome.finished_at),
        outcome.run_id
    )
}
