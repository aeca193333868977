//! What has become of every run that is kept, from its own folder: more than the public list tells, for the operator.
//!
//! Reads, and changes nothing. The order in which runs ended counts, not that in which they were asked for.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use crate::config::Places;
use crate::event::{Event, Phase};
use crate::os::clock;
use crate::os::files::optional;
use crate::queue::record::Record;
use crate::queue::ticket::Seen;
use crate::queue::{RunFolder, RunId, RunRequest, ticket};

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// What was asked for, by whom, when.
    pub order: RunRequest,
    /// What has become of it.
    pub state: State,
}

/// What has become of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Its turn came at this time (RFC 3339), and it is at work.
    Running(String),
    /// It waits for its turn.
    Queued,
    /// It was interrupted, and nobody has completed it yet.
    Dead,
    /// It has ended.
    Ended(Box<Record>),
}

/// Every run with a folder: those at work, then those that ended, the latest first. A folder that cannot be read is
/// left out with a warning.
///
/// # Errors
/// When the folders of all runs cannot be listed.
pub fn entries(places: &Places) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for id in RunFolder::all(places)? {
        match entry(places, &id) {
            Ok(entry) => found.extend(entry),
            Err(error) => log::warn!("run {id} is left out: {error}"),
        }
    }
    // The sort is stable, so runs that wait stand in the order in which they were asked for.
    found.sort_by(|one, other| {
        let ((rank, ended), (other_rank, other_ended)) = (one.state.place(), other.state.place());
        rank.cmp(&other_rank).then_with(|| other_ended.cmp(&ended))
    });
    Ok(found)
}

impl State {
    /// Its place in the list: the rank, and for those that ended when they did.
    fn place(&self) -> (u8, (u64, &str)) {
        match self {
            State::Running(_) => (0, (0, "")),
            State::Queued => (1, (0, "")),
            State::Dead => (2, (0, "")),
            State::Ended(record) => (3, record.lateness()),
        }
    }
}

fn entry(places: &Places, id: &RunId) -> io::Result<Option<Entry>> {
    let folder = RunFolder::of(places, id);
    // The ticket before the result: a run that ends in between is then seen to have ended.
    let ticket = ticket::of(places, id)?;
    let live = ticket.as_ref().map_or(Ok(false), Seen::is_live)?;
    let started = ticket.map_or(Ok(None), |seen| seen.started(places))?;
    let Some(order) = folder.order()? else {
        return Ok(None);
    };
    let state = match (folder.record()?, live, started) {
        (Some(record), _, _) => State::Ended(Box::new(record)),
        (None, true, Some(started)) => State::Running(clock::rfc3339(started)),
        (None, true, None) => State::Queued,
        (None, false, _) => State::Dead,
    };
    Ok(Some(Entry { order, state }))
}

/// Whether the log of a run has a line of `phase`; a log that is gone has none.
///
/// # Errors
/// When the log cannot be read.
pub fn came_to(places: &Places, id: &RunId, phase: Phase) -> io::Result<bool> {
    let Some(log) = optional(File::open(RunFolder::of(places, id).log()))? else {
        return Ok(false);
    };
    for line in BufReader::new(log).lines() {
        let event: Option<Event> = serde_json::from_str(&line?).ok();
        if event.is_some_and(|event| event.phase == phase) {
            return Ok(true);
        }
    }
    Ok(false)
}
