//! The `run` role: its turn, its steps one after another, its record.
//!
//! It does not know who is listening. It leaves its starter's session, so neither a closed terminal nor the end of the
//! session that started it is its own end.

mod back;
mod complete;
mod conclude;
mod leftover;
pub mod notice;
mod recover;
mod turn;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, Value, json};

use crate::config::{Config, Places};

use crate::deploy;
use crate::event::Phase;
use crate::gate::Task;
#[cfg(feature = "failpoints")]
use crate::os::failpoint;
use crate::os::{clock, descriptor, process, settings};
use crate::queue::dead::RECOVER;
use crate::queue::folder::QueueLock;
use crate::queue::journal::Journal;
use crate::queue::record::{self, End, Record, Shown};
use crate::queue::ticket::{Seen, Ticket};
use crate::queue::{RunFolder, RunRequest};
use crate::run::interrupts::Interrupts;
use crate::run::log::{Log, Voice};
use crate::run::{Failure, HumanDuration, RunContext};
use crate::runner::complete::Completer;
use crate::runner::turn::{Ahead, Turn, Waited};
use crate::terraform;

/// A run from its start to the moment that its turn comes.
struct Run<'a> {
    config: &'a Config,
    order: &'a RunRequest,
    folder: RunFolder,
    ticket: Ticket,
    log: Log,
    interrupts: Interrupts,
    began: SystemTime,
}

/// What a run comes to, and what is needed to record it.
struct Finished {
    log: Log,
    ticket: Ticket,
    /// Given back only after the record is made.
    turn: Option<Turn>,
    end: End,
}

/// The role: settings on standard input; the ticket as 3 and its name as the argument, or the word for completing dead
/// runs. With the word for telling of a run, what to tell is on standard input.
///
/// # Errors
/// Whatever kept the run, the recovery or the notice from being carried out.
pub fn role() -> io::Result<()> {
    descriptor::close_inherited(&[descriptor::FIRST])?;
    let argument = std::env::args().nth(2).unwrap_or_default();
    if argument == notice::TELL {
        return notice::role();
    }
    if argument == RECOVER {
        return recover::recover(&settings::received("run")?.1);
    }
    let ticket = descriptor::adopt(descriptor::FIRST)?;
    let (_, config) = settings::received("run")?;
    carry_out(ticket, &argument, &config)
}

/// Carries out the run whose ticket this process was given as `held`, under the name `ticket` in the queue folder.
///
/// # Errors
/// When the run could not even be read, it could not go back, or its result not be written: it is dead then, and completed
/// by another.
fn carry_out(held: OwnedFd, ticket: &str, config: &Config) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    config.failpoint.iter().for_each(|place| failpoint::choose(place));
    process::leave_session()?;
    let interrupts = Interrupts::block()?;
    let places = &config.places;
    let seen =
        Seen::named(places, ticket).ok_or_else(|| io::Error::other(format!("{ticket:?} is no ticket")))?;
    let folder = RunFolder::of(places, &seen.id);
    let log = Log::open(&folder.log(), &seen.id);
    let order = folder
        .order()?
        .ok_or_else(|| io::Error::other(format!("run {} has no grant", seen.id)))?;
    let mut ticket = Ticket::inherited(File::from(held), seen);
    ticket.write_holder()?;
    let run = Run {
        config,
        order: &order,
        folder,
        ticket,
        log,
        interrupts,
        began: SystemTime::now(),
    };
    let finished = run.carry_through()?;
    conclude(config, &order, finished)
}

fn conclude(config: &Config, order: &RunRequest, finished: Finished) -> io::Result<()> {
    let Finished {
        mut log,
        ticket,
        turn,
        end,
    } = finished;
    let end = End {
        error: end.error.map(|error| log.mask.cover(&error)),
        more: log.mask.cover_all(end.more),
        ..end
    };
    let record = Record::new(order, end);
    conclude::conclude(&config.places, config.runs.keep, &record, &order.run_id, &mut log)?;
    // The turn before the ticket: whoever sees the ticket go finds the turn free. The notice between the two: should we
    // be killed here, whoever finds our ticket sends it, and nobody waits for more than its process to be started.
    drop(turn);
    notice::tell(config, &record);
    ticket.seen().remove()
}

impl<'a> Run<'a> {
    fn carry_through(mut self) -> io::Result<Finished> {
        match self.wait() {
            Ok(Waited::Turn(turn)) => self.take_turn(turn),
            Ok(Waited::Cancelled) => Ok(self.end_early(None, &Failure::Cancelled)),
            Ok(Waited::TooLong(ahead)) => {
                let waited = HumanDuration(self.config.runs.queue_max_wait);
                let failure = Failure::Failed(format!("waited {waited} for its turn behind {ahead}"));
                Ok(self.end_early(None, &failure))
            }
            Err(error) => {
                let failure = Failure::Failed(format!("wait for its turn: {error}"));
                Ok(self.end_early(None, &failure))
            }
        }
    }

    fn wait(&mut self) -> io::Result<Waited> {
        let Self {
            config,
            ticket,
            log,
            interrupts,
            ..
        } = self;
        let until = Instant::now() + config.runs.queue_max_wait;
        let mut said = |ahead: &Ahead| {
            let text = match ahead {
                Ahead::Nothing => "starting".to_owned(),
                other => format!("waiting for {other}"),
            };
            log.say(Phase::Queued, &text, Voice::Run, SystemTime::now());
            if *ahead != Ahead::Nothing {
                show(&config.places, config.runs.keep);
            }
        };
        turn::wait(&config.places, ticket.seen().number, interrupts, until, &mut said)
    }

    fn take_turn(mut self, turn: Turn) -> io::Result<Finished> {
        if let Err(failure) = self.complete_the_dead() {
            return Ok(self.end_early(Some(turn), &failure));
        }
        let started = SystemTime::now();
        if let Err(error) = self.ticket.has_its_turn(started) {
            log::warn!("run {}: write when it started: {error}", self.order.run_id);
        }
        show(&self.config.places, self.config.runs.keep);
        self.take_steps(turn, started)
    }

    fn take_steps(self, turn: Turn, started: SystemTime) -> io::Result<Finished> {
        let Self {
            config,
            order,
            folder,
            ticket,
            log,
            interrupts,
            ..
        } = self;
        let journal = Journal::new(&config.places, &order.run_id, clock::rfc3339(started));
        let mut more = Map::new();
        let mut ctx = RunContext::new(folder, log, interrupts, ticket, journal, longest(order, config));
        let error = match act(&mut ctx, order, config) {
            Ok(()) => None,
            Err(failure) => Some(fail(&mut ctx, &failure, config, &mut more)?),
        };
        let (log, ticket, members) = ctx.leave();
        more.extend(members);
        let end = End {
            error,
            more,
            started,
            finished: SystemTime::now(),
            shown: Shown::Status,
        };
        Ok(Finished {
            log,
            ticket,
            turn: Some(turn),
            end,
        })
    }

    fn complete_the_dead(&mut self) -> Result<(), Failure> {
        let (config, log) = (self.config, &mut self.log);
        let mut completer = Completer {
            config: self.config,
            interrupts: &mut self.interrupts,
            say: &mut |what| log.say(Phase::Queued, what, Voice::Run, SystemTime::now()),
            tell: &mut |record| notice::tell(config, record),
        };
        completer.complete_all()
    }

    /// The end of a run that has not begun.
    fn end_early(self, turn: Option<Turn>, failure: &Failure) -> Finished {
        let mut more = Map::new();
        let error = match failure {
            Failure::Cancelled => "cancelled while it waited for its turn".to_owned(),
            other => other.to_string(),
        };
        mark(failure, &mut more);
        let finished = SystemTime::now();
        let end = End {
            error: Some(error),
            more,
            started: self.began,
            finished,
            shown: Shown::RunsAlone,
        };
        Finished {
            log: self.log,
            ticket: self.ticket,
            turn,
            end,
        }
    }
}

/// Does what was asked for.
fn act(ctx: &mut RunContext, order: &RunRequest, config: &Config) -> Result<(), Failure> {
    match &order.task {
        Task::Deploy(task) => deploy::deploy(ctx, order, task, config),
        Task::Terraform(task) => terraform::run(ctx, order, task, config),
    }
}

/// How long it may take.
fn longest(order: &RunRequest, config: &Config) -> Duration {
    match (&order.task, &config.terraform) {
        (Task::Terraform(_), Some(terraform)) => terraform.run_max,
        _ => config.runs.run_max,
    }
}

/// Goes back after a failure; why the run failed, with what became of what it had changed.
fn fail(
    ctx: &mut RunContext,
    failure: &Failure,
    config: &Config,
    more: &mut Map<String, Value>,
) -> io::Result<String> {
    let entries = ctx.noted();
    if !entries.is_empty() {
        ctx.say(Phase::Rollback, &format!("going back: {failure}"));
    }
    let back = back::patiently(ctx, &entries, config).map_err(|why| {
        let sentence = format!("going back has to wait for whoever completes this run: {why}");
        ctx.say(Phase::Rollback, &sentence);
        io::Error::other(sentence)
    })?;
    mark(failure, more);
    let why = match (failure, ctx.has_changed()) {
        (Failure::Cancelled, false) => "cancelled before anything was changed".to_owned(),
        (Failure::Cancelled, true) if entries.is_empty() => {
            "cancelled; what was changed before stays".to_owned()
        }
        (other, _) => other.to_string(),
    };
    Ok(back.tell(&why, more))
}

fn mark(failure: &Failure, more: &mut Map<String, Value>) {
    if *failure == Failure::Cancelled {
        more.insert("cancelled".to_owned(), json!(true));
    }
}

/// Shows in `/runs` that a run waits or is at work. Nothing depends on it.
fn show(places: &Places, keep: u32) {
    let shown = QueueLock::take(places).and_then(|lock| record::publish(places, keep, &lock));
    if let Err(error) = shown {
        log::warn!("publish the runs: {error}");
    }
}
