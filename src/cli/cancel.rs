//! `cancel`: asks a run to end.

use crate::cli::arguments::Arguments;
use crate::cli::commands::FORCE;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::{follow, settings_source};
use crate::os::places;
use crate::queue::{self, Urgency};

/// Asks it, and does not wait for what it does.
///
/// # Errors
/// When it has ended, or never was.
pub fn cancel(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let id = follow::run_id(arguments)?;
    let config = settings_source::load(arguments.env_file())?.config;
    places::prepare(&config.places)?;
    let (urgency, how) = match arguments.has(&FORCE) {
        false => (Urgency::Gentle, "asked to end"),
        true => (Urgency::Force, "told to end now"),
    };
    queue::cancel(&config.places, &id, urgency).map_err(|error| format!("cancel run {id}: {error}"))?;
    output::print(&format!(
        "run {id} was {how}; `engram-deployer log -f {id}` shows what it does\n"
    ))
}
