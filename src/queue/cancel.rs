//! Asking a run to end: a signal to the process that its ticket names, if that is still the one.

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::Places;
use crate::limits::RETRY;
use crate::os::signal::Signal;
use crate::os::{poll, process};
use crate::queue::{RunId, ticket};

/// Why a run could not be asked.
#[derive(Debug)]
pub enum CancelError {
    /// It has ended, or never was.
    NotAtWork,
    /// It is dead, and somebody puts back what it had half done.
    Dead,
    /// Its process has not written itself down yet; asking again in a moment helps.
    JustStarting,
    /// The queue folder or the ticket could not be read.
    Failed(std::io::Error),
}

impl fmt::Display for CancelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CancelError::NotAtWork => f.write_str("no such run is waiting or at work"),
            CancelError::Dead => f.write_str("it is dead already, and is being completed"),
            CancelError::JustStarting => f.write_str("the run is just starting; try again in a moment"),
            CancelError::Failed(error) => write!(f, "read the run's ticket: {error}"),
        }
    }
}

/// How a run is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// To end when nothing is lost by it.
    Gentle,
    /// To end its tool now, whatever that loses. It means something to a run that was asked gently and waits.
    Force,
}

impl Urgency {
    fn signal(self) -> Signal {
        match self {
            Urgency::Gentle => Signal::SIGTERM,
            Urgency::Force => Signal::SIGQUIT,
        }
    }
}

/// A run that has just been started writes itself down within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the run to end. What that means depends on where it is: a waiting run ends; one that has changed nothing stops;
/// any other finishes its step first, unless it is forced. This waits a moment for a run that is just starting, and for
/// nothing that it does.
///
/// # Errors
/// [`CancelError`].
pub fn cancel(places: &Places, id: &RunId, urgency: Urgency) -> Result<(), CancelError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match task(places, id, urgency) {
            Err(CancelError::JustStarting) if Instant::now() < until => {
                poll::wait([], Some(Instant::now() + RETRY)).map_err(CancelError::Failed)?;
            }
            other => return other,
        }
    }
}

fn task(places: &Places, id: &RunId, urgency: Urgency) -> Result<(), CancelError> {
    let seen = ticket::of(places, id)
        .map_err(CancelError::Failed)?
        .ok_or(CancelError::NotAtWork)?;
    if !seen.is_live().map_err(CancelError::Failed)? {
        return Err(CancelError::NotAtWork);
    }
    let notes = seen.notes().map_err(CancelError::Failed)?;
    if notes.completed {
        return Err(CancelError::Dead);
    }
    let holder = notes.holder.ok_or(CancelError::JustStarting)?;
    if !holder.lives() {
        return Err(CancelError::NotAtWork);
    }
    process::signal(holder.pid, urgency.signal());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::folder::testing::Scratch;
    use crate::queue::ticket::{Ticket, testing::die};
    use std::time::SystemTime;

    #[test]
    fn only_a_living_holder_that_is_still_the_same_is_signalled() {
        let scratch = Scratch::new("cancel");
        let id = RunId::new(SystemTime::now()).unwrap();
        assert!(matches!(
            task(&scratch.0, &id, Urgency::Gentle),
            Err(CancelError::NotAtWork)
        ));
        let ticket = Ticket::make(&scratch.0, &id).unwrap();
        assert!(matches!(
            task(&scratch.0, &id, Urgency::Gentle),
            Err(CancelError::JustStarting)
        ));
        // Our own process id with another's start time: were it signalled, this test would end here.
        let path = scratch.0.queue().join(ticket.seen().file_name());
        let line = format!(
            "{{\"holder\":{{\"pid\":{},\"start_time\":1}}}}\n",
            process::own_pid()
        );
        std::fs::write(path, line).unwrap();
        assert!(matches!(
            task(&scratch.0, &id, Urgency::Gentle),
            Err(CancelError::NotAtWork)
        ));
        let dead = ticket.seen().clone();
        die(ticket);
        assert!(matches!(
            task(&scratch.0, &id, Urgency::Gentle),
            Err(CancelError::NotAtWork)
        ));
        // Whoever completes it is not meant.
        let _taken = Ticket::of_the_dead(&scratch.0, &id, Some(&dead)).unwrap();
        assert!(matches!(
            task(&scratch.0, &id, Urgency::Force),
            Err(CancelError::Dead)
        ));
    }
}
