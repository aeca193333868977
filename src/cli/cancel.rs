//! `cancel`: asks a run to end.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::commands::Verb;
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::cli::{follow, given};
use crate::config::Places;
use crate::limits::RETRY;
use crate::os::{places, poll};
use crate::run::{self, CancelError, RunId, Urgency};

/// A run that has just been started writes itself down within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks it, and does not wait for what it does.
///
/// # Errors
/// When it has ended, or never was.
pub fn cancel(env_file: Option<&Path>, run: &str, urgency: Urgency) -> Result<Exit, Trouble> {
    let id = follow::run_id(run, Verb::Cancel)?;
    let given = given::config(env_file)?;
    places::prepare(&given.config.places)?;
    ask(&given.config.places, &id, urgency).map_err(|error| format!("cancel run {id}: {error}"))?;
    let how = match urgency {
        Urgency::Gentle => "asked to end",
        Urgency::Force => "told to end now",
    };
    out::print(&format!(
        "run {id} was {how}; `engram-deployer log -f {id}` shows what it does\n"
    ))
}

fn ask(places: &Places, id: &RunId, urgency: Urgency) -> Result<(), CancelError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match run::cancel(places, id, urgency) {
            Err(CancelError::JustStarting) if Instant::now() < until => {
                poll::wait([], Some(Instant::now() + RETRY)).map_err(CancelError::Failed)?;
            }
            other => return other,
        }
    }
}
