//! The `run` role: its turn, what was asked for, going back where that fails, its record.
//!
//! It does not know who is listening. It leaves the session of whoever started it, so neither a closed terminal nor the
//! end of that process is its own end.

mod complete;
mod notice;
mod rollback;
mod turn;

use std::fs::File;
use std::io;
use std::time::{Duration, SystemTime};

use log::Level;
use serde_json::{Map, Value, json};

use crate::config::{Config, Places};
use crate::event::{Phase, Status, took};
use crate::gate::Task;
use crate::os::{descriptor, settings};
use crate::queue::dead::RECOVER;
use crate::queue::notes::HeldTicket;
use crate::queue::publish::{keep_status, publish};
use crate::queue::record::{Publication, Record};
use crate::queue::ticket::{self, TicketFile};
use crate::queue::{RunFolder, RunId, RunRequest, journal};
use crate::run::interrupts::Interrupts;
use crate::run::log::Log;
use crate::run::{Failure, Result, RunContext};
#[cfg(feature = "terraform")]
use crate::terraform;
use crate::{deploy, failpoint};
use complete::Completer;

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
    run(ticket.into(), &argument, &config)
}

/// Runs the one whose ticket this process was given as `lock`, under the name `ticket` in the queue folder.
///
/// # Errors
/// When the run could not even be read, it could not go back, or its result not be written: it is dead then, and completed
/// by another.
fn run(lock: File, ticket: &str, config: &Config) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    if let Some(place) = &config.failpoint {
        crate::os::failpoint::choose(place);
    }
    let mut interrupts = Interrupts::block()?;
    let file = TicketFile::named(&config.places, ticket)
        .ok_or_else(|| io::Error::other(format!("\"{ticket}\" is no ticket")))?;
    let folder = RunFolder::of(&config.places, &file.id);
    let mut log = Log::open(&folder.log(), &file.id);
    let request = folder
        .order()?
        .ok_or_else(|| io::Error::other(format!("run {} has no grant", file.id)))?;
    let number = file.number;
    let mut ticket = HeldTicket::inherited(lock, file)?;
    let (began, mut turn, mut notices) = (SystemTime::now(), None, Vec::new());
    let mut get_ready = || {
        turn = Some(wait_for_turn(config, number, &mut log, &mut interrupts)?);
        let mut completer = Completer {
            config,
            interrupts: &mut interrupts,
            say: &mut |what| log.say(Phase::Queued, what),
            notices: &mut notices,
        };
        completer.complete_all()
    };
    let record = match get_ready() {
        Ok(()) => {
            let run_max = run_max(&request, config);
            let ctx = RunContext::new(config, &mut log, &mut interrupts, &mut ticket, run_max);
            work(ctx, &request)?
        }
        Err(failure) => end_early(&request, began, &failure),
    };
    conclude(config, &record, &request.run_id, &mut log)?;
    // The turn before the ticket: whoever sees the ticket go finds the turn free. The notice between the two: should we
    // be killed here, whoever finds our ticket sends it.
    drop(turn);
    notices.extend(notice::start(config, &record));
    ticket.file.remove()?;
    drop(ticket);
    notice::finish_all(notices)
}

fn wait_for_turn(config: &Config, number: u64, log: &mut Log, interrupts: &mut Interrupts) -> Result<File> {
    let mut said = |ahead: &str| {
        let message = match ahead {
            "" => "starting".to_owned(),
            _ => format!("waiting for {ahead}"),
        };
        log.say(Phase::Queued, &message);
        if !ahead.is_empty() {
            show(config);
        }
    };
    let longest = config.runs.queue_max_wait;
    turn::wait(&config.places, number, interrupts, longest, &mut said)
}

/// The end of a run without any work.
fn end_early(request: &RunRequest, began: SystemTime, failure: &Failure) -> Record {
    let mut record = Record::new(request, began, SystemTime::now());
    match failure {
        Failure::Cancelled => record.fail("cancelled while it waited for its turn"),
        other => record.fail(&other.to_string()),
    }
    mark_cancelled(failure, &mut record.outcome.more);
    record.publication = Publication::RunsOnly;
    record
}

/// Does what was asked for, and goes back where that fails.
fn work(mut ctx: RunContext, request: &RunRequest) -> Result<Record> {
    let started = SystemTime::now();
    if let Err(error) = ctx.ticket.has_its_turn(started) {
        log::warn!("run {}: {error}", request.run_id);
    }
    show(ctx.config);
    let result = act(&mut ctx, request);
    let why = match &result {
        Ok(()) => None,
        Err(failure) => Some(go_back(&mut ctx, failure)?),
    };
    let mut record = Record::new(request, started, SystemTime::now());
    let mask = &ctx.log.mask;
    record.outcome.more.extend(mask.cover_all(ctx.members));
    why.iter().for_each(|why| record.fail(&mask.cover(why)));
    Ok(record)
}

fn act(ctx: &mut RunContext, request: &RunRequest) -> Result {
    match &request.task {
        Task::Deploy(task) => deploy::deploy(ctx, request, task),
        #[cfg(feature = "terraform")]
        Task::Terraform(task) => terraform::run(ctx, request, task, ctx.config),
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
fn go_back(ctx: &mut RunContext, failure: &Failure) -> Result<String> {
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
    rollback::patiently(ctx, &entries, &why)
}

fn mark_cancelled(failure: &Failure, more: &mut Map<String, Value>) {
    if *failure == Failure::Cancelled {
        more.insert("cancelled".to_owned(), json!(true));
    }
}

/// Shows in `/runs` that a run waits or is at work. Nothing depends on it.
fn show(config: &Config) {
    if let Err(error) = publish(&config.places, config.runs.keep, None) {
        log::warn!("publish the runs: {error}");
    }
}

/// Records the end of a run, in the one order that a crash cannot make a lie of: the result on disk, the public files,
/// the last line for followers; then the result's copy, the lasting status, the journal gone. Doing it again changes
/// nothing more.
///
/// # Errors
/// When the result could not be written: then the run stays unrecorded, and whoever sees it dead tries again. What
/// fails after that is logged, since it can be made again from the result.
fn conclude(config: &Config, record: &Record, id: &RunId, log: &mut Log) -> io::Result<()> {
    let (places, keep) = (&config.places, config.runs.keep);
    let folder = RunFolder::of(places, id);
    failpoint!("before-result");
    let written = match folder.record()? {
        Some(_) => Ok(()),
        None => folder.write_record(&Record {
            sequence: next_sequence(places),
            ..record.clone()
        }),
    };
    failpoint!("result-written");
    if written.is_ok() {
        warn(id, "publish", publish(places, keep, Some(record)));
    }
    failpoint!("published");
    log.end_once(&record.outcome);
    written?;
    log_end(record);
    warn(id, "copy the result of", folder.copy_record(record));
    warn(id, "keep the status of", keep_status(places, record));
    warn(id, "empty the journal of", journal::end(places, id));
    failpoint!("journal-ended");
    warn(id, "remove older runs than", prune(places, keep));
    Ok(())
}

/// Says in the daemon's log how a run ended: whoever looks there need not look for its lines.
fn log_end(record: &Record) {
    let ended = &record.outcome;
    let (level, how) = match ended.status {
        Status::Ok => (Level::Info, "is ok"),
        Status::Fail => (Level::Error, "failed"),
    };
    let (id, what, took) = (&ended.run_id, &record.endpoint, took(ended.duration_ms));
    let of = ended.version.as_ref().or(ended.sha.as_ref());
    let of = of.map(|of| format!(" {of}")).unwrap_or_default();
    let dry = if record.is_dry() { ", a dry run," } else { "" };
    let why = ended.error.as_ref().map(|why| format!(": {why}"));
    let (notes, why) = (ended.notes(), why.unwrap_or_default());
    log::log!(level, "run {id}: {what}{of}{dry} {how} after {took}{notes}{why}");
}

/// The next number of a record, as the last runs tell it. Two runs may get the same one, where one of them never had its
/// turn; then the clock decides.
fn next_sequence(places: &Places) -> u64 {
    let ids = RunFolder::all(places).unwrap_or_default();
    let last = ids.iter().rev().take(LAST_RUNS);
    let records = last.filter_map(|id| RunFolder::of(places, id).record().ok()?);
    records.map(|record| record.sequence).max().unwrap_or(0) + 1
}

/// More than usually wait.
const LAST_RUNS: usize = 32;

fn warn(id: &RunId, doing: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::warn!("{doing} run {id}: {error}");
    }
}

/// Removes the folders of the oldest runs beyond `keep`, and of the oldest dry runs: those that have ended and whose ticket
/// is gone. However many dry runs there are, none of them takes the place of a run that changed something.
fn prune(places: &Places, keep: u32) -> io::Result<()> {
    let mut ids = RunFolder::all(places)?;
    ids.retain(|id| RunFolder::of(places, id).has_record());
    if ids.len() <= keep as usize {
        return Ok(());
    }
    // What cannot be read counts as a run that changed something.
    let is_dry = |id: &RunId| matches!(RunFolder::of(places, id).order(), Ok(Some(order)) if order.dry_run());
    let (dry, others): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_dry);
    let oldest = |ids: &[RunId]| ids[..ids.len().saturating_sub(keep as usize)].to_vec();
    for id in [oldest(&dry), oldest(&others)].concat() {
        if ticket::of(places, &id)?.is_none() {
            RunFolder::of(places, &id).remove()?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "conclude_tests.rs"]
mod tests;
