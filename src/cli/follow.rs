//! `log`, and following a run on standard output: it is left alone when somebody asks this command to stop.

use std::os::fd::AsFd;
use std::time::Instant;

use crate::cli::arguments::Arguments;
use crate::cli::commands::FOLLOW;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::settings_source::{self, Loaded};
use crate::cli::show::Show;
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
    pub fn exit(self) -> ExitStatus {
        match self {
            End::Outcome(Status::Ok) | End::NothingMore => ExitStatus::Done,
            End::Outcome(Status::Fail) => ExitStatus::Failed,
            End::Stopped | End::Gone => ExitStatus::Unknown,
        }
    }
}

/// How long to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// What is there now.
    No,
    ToTheEnd,
}

/// `log`: prints the lines of a run; the exit status is the run's, when its outcome is among them.
///
/// # Errors
/// When there is no such run.
pub fn log(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let id = run_id(arguments)?;
    let loaded = settings_source::load(arguments.env_file())?;
    let until = match arguments.has(&FOLLOW) {
        true => Follow::ToTheEnd,
        false => Follow::No,
    };
    let end = follow(&loaded, &id, until, Show::on_stdout(arguments))?;
    if end == End::Stopped {
        say_it_goes_on(&id);
    }
    Ok(end.exit())
}

/// The operand as a run id.
///
/// # Errors
/// When it cannot be one.
pub fn run_id(arguments: &Arguments) -> Result<RunId, CommandError> {
    let typed = arguments.operand();
    RunId::parse(typed).ok_or_else(|| {
        arguments.wrong(&format!(
            "`{typed}` is no run id such as 20260102T030405Z-0123abcd (`runs` lists them)"
        ))
    })
}

/// Prints the lines of a run from its first one on.
///
/// # Errors
/// When there is no such run, its log cannot be read, or nobody reads standard output any more.
pub fn follow(loaded: &Loaded, id: &RunId, until: Follow, show: Show) -> Result<End, CommandError> {
    let signals = Signals::block(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let reader = Reader::of_operator(id.as_str());
    let mut follower = Follower::open(&loaded.config.places, reader, &loaded.settings)
        .ok_or_else(|| format!("there is no run {id}; `engram-deployer runs` lists them"))?;
    let mut last = None;
    loop {
        if signals.take()?.is_some() {
            return Ok(End::Stopped);
        }
        match follower.next_line()? {
            Followed::Line(line) => {
                output::print(&show.line(&line))?;
                last = outcome_of(&line);
            }
            Followed::Ended => return Ok(last.map_or(End::Gone, |outcome| End::Outcome(outcome.status))),
            Followed::NothingYet if until == Follow::No => return Ok(End::NothingMore),
            Followed::NothingYet => wait(&signals, &follower)?,
        }
    }
}

/// Until a signal, a change of the log, or the time to look again.
fn wait(signals: &Signals, follower: &Follower) -> Result<(), CommandError> {
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
    output::complain(&format!(
        "run {id} goes on; `engram-deployer log -f {id}` follows it, `engram-deployer cancel {id}` ends it"
    ));
}
