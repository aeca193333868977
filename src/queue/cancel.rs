//! Asking a run to end: a signal to the process that its ticket names, if that is still the one.

use std::io;
use std::time::{Duration, Instant};

use crate::config::Places;
use crate::limits::RETRY;
use crate::os::signal::Signal;
use crate::os::{poll, process};
use crate::queue::notes::{Notes, Process};
use crate::queue::{RunId, ticket};

/// How a run is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// To end when nothing is lost by it.
    Gentle,
    /// To end its tool now, whatever that loses. It means something to a run that was asked gently and waits.
    Force,
}

/// A run that has just been started writes itself down within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

const ENDED: &str = "no such run is waiting or at work";
const STARTING: &str = "the run is just starting; try again in a moment";
const DEAD: &str = "it is dead already, and is being completed";

/// Asks the run to end. What that means depends on where it is: a waiting run ends; one that has changed nothing stops;
/// any other finishes its step first, unless it is forced. This waits a moment for a run that is just starting, and for
/// nothing that it does.
///
/// # Errors
/// Why it could not be asked.
pub fn cancel(places: &Places, id: &RunId, urgency: Urgency) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask(places, id, urgency) {
            Err(why) if why == STARTING && Instant::now() < until => {
                poll::wait([], Some(Instant::now() + RETRY)).map_err(unread)?;
            }
            other => return other,
        }
    }
}

fn unread(error: io::Error) -> String {
    format!("read the run's ticket: {error}")
}

fn ask(places: &Places, id: &RunId, urgency: Urgency) -> Result<(), String> {
    let ticket = ticket::of(places, id).map_err(unread)?.ok_or(ENDED)?;
    if !ticket.is_live().map_err(unread)? {
        return Err(ENDED.to_owned());
    }
    let notes = Notes::of(Some(&ticket)).map_err(unread)?;
    if notes.completed {
        return Err(DEAD.to_owned());
    }
    let holder = notes.holder.ok_or(STARTING)?;
    if Process::of(holder.pid) != Some(holder) {
        return Err(ENDED.to_owned());
    }
    let signal = match urgency {
        Urgency::Gentle => Signal::SIGTERM,
        Urgency::Force => Signal::SIGQUIT,
    };
    process::signal(holder.pid, signal);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::folder::testing::Scratch;
    use crate::queue::notes::HeldTicket;
    use crate::queue::ticket::testing::die;
    use std::time::SystemTime;

    #[test]
    fn only_a_living_holder_that_is_still_the_same_is_signalled() {
        let scratch = Scratch::new("cancel");
        let id = RunId::new(SystemTime::now()).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(ENDED.into()));
        let (lock, file) = ticket::make(&scratch.0, &id).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(STARTING.into()));
        // Our own process id with another's start time: were it signalled, this test would end here.
        let path = scratch.0.queue().join(file.file_name());
        let line = format!(
            "{{\"holder\":{{\"pid\":{},\"start_time\":1}}}}\n",
            process::own_pid()
        );
        std::fs::write(path, line).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(ENDED.into()));
        die(&file, lock);
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(ENDED.into()));
        // Whoever completes it is not meant.
        let _taken = HeldTicket::of_the_dead(&scratch.0, &id).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Force), Err(DEAD.into()));
    }
}
