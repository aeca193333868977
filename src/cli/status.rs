//! `status`: how the last deploy and the last runs of terraform ended, from the files that everyone may read, and what runs
//! now.

use crate::cli::arguments::Arguments;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::show::{Show, date_and_clock_of};
use crate::cli::{history, settings_source};
use crate::config::{Config, Job};
use crate::event::{Outcome, Status, outcome_of};
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
            #[cfg(feature = "terraform")]
            let deploy = deploy + &super::terraform::last_results(&config, show)?;
            deploy + &history::at_work(&config.places, show)?
        }
    };
    output::print(&text)?;
    Ok(match last.map(|outcome| outcome.status) {
        None => ExitStatus::Unable,
        Some(Status::Ok) => ExitStatus::Done,
        Some(Status::Fail) => ExitStatus::Failed,
    })
}

pub fn last_outcome(config: &Config, job: Job) -> Result<Option<Outcome>, String> {
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

pub fn readable(outcome: &Outcome, show: Show) -> String {
    format!(
        "{}\nfinished   {} UTC, run {}\n",
        show.result(outcome),
        date_and_clock_of(&outcome.finished_at),
        outcome.run_id
    )
}
