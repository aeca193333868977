//! The list of runs: what has become of each that is kept, from its own ticket and folder.
//!
//! Reads, and changes nothing. The order in which runs ended counts, not that in which they were asked for. What is
//! published may be a dead run's; only a ticket's lock says who lives.

use std::cmp::Reverse;
use std::io;

use crate::config::Places;
use crate::os::clock;
use crate::queue::notes::Notes;
use crate::queue::record::Record;
use crate::queue::ticket::{self, TicketFile};
use crate::queue::{RunFolder, RunId, RunRequest};

/// One run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// What was asked for, by whom, when.
    pub order: RunRequest,
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
pub fn list(places: &Places) -> io::Result<Vec<Run>> {
    // The tickets before the results: a run that ends in between is then seen to have ended.
    let tickets = ticket::list(places)?;
    let ids = RunFolder::all(places)?.into_iter();
    let ticket = |id: &RunId| tickets.iter().find(|ticket| ticket.id == *id);
    let mut found: Vec<Run> = ids.filter_map(|id| readable(places, &id, ticket(&id))).collect();
    // The sort is stable, so runs that wait stand in the order in which they were asked for.
    found.sort_by_cached_key(|run| match &run.state {
        State::Running(_) => (0, None),
        State::Queued => (1, None),
        State::Dead => (2, None),
        // Clocks may step back, the number of those that ended does not.
        State::Ended(record) => (
            3,
            Some(Reverse((record.sequence, record.outcome.finished_at.clone()))),
        ),
    });
    Ok(found)
}

/// The runs that hold a ticket, in the order of the queue. Cheap: one folder of tickets.
///
/// # Errors
/// When the queue's folder or a lock in it cannot be read.
pub fn live(places: &Places) -> io::Result<Vec<Run>> {
    let mut found = Vec::new();
    for ticket in ticket::list(places)? {
        if ticket.is_live()? {
            found.extend(readable(places, &ticket.id, Some(&ticket)));
        }
    }
    Ok(found)
}

/// `live` runs in one line: for a service manager's status.
pub fn summary(live: &[Run]) -> String {
    let is_running = |run: &&Run| matches!(run.state, State::Running(_));
    let running = match live.iter().find(is_running) {
        Some(run) => format!("run {} ({}) is at work", run.order.run_id, run.order.endpoint),
        None => "nothing runs".to_owned(),
    };
    match live.iter().filter(|run| run.state == State::Queued).count() {
        0 => running,
        waiting => format!("{running}, {waiting} in the queue"),
    }
}

fn readable(places: &Places, id: &RunId, ticket: Option<&TicketFile>) -> Option<Run> {
    let run = read(&RunFolder::of(places, id), ticket);
    run.unwrap_or_else(|error| {
        log::warn!("run {id} is left out: {error}");
        None
    })
}

fn read(folder: &RunFolder, ticket: Option<&TicketFile>) -> io::Result<Option<Run>> {
    let live = ticket.map_or(Ok(false), TicketFile::is_live)?;
    let turn = Notes::of(ticket)?.turn;
    let Some(order) = folder.order()? else {
        return Ok(None);
    };
    let state = match (folder.record()?, live, turn) {
        (Some(record), _, _) => State::Ended(Box::new(record)),
        (None, true, Some(started)) => State::Running(clock::rfc3339(started)),
        (None, true, None) => State::Queued,
        (None, false, _) => State::Dead,
    };
    Ok(Some(Run { order, state }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing::{Scratch, order};
    use crate::queue::{Reservation, reserve};
    use std::time::SystemTime;

    #[test]
    fn what_holds_a_ticket_is_live_and_what_is_dead_is_not() {
        let scratch = Scratch::new("list-live");
        let summary = || super::summary(&live(&scratch.0).unwrap());
        assert_eq!(summary(), "nothing runs");
        let reserve = || -> Reservation {
            let id = RunId::new(SystemTime::now()).unwrap();
            reserve(&scratch.0, 5, order(&id)).unwrap().unwrap()
        };
        let first = reserve();
        assert_eq!(summary(), "nothing runs, 1 in the queue");
        let ticket = ticket::of(&scratch.0, first.id()).unwrap().unwrap().file_name();
        std::fs::write(
            scratch.0.queue().join(&ticket),
            "{\"turn\":{\"secs_since_epoch\":1,\"nanos_since_epoch\":0}}\n",
        )
        .unwrap();
        let second = reserve();
        let id = first.id().clone();
        assert_eq!(summary(), format!("run {id} (deploy) is at work, 1 in the queue"));
        drop(second);
        assert_eq!(summary(), format!("run {id} (deploy) is at work"));
        drop(first);
        // As a run that was killed leaves it: there, and nobody's.
        std::fs::write(scratch.0.queue().join(ticket), "").unwrap();
        assert!(live(&scratch.0).unwrap().is_empty());
    }
}
