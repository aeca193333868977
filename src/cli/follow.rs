//! `log` and `cancel`, and following a run on standard output: it is left alone when somebody asks this command to stop.

use std::os::fd::AsFd;
use std::time::Instant;

use super::commands::{FOLLOW, FORCE};
use super::{Args, ExitStatus, Loaded, Result, Show, complain, load, print};
use crate::event::outcome_of;
use crate::gate::Reader;
use crate::limits::RETRY;
use crate::os::poll::{self, For};
use crate::os::signal::{Signal, Signals};
use crate::queue::{self, Followed, Follower, RunId, Urgency};

/// `log`: prints the lines of a run; the exit status is the run's, when its outcome is among them.
pub fn log(args: &Args) -> Result {
    let id = run_id(args)?;
    let so_far = match args.has(&FOLLOW) {
        true => None,
        false => Some(ExitStatus::Done),
    };
    follow(&load(args)?, &id, so_far, Show::on_stdout(args))
}

/// `cancel`: asks a run to end, and does not wait for what it does.
pub fn cancel(args: &Args) -> Result {
    let id = run_id(args)?;
    let places = load(args)?.config.places;
    let (urgency, how) = match args.has(&FORCE) {
        false => (Urgency::Gentle, "asked to end"),
        true => (Urgency::Force, "told to end now"),
    };
    queue::cancel(&places, &id, urgency).map_err(|error| format!("cancel run {id}: {error}"))?;
    print(&format!("run {id} was {how}; `log -f {id}` shows what it does\n"))
}

fn run_id(args: &Args) -> Result<RunId> {
    let typed = &args.operand;
    let wrong = || args.wrong(&format!("`{typed}` is no run id (`runs` lists them)"));
    RunId::parse(typed).ok_or_else(wrong)
}

/// Prints the lines of a run from its first one on, to its end; where there is an exit status for a run that has not
/// ended, only those that are there now. How it ended is not known where somebody asks us, not the run, to stop.
///
/// # Errors
/// When there is no such run, its log cannot be read, or nobody reads standard output any more.
pub fn follow(loaded: &Loaded, id: &RunId, so_far: Option<ExitStatus>, show: Show) -> Result {
    let signals = Signals::block(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let reader = Reader::of_operator(id.as_str());
    let mut follower = Follower::open(&loaded.config.places, reader, &loaded.settings)
        .ok_or_else(|| format!("there is no run {id} (`runs` lists them)"))?;
    let mut exit = ExitStatus::Unknown;
    while signals.take()?.is_none() {
        match (follower.next_line()?, so_far) {
            (Followed::Line(line), _) => {
                print(&show.line(&line))?;
                exit = outcome_of(&line).map_or(exit, |outcome| outcome.status.into());
            }
            (Followed::Ended, _) => return Ok(exit),
            (Followed::NothingYet, Some(so_far)) => return Ok(so_far),
            (Followed::NothingYet, None) => {
                let changes = follower.descriptor().unwrap_or(signals.as_fd());
                let sources = [(signals.as_fd(), For::Reading), (changes, For::Reading)];
                poll::wait(sources, Some(Instant::now() + RETRY))?;
            }
        }
    }
    say_it_goes_on(id);
    Ok(ExitStatus::Unknown)
}

/// What can still be done about a run that goes on without us.
pub fn say_it_goes_on(id: &RunId) {
    complain(&format!(
        "run {id} goes on; `log -f {id}` follows it, `cancel {id}` ends it"
    ));
}
