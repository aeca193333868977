//! What is at work and what waits at this moment, for `serve`: it goes only when there is neither, and tells its starter.
//!
//! Seen from the tickets, because only a lock knows who lives; what is published may be a dead run's.

use std::fmt;
use std::io;

use crate::config::Places;
use crate::queue::{RunFolder, RunId, ticket};

/// The runs that live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Whose turn it is, and its endpoint.
    running: Option<(RunId, String)>,
    /// How many hold a ticket and wait.
    waiting: usize,
}

/// Looks at every ticket.
///
/// # Errors
/// When the queue's folder cannot be read.
pub fn present(places: &Places) -> io::Result<Present> {
    let mut present = Present::default();
    for seen in ticket::list(places)? {
        if !seen.is_live()? {
            continue;
        }
        let folder = RunFolder::of(places, &seen.id);
        match seen.started(places) {
            Ok(Some(_)) => {
                let order = folder.order().ok().flatten();
                present.running = Some((seen.id, order.map_or_else(String::new, |order| order.endpoint)));
            }
            _ => present.waiting += 1,
        }
    }
    Ok(present)
}

impl Present {
    /// Whether nobody holds a ticket.
    pub fn is_nothing(&self) -> bool {
        self.running.is_none() && self.waiting == 0
    }
}

impl fmt::Display for Present {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.running {
            Some((id, endpoint)) => write!(f, "run {id} ({endpoint}) is at work")?,
            None => write!(f, "nothing runs")?,
        }
        match self.waiting {
            0 => Ok(()),
            waiting => write!(f, ", {waiting} in the queue"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::folder::testing::{Scratch, order};
    use crate::queue::reserve;
    use std::time::SystemTime;

    #[test]
    fn what_holds_a_ticket_is_present_and_what_is_dead_is_not() {
        let scratch = Scratch::new("present");
        let seen = || present(&scratch.0).unwrap();
        assert!(seen().is_nothing());
        assert_eq!(seen().to_string(), "nothing runs");
        let reserve = || reserve(&scratch.0, 5, order(&RunId::new(SystemTime::now()).unwrap())).unwrap();
        let first = reserve();
        assert!(!seen().is_nothing());
        assert_eq!(seen().to_string(), "nothing runs, 1 in the queue");
        let ticket = ticket::of(&scratch.0, first.id()).unwrap().unwrap().file_name();
        std::fs::write(scratch.0.queue().join(&ticket), "{\"turn\":1}\n").unwrap();
        let second = reserve();
        let id = first.id().clone();
        assert_eq!(
            seen().to_string(),
            format!("run {id} (deploy) is at work, 1 in the queue")
        );
        drop(second);
        assert_eq!(seen().to_string(), format!("run {id} (deploy) is at work"));
        drop(first);
        // As a run that was killed leaves it: there, and nobody's.
        std::fs::write(scratch.0.queue().join(ticket), "").unwrap();
        assert!(seen().is_nothing());
    }
}
