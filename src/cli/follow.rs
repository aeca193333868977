//! Following a run on standard output, and leaving it alone when asked to stop.

use std::os::fd::AsFd;
use std::time::Instant;

use crate::cli::args::Follow;
use crate::cli::commands::Verb;
use crate::cli::given::Given;
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::cli::show::Show;
use crate::cli::words;
use crate::event::{Status, outcome_of};
use crate::gate::Reader;
use crate::limits::RETRY;
use crate::os::poll::{self, For};
use crate::os::signal::{Signal, Signals};
use crate::queue::{Followed, Follower, RunId};

/// How following ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With the run's outcome.
    Outcome(Status),
    /// With everything that is there by now; the run goes on.
    NothingMore,
    /// Somebody asked us, not the run, to stop.
    Stopped,
    /// The run's folder was removed.
    Gone,
}

impl End {
    /// The exit status that says it.
    pub fn exit(self) -> Exit {
        match self {
            End::Outcome(Status::Ok) | End::NothingMore => Exit::Done,
            End::Outcome(Status::Fail) => Exit::Failed,
            End::Stopped | End::Gone => Exit::Unknown,
        }
    }
}

/// A run id as typed.
///
/// # Errors
/// When it cannot be one.
pub fn run_id(typed: &str, verb: Verb) -> Result<RunId, Trouble> {
    RunId::parse(typed).ok_or_else(|| {
        let what = format!("`{typed}` is no run id such as 20260102T030405Z-0123abcd (`runs` lists them)");
        words::error(verb, crate::event::harmless(&what)).into()
    })
}

/// Prints the lines of a run from its first one on.
///
/// # Errors
/// When there is no such run, its log cannot be read, or nobody reads standard output any more.
pub fn follow(given: &Given, id: &RunId, until: Follow, show: Show) -> Result<End, Trouble> {
    let signals = Signals::block(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let reader = Reader::of_operator(id.as_str());
    let mut follower = Follower::open(&given.config.places, reader, &given.settings)
        .ok_or_else(|| format!("there is no run {id}; `engram-deployer runs` lists them"))?;
    let mut last = None;
    loop {
        if signals.take()?.is_some() {
            return Ok(End::Stopped);
        }
        match follower.next_line()? {
            Followed::Line(line) => {
                out::print(&show.line(&line))?;
                last = outcome_of(&line);
            }
            Followed::Ended => return Ok(last.map_or(End::Gone, |outcome| End::Outcome(outcome.status))),
            Followed::NothingYet if until == Follow::No => return Ok(End::NothingMore),
            Followed::NothingYet => wait(&signals, &follower)?,
        }
    }
}

/// Until a signal, a change of the log, or the time to look again.
fn wait(signals: &Signals, follower: &Follower) -> Result<(), Trouble> {
    let signals = signals.as_fd();
    let changes = follower.descriptor().unwrap_or(signals);
    poll::wait(
        [(signals, For::Reading), (changes, For::Reading)],
        Some(Instant::now() + RETRY),
    )?;
    Ok(())
}

/// What can still be done about a run that goes on without us.
pub fn say_it_goes_on(id: &RunId) {
    out::complain(&format!(
        "run {id} goes on; `engram-deployer log -f {id}` follows it, `engram-deployer cancel {id}` ends it"
    ));
}
