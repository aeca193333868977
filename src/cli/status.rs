//! `status`: how the last deploy and the last runs of terraform ended, and what runs now, from the files that everyone may
//! read.

use std::path::Path;

use serde_json::Value;

use crate::cli::args::Form;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::show::{Colour, Show, date_and_clock_of, result};
use crate::cli::{settings_source, runs};
use crate::config::{Config, Job};
use crate::event::{Outcome, Status, harmless, outcome_of};
use crate::limits::MAX_PUBLIC_FILE;
use crate::os::files::{describe, optional, read_bounded};

/// Prints it; with [`Form::Json`] the document of `GET /status`.
///
/// # Errors
/// When the files cannot be read.
pub fn status(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let loaded = settings_source::load(env_file)?;
    let runs = runs::document(&loaded.config)?;
    let last = last(&loaded.config, Job::Deploy)?;
    match (Show::on_stdout(form), &last) {
        (Show::Json, None) => {}
        (Show::Json, Some(outcome)) => drop(output::print(&format!("{}\n", outcome.line()))?),
        (Show::Readable(colour), last) => {
            let terraform = terraform(&loaded.config, colour)?;
            let text = deploy(last.as_ref(), colour) + &terraform + &runs::at_work(&runs);
            output::print(&text)?;
        }
    }
    Ok(match last.map(|outcome| outcome.status) {
        None => ExitStatus::Unable,
        Some(Status::Ok) => ExitStatus::Done,
        Some(Status::Fail) => ExitStatus::Failed,
    })
}

fn last(config: &Config, job: Job) -> Result<Option<Outcome>, String> {
    let path = config.places.public().join(format!("{}.json", job.name()));
    let text =
        optional(read_bounded(&path, MAX_PUBLIC_FILE)).map_err(|error| describe(&error, "read", &path))?;
    let Some(text) = text else { return Ok(None) };
    outcome_of(&String::from_utf8_lossy(&text))
        .map(Some)
        .ok_or_else(|| {
            format!(
                "{} is not what we wrote; remove it, and it is made anew",
                path.display()
            )
        })
}

fn deploy(last: Option<&Outcome>, colour: Colour) -> String {
    match last {
        None => "no deploy has finished yet\n".to_owned(),
        Some(outcome) => readable(outcome, colour),
    }
}

/// What terraform did last, of each kind that was ever done.
fn terraform(config: &Config, colour: Colour) -> Result<String, String> {
    let mut text = String::new();
    if config.terraform.is_none() {
        return Ok(text);
    }
    for job in [Job::TfApply, Job::TfPlan, Job::TfDrift] {
        if let Some(outcome) = last(config, job)? {
            let module = outcome.more.get("module").and_then(Value::as_str);
            let module = module.map(|module| format!(" {module}")).unwrap_or_default();
            let name = harmless(&format!("{}{module}", job.name()));
            text += &format!("{name}: {}", readable(&outcome, colour));
        }
    }
    Ok(text)
}

fn readable(outcome: &Outcome, colour: Colour) -> String {
    format!(
        "{}\nfinished   {} UTC, run {}\n",
        result(outcome, colour),
        date_and_clock_of(&outcome.finished_at),
        outcome.run_id
    )
}
