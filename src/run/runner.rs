//! The `run` role: its turn, its steps one after another, its record.
//!
//! It does not know who is listening. It leaves its starter's session, so neither a closed terminal nor the end of the
//! session that started it is its own end.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value, json};

use crate::config::{Config, Places};
use crate::event::Phase;
use crate::os::{clock, process};
use crate::run::dead::Completer;
use crate::run::folder::QueueLock;
use crate::run::interrupts::Interrupts;
use crate::run::journal::Journal;
use crate::run::log::{Log, Voice};
use crate::run::record::{self, End, Record, Shown};
use crate::run::step::{Effect, Failure, More, Plan, Spoken, Step};
use crate::run::ticket::{Seen, Ticket};
use crate::run::turn::{self, Ahead, Turn, Waited};
use crate::run::{Order, RunFolder, Stage, notice};

/// A run from its start to the moment that its turn comes.
struct Run<'a> {
    config: &'a Config,
    order: &'a Order,
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

/// Carries out the run whose ticket this process was given as `held`, under the name `ticket` in the queue folder.
/// `plan` says what its steps are, once its turn has come.
///
/// # Errors
/// When the run could not even be read, or its result not be written: it is dead then, and completed by another.
pub fn carry_out<P>(held: OwnedFd, ticket: &str, config: &Config, plan: P) -> io::Result<()>
where
    P: for<'p> FnOnce(&'p Order, &'p Config) -> Plan<'p>,
{
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
    let finished = run.carry_through(plan);
    conclude(config, &order, finished)
}

fn conclude(config: &Config, order: &Order, finished: Finished) -> io::Result<()> {
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
    record::conclude(&config.places, config.runs.keep, &record, &order.run_id, &mut log)?;
    // The turn before the ticket: whoever sees the ticket go finds the turn free. The notice between the two: should we
    // be killed here, whoever finds our ticket sends it, and nobody waits for more than its process to be started.
    drop(turn);
    notice::tell(config, &record);
    ticket.seen().remove()
}

impl<'a> Run<'a> {
    fn carry_through<P>(mut self, plan: P) -> Finished
    where
        P: for<'p> FnOnce(&'p Order, &'p Config) -> Plan<'p>,
    {
        match self.wait() {
            Ok(Waited::Turn(turn)) => self.take_turn(turn, plan),
            Ok(Waited::Cancelled) => self.end_early(None, &Failure::Cancelled),
            Ok(Waited::TooLong(ahead)) => {
                let waited = Spoken(self.config.runs.queue_max_wait);
                self.end_early(
                    None,
                    &Failure::Failed(format!("waited {waited} for its turn behind {ahead}")),
                )
            }
            Err(error) => self.end_early(None, &Failure::Failed(format!("wait for its turn: {error}"))),
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

    fn take_turn<P>(mut self, turn: Turn, plan: P) -> Finished
    where
        P: for<'p> FnOnce(&'p Order, &'p Config) -> Plan<'p>,
    {
        if let Err(failure) = self.complete_the_dead() {
            return self.end_early(Some(turn), &failure);
        }
        let started = SystemTime::now();
        if let Err(error) = self.folder.write_started(started) {
            log::warn!("run {}: write when it started: {error}", self.order.run_id);
        }
        let Self {
            config,
            order,
            folder,
            ticket,
            log,
            interrupts,
            ..
        } = self;
        show(&config.places, config.runs.keep);
        let journal = Journal::new(&config.places, &order.run_id, clock::rfc3339(started));
        let mut stage = Stage::new(folder, log, interrupts, ticket, journal, config.runs.run_max);
        let Plan { steps, mut more } = plan(order, config);
        let result = walk(&mut stage, steps);
        let undone = stage.has_changed();
        let (log, ticket, members) = stage.leave();
        more.extend(members);
        let error = result.err().map(|failure| sentence(&failure, undone, &mut more));
        let end = End {
            error,
            more,
            started,
            finished: SystemTime::now(),
            shown: Shown::Status,
        };
        Finished {
            log,
            ticket,
            turn: Some(turn),
            end,
        }
    }

    fn complete_the_dead(&mut self) -> Result<(), Failure> {
        let (config, log) = (self.config, &mut self.log);
        let mut completer = Completer {
            places: &self.config.places,
            keep: self.config.runs.keep,
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

/// Takes the steps in order, up to the first failure.
fn walk(stage: &mut Stage, steps: Vec<Step<'_>>) -> Result<(), Failure> {
    for mut step in steps {
        stage.enter(&step)?;
        match step.effect {
            Effect::Tidies => tidy(stage, &mut step),
            Effect::Looks | Effect::Changes => (step.act)(stage)?,
        }
        if stage.more() == More::Nothing {
            break;
        }
    }
    Ok(())
}

/// Whatever becomes of it, what was asked for is live.
fn tidy(stage: &mut Stage, step: &mut Step<'_>) {
    if let Err(failure) = stage.in_any_case(step.deadline, |stage| (step.act)(stage)) {
        stage.say(step.phase, &format!("warning: {failure}"));
    }
}

/// Why a run failed, with what it leaves behind.
fn sentence(failure: &Failure, changed: bool, more: &mut Map<String, Value>) -> String {
    mark(failure, more);
    match (failure, changed) {
        (Failure::Cancelled, false) => "cancelled before anything was changed".to_owned(),
        (Failure::Cancelled, true) => "cancelled; what was changed before stays".to_owned(),
        (other, _) => other.to_string(),
    }
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
