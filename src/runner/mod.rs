//! The `run` role: its turn, what was asked for, going back where that fails, its record.
//!
//! It does not know who is listening. It leaves the session of whoever started it, so neither a closed terminal nor the
//! end of that process is its own end.

mod complete;
mod conclude;
mod notice;
mod rollback;
mod turn;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::deploy;
use crate::event::Phase;
use crate::gate::Task;
#[cfg(feature = "failpoints")]
use crate::os::failpoint;
use crate::os::{descriptor, settings};
use crate::queue::dead::RECOVER;
use crate::queue::notes::HeldTicket;
use crate::queue::record::{Publication, Record};
use crate::queue::ticket::TicketFile;
use crate::queue::{RunFolder, RunRequest, publish};
use crate::run::interrupts::Interrupts;
use crate::run::log::Log;
use crate::run::{Failure, Result, RunContext};
#[cfg(feature = "terraform")]
use crate::terraform;
use complete::Completer;
use notice::Notice;

/// The role: settings on standard input; the ticket as 3 and its name as the argument, or the word for completing dead
/// runs.
///
/// # Errors
/// Whatever kept the run or the recovery from its end.
pub fn role() -> io::Result<()> {
    descriptor::close_inherited(&[descriptor::FIRST])?;
    let argument = std::env::args().nth(2).unwrap_or_default();
    if argument == RECOVER {
        return complete::recover(&settings::received("run")?.1);
    }
    let ticket = descriptor::adopt(descriptor::FIRST)?;
    let (_, config) = settings::received("run")?;
    run(ticket, &argument, &config)
}

/// Runs the one whose ticket this process was given as `held`, under the name `ticket` in the queue folder.
///
/// # Errors
/// When the run could not even be read, it could not go back, or its result not be written: it is dead then, and completed
/// by another.
fn run(held: OwnedFd, ticket: &str, config: &Config) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    config.failpoint.iter().for_each(|place| failpoint::choose(place));
    let interrupts = Interrupts::block()?;
    let file = TicketFile::named(&config.places, ticket)
        .ok_or_else(|| io::Error::other(format!("\"{ticket}\" is no ticket")))?;
    let folder = RunFolder::of(&config.places, &file.id);
    let log = Log::open(&folder.log(), &file.id);
    let request = folder
        .order()?
        .ok_or_else(|| io::Error::other(format!("run {} has no grant", file.id)))?;
    let ticket = HeldTicket::inherited(File::from(held), file)?;
    let mut waiting = Waiting {
        config,
        request: &request,
        ticket,
        log,
        interrupts,
        notices: Vec::new(),
        began: SystemTime::now(),
    };
    let turn = match waiting.wait_for_turn() {
        Ok(turn) => turn,
        Err(failure) => return waiting.end_early(None, &failure),
    };
    match waiting.complete_dead_runs() {
        Ok(()) => waiting.work(turn),
        Err(failure) => waiting.end_early(Some(turn), &failure),
    }
}

/// A run that has not begun its work.
struct Waiting<'a> {
    config: &'a Config,
    request: &'a RunRequest,
    ticket: HeldTicket,
    log: Log,
    interrupts: Interrupts,
    /// Of the dead runs that it has completed.
    notices: Vec<Notice>,
    began: SystemTime,
}

impl Waiting<'_> {
    fn wait_for_turn(&mut self) -> Result<File> {
        let (config, log) = (self.config, &mut self.log);
        let mut said = |ahead: &str| {
            let message = match ahead {
                "" => "starting".to_owned(),
                _ => format!("waiting for {ahead}"),
            };
            log.say(Phase::Queued, &message, SystemTime::now());
            if !ahead.is_empty() {
                show(config);
            }
        };
        let (number, longest) = (self.ticket.file.number, config.runs.queue_max_wait);
        turn::wait(&config.places, number, &mut self.interrupts, longest, &mut said)
    }

    fn complete_dead_runs(&mut self) -> Result {
        let log = &mut self.log;
        let mut completer = Completer {
            config: self.config,
            interrupts: &mut self.interrupts,
            say: &mut |what| log.say(Phase::Queued, what, SystemTime::now()),
            notices: &mut self.notices,
        };
        completer.complete_all()
    }

    /// Its end without any work.
    fn end_early(self, turn: Option<File>, failure: &Failure) -> io::Result<()> {
        let mut record = Record::new(self.request, self.began, SystemTime::now());
        match failure {
            Failure::Cancelled => record.fail("cancelled while it waited for its turn"),
            other => record.fail(&other.to_string()),
        }
        mark_cancelled(failure, &mut record.outcome.more);
        record.publication = Publication::RunsOnly;
        self.conclude(turn, &record)
    }

    /// Does what was asked for, and goes back where that fails.
    fn work(mut self, turn: File) -> io::Result<()> {
        let (config, request, started) = (self.config, self.request, SystemTime::now());
        if let Err(error) = self.ticket.has_its_turn(started) {
            log::warn!("run {}: {error}", request.run_id);
        }
        show(config);
        let run_max = run_max(request, config);
        let mut ctx = RunContext::new(config, self.log, self.interrupts, self.ticket, run_max);
        let result = act(&mut ctx, request, config);
        let why = match &result {
            Ok(()) => None,
            Err(failure) => Some(go_back(&mut ctx, failure)?),
        };
        let mut record = Record::new(request, started, SystemTime::now());
        record.outcome.more.extend(ctx.log.mask.cover_all(ctx.members));
        if let Some(why) = why {
            record.fail(&ctx.log.mask.cover(&why));
        }
        (self.log, self.interrupts, self.ticket) = (ctx.log, ctx.interrupts, ctx.ticket);
        self.conclude(Some(turn), &record)
    }

    /// Records its end, and leaves the queue.
    fn conclude(mut self, turn: Option<File>, record: &Record) -> io::Result<()> {
        let (places, keep) = (&self.config.places, self.config.runs.keep);
        conclude::conclude(places, keep, record, &self.request.run_id, &mut self.log)?;
        // The turn before the ticket: whoever sees the ticket go finds the turn free. The notice between the two: should we
        // be killed here, whoever finds our ticket sends it.
        drop(turn);
        self.notices.extend(notice::start(self.config, record));
        self.ticket.file.remove()?;
        drop(self.ticket);
        notice::finish_all(self.notices)
    }
}

fn act(ctx: &mut RunContext, request: &RunRequest, config: &Config) -> Result {
    match &request.task {
        Task::Deploy(task) => deploy::deploy(ctx, request, task, config),
        #[cfg(feature = "terraform")]
        Task::Terraform(task) => terraform::run(ctx, request, task, config),
    }
}

/// How long it may take from its turn on.
fn run_max(request: &RunRequest, config: &Config) -> Duration {
    match &request.task {
        Task::Deploy(_) => config.runs.run_max,
        #[cfg(feature = "terraform")]
        Task::Terraform(_) => {
            let terraform = config.terraform.as_ref();
            terraform.map_or(config.runs.run_max, |terraform| terraform.run_max)
        }
    }
}

/// Goes back after a failure; why the run failed, with what became of what it had changed.
fn go_back(ctx: &mut RunContext, failure: &Failure) -> io::Result<String> {
    let entries = ctx.noted.clone();
    if !entries.is_empty() {
        ctx.say(Phase::Rollback, &format!("going back: {failure}"));
    }
    let why = match (failure, ctx.has_changed()) {
        (Failure::Cancelled, false) => "cancelled before anything was changed".to_owned(),
        (Failure::Cancelled, true) if entries.is_empty() => {
            "cancelled; what was changed before stays".to_owned()
        }
        (other, _) => other.to_string(),
    };
    mark_cancelled(failure, &mut ctx.members);
    rollback::patiently(ctx, &entries, &why).map_err(|error| io::Error::other(format!("go back: {error}")))
}

fn mark_cancelled(failure: &Failure, more: &mut Map<String, Value>) {
    if *failure == Failure::Cancelled {
        more.insert("cancelled".to_owned(), json!(true));
    }
}

/// Shows in `/runs` that a run waits or is at work. Nothing depends on it.
fn show(config: &Config) {
    if let Err(error) = publish::publish(&config.places, config.runs.keep, None) {
        log::warn!("publish the runs: {error}");
    }
}
