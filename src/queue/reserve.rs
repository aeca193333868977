//! Room in the queue: [`reserve`] makes a ticket and a run folder, [`Reservation::start`] gives both to a run.
//!
//! A reservation is undone when it is dropped, so that a token which turns out to be used leaves nothing behind. When
//! its process dies instead, the ticket is free and the token unremembered, by which [`crate::queue::dead`] knows it.

use std::fs::{self, File};
use std::io;

use crate::config::{Places, Settings};
use crate::gate::Authority;
use crate::os::child::{Command, Group};
use crate::os::{descriptor, settings};
use crate::queue::folder::lock_queue;
use crate::queue::ticket::{self, TicketFile};
use crate::queue::{Origin, RunFolder, RunId, RunRequest};

/// A place in the queue, with its run folder.
pub struct Reservation {
    places: Places,
    order: RunRequest,
    ticket: TicketFile,
    /// The ticket's; `None` once the run has it.
    lock: Option<File>,
}

/// Takes the next place and writes down what is asked for; `None` when `queue_max` runs wait already. Starts nothing.
///
/// # Errors
/// When a folder, file or lock failed: a sentence for the log. Nothing is left behind then.
pub fn reserve(places: &Places, queue_max: u32, order: RunRequest) -> Result<Option<Reservation>, String> {
    let failed = |error: io::Error| format!("make a place in the queue: {error}");
    let Some((lock, ticket)) = make_ticket(places, queue_max, &order.run_id).map_err(failed)? else {
        return Ok(None);
    };
    let reservation = Reservation {
        places: places.clone(),
        order,
        ticket,
        lock: Some(lock),
    };
    let folder = RunFolder::of(places, reservation.id());
    folder.create(&reservation.order).map_err(failed)?;
    Ok(Some(reservation))
}

fn make_ticket(places: &Places, queue_max: u32, id: &RunId) -> io::Result<Option<(File, TicketFile)>> {
    let _alone = lock_queue(places)?;
    // Tickets that were never finished: they are made under the lock that is ours now.
    for entry in fs::read_dir(places.queue())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with('.') {
            fs::remove_file(entry.path())?;
        }
    }
    let mut live = 0;
    for seen in ticket::list(places)? {
        live += u32::from(seen.is_live()?);
    }
    // The lowest of them runs; the others wait.
    if live > queue_max {
        return Ok(None);
    }
    ticket::make(places, id).map(Some)
}

impl Reservation {
    /// The run it is for.
    pub fn id(&self) -> &RunId {
        &self.order.run_id
    }

    /// Starts the run, in a process of its own that outlives this one. Our copy of the ticket is closed when this
    /// returns, so that the ticket is free when the run ends, whatever becomes of us.
    ///
    /// # Errors
    /// When no process could be started. The run is admitted all the same: it is dead, and recorded as such by whoever
    /// sees it. An authority over another run starts none.
    pub fn start(mut self, authority: Authority, settings: &Settings) -> io::Result<RunId> {
        if authority.run_id() != self.id().as_str() {
            return Err(io::Error::other("the authority is over another run"));
        }
        let lock = self.lock.take();
        let mut run = Command::role("run")
            .group(Group::Session)
            .argument(self.ticket.file_name())
            .descriptor(0, settings::memory_file(settings)?);
        if let Some(lock) = lock {
            run = run.descriptor(descriptor::FIRST, lock);
        }
        // Its complaints are about the machine. The standard error of who types a command is a terminal, or a pipe that must
        // not stay open as long as the run.
        if matches!(self.order.origin, Origin::Token { .. }) {
            run = run.logging_as_we_do();
        }
        run.spawn()?;
        Ok(self.order.run_id.clone())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.lock.is_none() {
            return;
        }
        // The folder first: one without a ticket would look like a dead run.
        let removed = RunFolder::of(&self.places, &self.order.run_id)
            .remove()
            .and_then(|()| self.ticket.remove());
        if let Err(error) = removed {
            log::warn!("undo the reservation of run {}: {error}", self.order.run_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::folder::testing::{Scratch, order};
    use crate::queue::ticket::testing::die;
    use std::time::SystemTime;

    fn reserve(places: &Places, most: u32) -> Result<Option<Reservation>, String> {
        super::reserve(places, most, order(&RunId::new(SystemTime::now()).unwrap()))
    }

    #[test]
    fn an_authority_over_another_run_starts_none() {
        let scratch = Scratch::new("queue-authority");
        let reservation = reserve(&scratch.0, 1).unwrap().unwrap();
        let other = Authority::of_operator("20260102T030405Z-0123abcd");
        let started = reservation.start(other, &Settings::default());
        assert!(started.unwrap_err().to_string().contains("another run"));
        assert_eq!(fs::read_dir(scratch.0.queue()).unwrap().count(), 0);
    }

    #[test]
    fn a_dropped_reservation_leaves_nothing_behind() {
        let scratch = Scratch::new("queue-drop");
        let reservation = reserve(&scratch.0, 1).unwrap().unwrap();
        let folder = RunFolder::of(&scratch.0, reservation.id());
        assert_eq!(folder.order().unwrap().unwrap().run_id, *reservation.id());
        assert!(
            ticket::of(&scratch.0, reservation.id())
                .unwrap()
                .unwrap()
                .is_live()
                .unwrap()
        );
        drop(reservation);
        assert!(!folder.exists());
        assert_eq!(fs::read_dir(scratch.0.queue()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_queue_refuses_and_dead_tickets_take_no_room() {
        let scratch = Scratch::new("queue-full");
        let held: Vec<Reservation> = (0..3).map(|_| reserve(&scratch.0, 2).unwrap().unwrap()).collect();
        assert!(reserve(&scratch.0, 2).unwrap().is_none());
        for mut reservation in held {
            // As if its process had died.
            die(&reservation.ticket, reservation.lock.take());
        }
        assert_eq!(ticket::list(&scratch.0).unwrap().len(), 3);
        assert!(reserve(&scratch.0, 2).unwrap().is_some());
    }

    #[test]
    fn what_a_dying_session_left_of_a_ticket_is_swept() {
        let scratch = Scratch::new("queue-sweep");
        fs::write(scratch.0.queue().join(".20260102T030405Z-01234567"), b"").unwrap();
        let _held = reserve(&scratch.0, 2).unwrap();
        assert_eq!(fs::read_dir(scratch.0.queue()).unwrap().count(), 1);
    }

    #[test]
    fn a_reservation_that_cannot_have_its_folder_gives_its_ticket_back() {
        let scratch = Scratch::new("queue-nofolder");
        fs::remove_dir_all(&scratch.0.runs).unwrap();
        assert!(reserve(&scratch.0, 2).is_err());
        assert_eq!(fs::read_dir(scratch.0.queue()).unwrap().count(), 0);
    }
}
