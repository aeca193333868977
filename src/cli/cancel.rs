//! `cancel`: asks a run to end.

use std::path::Path;

use crate::cli::commands::Verb;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::{follow, settings_source};
use crate::os::places;
use crate::run::{self, Urgency};

/// Asks it, and does not wait for what it does.
///
/// # Errors
/// When it has ended, or never was.
pub fn cancel(env_file: Option<&Path>, run: &str, urgency: Urgency) -> Result<ExitStatus, CommandError> {
    let id = follow::run_id(run, Verb::Cancel)?;
    let loaded = settings_source::load(env_file)?;
    places::prepare(&loaded.config.places)?;
    run::cancel(&loaded.config.places, &id, urgency).map_err(|error| format!("cancel run {id}: {error}"))?;
    let how = match urgency {
        Urgency::Gentle => "asked to end",
        Urgency::Force => "told to end now",
    };
    output::print(&format!(
        "run {id} was {how}; `engram-deployer log -f {id}` shows what it does\n"
    ))
}
