//! `cancel`: asks a run to end.

use std::path::Path;

use crate::cli::commands::Verb;
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::cli::{follow, given};
use crate::os::places;
use crate::queue::{self, Urgency};

/// Asks it, and does not wait for what it does.
///
/// # Errors
/// When it has ended, or never was.
pub fn cancel(env_file: Option<&Path>, run: &str, urgency: Urgency) -> Result<Exit, Trouble> {
    let id = follow::run_id(run, Verb::Cancel)?;
    let given = given::config(env_file)?;
    places::prepare(&given.config.places)?;
    queue::cancel(&given.config.places, &id, urgency).map_err(|error| format!("cancel run {id}: {error}"))?;
    let how = match urgency {
        Urgency::Gentle => "asked to end",
        Urgency::Force => "told to end now",
    };
    out::print(&format!(
        "run {id} was {how}; `engram-deployer log -f {id}` shows what it does\n"
    ))
}
