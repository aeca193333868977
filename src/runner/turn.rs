//! Waiting for the turn: one run at a time on the host, first come, first served.
//!
//! A run waits until every lower ticket is free and then takes the one `turn` lock. The tickets make the order, the
//! lock makes it certain: whoever completes a dead run holds it too. Nothing here depends on a notification coming.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::Places;
use crate::limits::{COMPLETION_AFTER, RETRY, TURN_RETRY};
use crate::os::lock;
use crate::os::poll::{self, For};
use crate::os::watch::Watch;
use crate::queue::ticket;
use crate::run::interrupts::Interrupts;
use crate::run::{Failure, HumanDuration, Result};

/// The lock of the one run that has its turn.
fn turn_path(places: &Places) -> PathBuf {
    places.runtime.join("turn")
}

/// Waits for the turn behind every ticket lower than `number`: the right to change something on this host. It ends when what
/// this returns is dropped, or its holder dies. `said` hears what is waited for, or nothing: at once, and whenever it
/// changes.
///
/// # Errors
/// [`Failure::Cancelled`]; [`Failure::Failed`] when it took longer than `longest`, and when the queue cannot be read.
pub fn wait(
    places: &Places,
    number: u64,
    interrupts: &mut Interrupts,
    longest: Duration,
    said: &mut dyn FnMut(&str),
) -> Result<File> {
    let until = Instant::now() + longest;
    let mut watch = None;
    let mut told = None;
    // Since when no run has been ahead: then only the lock is waited for, which is given back within moments unless
    // somebody completes a dead run.
    let mut first_since = None;
    loop {
        let runs = live_below(places, number)?;
        let now = Instant::now();
        let ahead = if !runs.is_empty() {
            first_since = None;
            runs.join(", ")
        } else if now - *first_since.get_or_insert(now) < COMPLETION_AFTER {
            String::new()
        } else {
            "the completion of an interrupted run".to_owned()
        };
        if told.is_none() || (!ahead.is_empty() && told.as_ref() != Some(&ahead)) {
            said(&ahead);
            told = Some(ahead.clone());
        }
        if first_since.is_some()
            && let Some(held) = lock::try_exclusive(&turn_path(places))?
        {
            return Ok(held);
        }
        if interrupts.asked() {
            return Err(Failure::Cancelled);
        }
        if now >= until {
            let waited = HumanDuration(longest);
            return Err(Failure::Failed(format!(
                "waited {waited} for its turn behind {ahead}"
            )));
        }
        let Some(watch) = &watch else {
            // Looked at once more before the first wait: what changed until now was not seen.
            watch = Some(Watch::on(&places.queue()));
            continue;
        };
        // A lower ticket that goes wakes us; a lock that is given back does not.
        let retry = first_since.map_or(RETRY, |since| (now - since).clamp(TURN_RETRY, RETRY));
        let idle = interrupts.as_fd();
        let changed = watch.descriptor().unwrap_or(idle);
        let sources = [idle, changed].map(|one| (one, For::Reading));
        poll::wait(sources, Some(until.min(now + retry)))?;
        watch.drain();
    }
}

/// The living runs with a lower ticket, in order.
fn live_below(places: &Places, number: u64) -> io::Result<Vec<String>> {
    let mut live = Vec::new();
    for seen in ticket::list(places)? {
        if seen.number < number && seen.is_live()? {
            live.push(seen.id.to_string());
        }
    }
    Ok(live)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RunId;
    use crate::queue::folder::testing::Scratch;
    use crate::queue::notes::HeldTicket;
    use crate::queue::notes::testing::die;
    use std::time::SystemTime;

    fn ticket(scratch: &Scratch) -> HeldTicket {
        crate::queue::notes::testing::hold(&scratch.0, &RunId::new(SystemTime::now()).unwrap())
    }

    fn number(ticket: &HeldTicket) -> u64 {
        ticket.file.number
    }

    fn wait_for(scratch: &Scratch, number: u64, patience: Duration) -> (Result<File>, Vec<String>) {
        let mut told = Vec::new();
        let mut say = |ahead: &str| told.push(ahead.to_owned());
        let waited = wait(
            &scratch.0,
            number,
            &mut Interrupts::deaf().unwrap(),
            patience,
            &mut say,
        );
        (waited, told)
    }

    #[test]
    fn with_nothing_ahead_the_turn_comes_at_once() {
        let scratch = Scratch::new("turn-free");
        let mine = ticket(&scratch);
        let _behind = ticket(&scratch);
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::ZERO);
        assert!(waited.is_ok());
        assert_eq!(told, [""]);
    }

    #[test]
    fn every_lower_ticket_must_be_free_and_not_only_the_one_before() {
        let scratch = Scratch::new("turn-every");
        let (first, gave_up, mine) = (ticket(&scratch), ticket(&scratch), ticket(&scratch));
        let first_id = first.file.id.clone();
        die(gave_up);
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::from_millis(50));
        let expected = format!("waited 50ms for its turn behind {first_id}");
        assert_eq!(waited.unwrap_err().to_string(), expected);
        assert_eq!(told, [first_id.to_string()]);

        die(first);
        assert!(wait_for(&scratch, number(&mine), Duration::ZERO).0.is_ok());
    }

    #[test]
    fn a_holder_that_ends_is_seen_at_once_and_what_is_waited_for_is_told_when_it_changes() {
        let scratch = Scratch::new("turn-wake");
        let (first, second, mine) = (ticket(&scratch), ticket(&scratch), ticket(&scratch));
        let ids = [first.file.id.clone(), second.file.id.clone()];
        let gone = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(40));
            die(first);
            std::thread::sleep(Duration::from_millis(40));
            die(second);
            Instant::now()
        });
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::from_secs(9));
        let since = gone.join().unwrap().elapsed();
        assert!(waited.is_ok());
        assert!(
            since < Duration::from_millis(100),
            "seen {since:?} later: by the timer alone"
        );
        assert_eq!(told, [format!("{}, {}", ids[0], ids[1]), ids[1].to_string()]);
    }

    #[test]
    fn while_a_dead_run_is_completed_nobody_has_the_turn() {
        let scratch = Scratch::new("turn-completion");
        let completer = lock::try_exclusive(&turn_path(&scratch.0)).unwrap().unwrap();
        let mine = ticket(&scratch);
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::from_millis(900));
        let error = waited.unwrap_err().to_string();
        assert!(
            error.ends_with("behind the completion of an interrupted run"),
            "{error}"
        );
        assert_eq!(told, ["", "the completion of an interrupted run"]);
        lock::testing::let_go(completer, || !lock::is_held(&turn_path(&scratch.0)).unwrap());
        assert!(wait_for(&scratch, number(&mine), Duration::ZERO).0.is_ok());
    }

    #[test]
    fn a_waiting_run_that_is_asked_to_end_does() {
        let scratch = Scratch::new("turn-cancel");
        let (_first, mine) = (ticket(&scratch), ticket(&scratch));
        let mut interrupts = Interrupts::deaf().unwrap();
        interrupts.ask_in(Duration::ZERO);
        let longest = Duration::from_secs(9);
        let waited = wait(&scratch.0, number(&mine), &mut interrupts, longest, &mut |_| {});
        assert_eq!(waited.unwrap_err(), Failure::Cancelled);
    }
}
