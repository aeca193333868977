//! Waiting for the turn: one run at a time on the host, first come, first served.
//!
//! A run waits until every lower ticket is free and then takes the one `turn` lock. The tickets make the order, the
//! lock makes it certain: whoever completes a dead run holds it too. Nothing here depends on a notification coming.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::config::Places;
use crate::limits::{RETRY, TURN_RETRY};
use crate::os::lock;
use crate::os::poll::{self, For};
use crate::os::watch::Watch;
use crate::queue::folder::turn_path;
use crate::queue::{RunId, ticket};
use crate::run::interrupts::Interrupts;

/// The right to change something on this host. Ends when dropped, or when its holder dies.
#[derive(Debug)]
pub struct Turn {
    _held: File,
}

/// What stands between a run and its turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// Nothing.
    Nothing,
    /// These runs, lowest ticket first.
    Runs(Vec<RunId>),
    /// Somebody completes a dead run.
    Completion,
}

/// How waiting ended.
#[derive(Debug)]
pub enum Waited {
    /// With the turn.
    Turn(Turn),
    /// Somebody asked the run to end.
    Cancelled,
    /// The time was up.
    TooLong(Ahead),
}

/// Waits for the turn behind every ticket lower than `number`, until `until`. `said` hears what is waited for: at once,
/// and whenever it changes.
pub fn wait(
    places: &Places,
    number: u64,
    interrupts: &mut Interrupts,
    until: Instant,
    said: &mut dyn FnMut(&Ahead),
) -> io::Result<Waited> {
    let (mut watch, mut told, mut retry) = (None, None, TURN_RETRY);
    loop {
        let ahead = match live_below(places, number)? {
            Ahead::Nothing if retry == RETRY => Ahead::Completion,
            ahead => ahead,
        };
        if told.is_none() || (ahead != Ahead::Nothing && told.as_ref() != Some(&ahead)) {
            said(&ahead);
            told = Some(ahead.clone());
        }
        if let Ahead::Runs(_) = ahead {
            retry = TURN_RETRY;
        } else {
            if let Some(held) = lock::try_exclusive(&turn_path(places))? {
                return Ok(Waited::Turn(Turn { _held: held }));
            }
            retry = RETRY.min(retry * 2);
        }
        if interrupts.asked() {
            return Ok(Waited::Cancelled);
        }
        if Instant::now() >= until {
            return Ok(Waited::TooLong(ahead));
        }
        match &watch {
            // Looked at once more before the first wait: what changed until now was not seen.
            None => watch = Some(Watch::closed_after_writing(&places.queue())),
            Some(watch) => doze(watch, interrupts, until, patience(&ahead, retry))?,
        }
    }
}

/// A lower ticket wakes us; the turn lock alone does not, and is given back within moments when no run holds it.
fn patience(ahead: &Ahead, retry: Duration) -> Duration {
    match ahead {
        Ahead::Runs(_) => RETRY,
        Ahead::Nothing | Ahead::Completion => retry,
    }
}

fn live_below(places: &Places, number: u64) -> io::Result<Ahead> {
    let mut live = Vec::new();
    for seen in ticket::list(places)? {
        if seen.number < number && seen.is_live()? {
            live.push(seen.id);
        }
    }
    Ok(if live.is_empty() {
        Ahead::Nothing
    } else {
        Ahead::Runs(live)
    })
}

fn doze(watch: &Watch, interrupts: &Interrupts, until: Instant, retry: Duration) -> io::Result<()> {
    let until = until.min(Instant::now() + retry);
    let idle = interrupts.as_fd();
    let seen = watch.descriptor().unwrap_or(idle);
    poll::wait([(idle, For::Reading), (seen, For::Reading)], Some(until))?;
    watch.drain();
    Ok(())
}

impl std::fmt::Display for Ahead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ahead::Nothing => f.write_str("nothing"),
            Ahead::Completion => f.write_str("the completion of an interrupted run"),
            Ahead::Runs(ids) => {
                let ids: Vec<&str> = ids.iter().map(RunId::as_str).collect();
                f.write_str(&ids.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::folder::testing::Scratch;
    use crate::queue::ticket::{Ticket, testing::die};
    use std::time::SystemTime;

    fn ticket(scratch: &Scratch) -> Ticket {
        crate::queue::ticket::testing::make(&scratch.0, &RunId::new(SystemTime::now()).unwrap())
    }

    fn number(ticket: &Ticket) -> u64 {
        ticket.seen().number
    }

    fn wait_for(scratch: &Scratch, number: u64, patience: Duration) -> (Waited, Vec<Ahead>) {
        let mut told = Vec::new();
        let until = Instant::now() + patience;
        let mut say = |ahead: &Ahead| told.push(ahead.clone());
        let waited = wait(&scratch.0, number, &mut Interrupts::deaf(), until, &mut say).unwrap();
        (waited, told)
    }

    #[test]
    fn with_nothing_ahead_the_turn_comes_at_once() {
        let scratch = Scratch::new("turn-free");
        let mine = ticket(&scratch);
        let _behind = ticket(&scratch);
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::ZERO);
        assert!(matches!(waited, Waited::Turn(_)));
        assert_eq!(told, [Ahead::Nothing]);
    }

    #[test]
    fn every_lower_ticket_must_be_free_and_not_only_the_one_before() {
        let scratch = Scratch::new("turn-every");
        let (first, gave_up, mine) = (ticket(&scratch), ticket(&scratch), ticket(&scratch));
        let first_id = first.seen().id.clone();
        let both = vec![first_id.clone(), gave_up.seen().id.clone()];
        die(gave_up);
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::from_millis(50));
        let Waited::TooLong(ahead) = waited else {
            panic!("{waited:?}")
        };
        assert_eq!(ahead, Ahead::Runs(vec![first_id.clone()]));
        assert_eq!(told, [Ahead::Runs(vec![first_id])]);
        assert_ne!(told, [Ahead::Runs(both)]);
        die(first);
        assert!(matches!(
            wait_for(&scratch, number(&mine), Duration::ZERO).0,
            Waited::Turn(_)
        ));
    }

    #[test]
    fn a_holder_that_ends_is_seen_at_once_and_what_is_waited_for_is_told_when_it_changes() {
        let scratch = Scratch::new("turn-wake");
        let (first, second, mine) = (ticket(&scratch), ticket(&scratch), ticket(&scratch));
        let ids = [first.seen().id.clone(), second.seen().id.clone()];
        let gone = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(40));
            die(first);
            std::thread::sleep(Duration::from_millis(40));
            die(second);
            Instant::now()
        });
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::from_secs(9));
        let since = gone.join().unwrap().elapsed();
        assert!(matches!(waited, Waited::Turn(_)));
        assert!(
            since < Duration::from_millis(100),
            "seen {since:?} later: by the timer alone"
        );
        assert_eq!(told, [Ahead::Runs(ids.to_vec()), Ahead::Runs(ids[1..].to_vec())]);
    }

    #[test]
    fn while_a_dead_run_is_completed_nobody_has_the_turn() {
        let scratch = Scratch::new("turn-completion");
        let completer = lock::try_exclusive(&turn_path(&scratch.0)).unwrap().unwrap();
        let mine = ticket(&scratch);
        let (waited, told) = wait_for(&scratch, number(&mine), Duration::from_millis(900));
        assert!(matches!(waited, Waited::TooLong(Ahead::Completion)));
        assert_eq!(told, [Ahead::Nothing, Ahead::Completion]);
        lock::testing::let_go(completer, || !lock::is_held(&turn_path(&scratch.0)).unwrap());
        assert!(matches!(
            wait_for(&scratch, number(&mine), Duration::ZERO).0,
            Waited::Turn(_)
        ));
    }

    #[test]
    fn a_waiting_run_that_is_asked_to_end_does() {
        let scratch = Scratch::new("turn-cancel");
        let (_first, mine) = (ticket(&scratch), ticket(&scratch));
        let mut interrupts = Interrupts::deaf();
        interrupts.task();
        let until = Instant::now() + Duration::from_secs(9);
        let waited = wait(&scratch.0, number(&mine), &mut interrupts, until, &mut |_| {}).unwrap();
        assert!(matches!(waited, Waited::Cancelled));
    }
}
