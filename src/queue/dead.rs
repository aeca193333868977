//! Dead runs: admitted, not recorded, and nobody holds their ticket. Who sees one has it completed before anything else
//! changes; how that is done is `crate::runner::complete`'s.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{Places, Settings};
use crate::os::child::{Child, Command, Group};
use crate::os::{lock, settings};
use crate::queue::{RunFolder, RunId, journal, ticket};

/// The longest that a recovery waits for a run that is at work; that run or the next one completes what is dead.
pub const RECOVERY_WAITS: Duration = Duration::from_secs(3600);

/// What a recovery is started with instead of a ticket's name.
pub const RECOVER: &str = "--recover";

/// All of them: first those without a ticket, from before a restart of the host, of which nothing can be at work.
pub fn find(places: &Places) -> io::Result<Vec<RunId>> {
    // In this order: a run's ticket is there before its folder, and its result before the ticket goes.
    let mut dead = RunFolder::all(places)?;
    let tickets = ticket::list(places)?;
    dead.retain(|id| {
        let folder = RunFolder::of(places, id);
        tickets.iter().all(|seen| seen.id != *id) && !folder.has_record() && folder.exists()
    });
    for seen in tickets {
        if !seen.is_live()? {
            dead.push(seen.id);
        }
    }
    Ok(dead)
}

/// Whether there is something to complete: a dead run, or one of which nothing but its journal is left. Where the folders
/// of the runs are in memory, as on Unraid, that is what a power cut leaves of a deploy, and nobody else looks for it until
/// the next one. A journal that cannot be read is no reason: the next run says so and changes nothing.
pub fn something_died(places: &Places) -> io::Result<bool> {
    if !find(places)?.is_empty() {
        return Ok(true);
    }
    let Ok(Some(content)) = journal::read(places) else {
        return Ok(false);
    };
    let id = &content.run_id;
    Ok(!RunFolder::of(places, id).exists() && ticket::of(places, id)?.is_none())
}

/// Starts a process that completes dead runs, if there are any. It is not waited for; a caller that lives on should
/// reap it.
///
/// # Errors
/// When the folders cannot be read or no process can be started.
pub fn ensure_recovered(places: &Places, settings: &Settings) -> io::Result<Option<Child>> {
    if !something_died(places)? {
        return Ok(None);
    }
    Command::role("run")
        .group(Group::Session)
        .argument(RECOVER)
        .logging_as_we_do()
        .descriptor(0, settings::memory_file(settings)?)
        .spawn()
        .map(Some)
}

/// Waits until nobody completes dead runs at this moment.
///
/// # Errors
/// When somebody does for longer than a recovery waits, and those of the machine.
pub fn await_recovery(places: &Places) -> io::Result<()> {
    lock::exclusive_within(&recovering(places), RECOVERY_WAITS).map(drop)
}

/// The lock of the one process that completes dead runs.
pub fn recovering(places: &Places) -> PathBuf {
    places.runtime.join("recover.lock")
}
