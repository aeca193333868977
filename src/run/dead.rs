//! Dead runs: admitted, not recorded, and nobody holds their ticket. They are completed before anything else changes.
//!
//! Only a `run` process completes one, holding the turn, and it looks for the result again after taking it. Doing it
//! twice changes nothing more. What a dead run has half done is undone here, too, once steps can be undone.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Map, json};

use crate::config::{Config, Places, Settings};
use crate::gate::Memory;
use crate::os::child::{Child, Command};
use crate::os::files::optional;
use crate::os::{lock, process, settings};
use crate::run::interrupts::Interrupts;
use crate::run::log::Log;
use crate::run::order::Origin;
use crate::run::record::{self, End, Record, Shown};
use crate::run::step::Failure;
use crate::run::ticket::{self, Seen};
use crate::run::turn::{self, Waited};
use crate::run::{Order, RunFolder, RunId, journal, leftover, notice};

/// The longest that a recovery waits for a run that is at work; that run or the next one completes what is dead.
const RECOVERY_WAITS: Duration = Duration::from_secs(3600);

/// What a recovery is started with instead of a ticket's name.
pub const RECOVER: &str = "--recover";

/// A run that nobody holds.
#[derive(Debug)]
struct Dead {
    id: RunId,
    /// `None` after a restart of the host: then nothing of it can be at work.
    ticket: Option<Seen>,
}

/// Where and how dead runs are completed.
pub struct Completer<'a> {
    /// Where everything is.
    pub places: &'a Places,
    /// Run folders that are kept.
    pub keep: u32,
    /// A signal ends waiting.
    pub interrupts: &'a mut Interrupts,
    /// Hears what is waited for.
    pub say: &'a mut dyn FnMut(&str),
    /// Is handed what was recorded of a run that was completed.
    pub tell: &'a mut dyn FnMut(&Record),
}

fn find(places: &Places) -> io::Result<Vec<Dead>> {
    // In this order: a run's ticket is there before its folder, and its result before the ticket goes.
    let ids = RunFolder::all(places)?;
    let tickets = ticket::list(places)?;
    let mut dead = Vec::new();
    for id in ids {
        let has_ticket = tickets.iter().any(|seen| seen.id == id);
        let folder = RunFolder::of(places, &id);
        if !has_ticket && !folder.has_record() && folder.exists() {
            dead.push(Dead { id, ticket: None });
        }
    }
    for seen in tickets {
        if !seen.is_live()? {
            dead.push(Dead {
                id: seen.id.clone(),
                ticket: Some(seen),
            });
        }
    }
    Ok(dead)
}

/// Starts a process that completes dead runs, if there are any. It is not waited for; a caller that lives on should
/// reap it.
///
/// # Errors
/// When the folders cannot be read or no process can be started.
pub fn ensure_recovered(places: &Places, settings: &Settings) -> io::Result<Option<Child>> {
    if find(places)?.is_empty() {
        return Ok(None);
    }
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    let command = Command::outliving_role("run")
        .argument(RECOVER)
        .descriptor(1, null.into());
    command
        .descriptor(0, settings::hand_over(settings)?)
        .spawn()
        .map(Some)
}

/// The role behind [`ensure_recovered`], and `engram-deployer recover`: waits for the turn and completes what is dead.
/// One at a time: a second one has nothing to do.
///
/// # Errors
/// Those of the machine, and what kept a dead run from being completed.
pub fn recover(config: &Config) -> io::Result<()> {
    process::leave_session()?;
    let mut interrupts = Interrupts::block()?;
    let places = &config.places;
    // Again after letting go: a run may have died just after the last look, when its finder met our lock.
    while !find(places)?.is_empty() {
        let Some(_alone) = lock::try_exclusive(&places.runtime.join("recover.lock"))? else {
            return Ok(());
        };
        let until = Instant::now() + RECOVERY_WAITS;
        let Waited::Turn(_turn) = turn::wait(places, 0, &mut interrupts, until, &mut |_| {})? else {
            return Ok(());
        };
        let say = &mut |what: &str| log::info!("{what}");
        let mut completer = Completer {
            places,
            keep: config.runs.keep,
            interrupts: &mut interrupts,
            say,
            tell: &mut |record| notice::tell(config, record),
        };
        completer
            .complete_all()
            .map_err(|failure| io::Error::other(failure.to_string()))?;
    }
    Ok(())
}

impl Completer<'_> {
    /// Completes every dead run. The caller holds the turn.
    ///
    /// # Errors
    /// When one could not be completed: then nothing else may be changed.
    pub fn complete_all(&mut self) -> Result<(), Failure> {
        self.sweep_logins()
            .map_err(|error| broken("remove the login of an interrupted run", &error))?;
        self.check_journal()
            .map_err(|error| broken("read the journal", &error))?;
        for dead in find(self.places).map_err(|error| broken("look for interrupted runs", &error))? {
            self.complete(&dead).map_err(|failure| match failure {
                Failure::Failed(why) => {
                    Failure::Failed(format!("run {} was interrupted, and {why}", dead.id))
                }
                other => other,
            })?;
            if let Some(seen) = &dead.ticket {
                seen.remove()
                    .map_err(|error| broken("remove its ticket", &error))?;
            }
        }
        Ok(())
    }

    /// Only the run whose turn it is logs in anywhere, and that is the caller: every login that is there is a dead run's.
    fn sweep_logins(&self) -> io::Result<()> {
        optional(std::fs::remove_dir_all(self.places.logins())).map(drop)
    }

    /// A journal of a run that is recorded, or whose folder is gone, outlived it by a power cut. One that cannot be read
    /// is an error: nobody knows what is half changed.
    fn check_journal(&self) -> io::Result<()> {
        let Some(content) = journal::read(self.places)? else {
            return Ok(());
        };
        let folder = RunFolder::of(self.places, &content.head.run_id);
        if folder.has_record() || !folder.exists() {
            journal::end(self.places, &content.head.run_id)?;
        }
        Ok(())
    }

    fn complete(&mut self, dead: &Dead) -> Result<(), Failure> {
        let folder = RunFolder::of(self.places, &dead.id);
        let unread = |error: io::Error| broken("its folder cannot be read", &error);
        let Some(order) = folder.order().map_err(unread)? else {
            return folder.remove().map_err(unread);
        };
        if !was_admitted(self.places, &folder, &order).map_err(Failure::Failed)? {
            log::info!("run {} was never admitted; its place is given back", dead.id);
            return folder.remove().map_err(unread);
        }
        if let Some(seen) = &dead.ticket {
            let notes = seen.notes().map_err(unread)?;
            leftover::finish(&notes, self.interrupts, self.say)?;
        }
        let mut log = Log::open(&folder.log(), &dead.id);
        let record = match folder.record().map_err(unread)? {
            Some(record) => record,
            None => interrupted(self.places, &folder, &order, &log).map_err(unread)?,
        };
        log::info!("run {} is dead and is completed", dead.id);
        record::conclude(self.places, self.keep, &record, &dead.id, &mut log)
            .map_err(|error| broken("its result could not be written", &error))?;
        (self.tell)(&record);
        Ok(())
    }
}

/// Whether the run was to be: it has begun, or its token was spent for it. A place in the queue that was not given back,
/// because its session died before the token was spent, is not a run.
fn was_admitted(places: &Places, folder: &RunFolder, order: &Order) -> Result<bool, String> {
    if folder.has_record() || folder.log().exists() {
        return Ok(true);
    }
    match &order.origin {
        Origin::Local { .. } => Ok(false),
        Origin::Token { jti, .. } => {
            let started = Memory::of(&places.state).run_of(jti)?;
            Ok(started.as_deref() == Some(order.run_id.as_str()))
        }
    }
}

/// The record of a run that could not write its own.
fn interrupted(places: &Places, folder: &RunFolder, order: &Order, log: &Log) -> io::Result<Record> {
    let changed = journal::read(places)?.is_some_and(|content| content.head.run_id == order.run_id);
    let started = folder.started()?;
    let (shown, sentence) = match (changed, started) {
        (true, _) => (
            Shown::Status,
            "interrupted while it was changing something; its log says what came last",
        ),
        (false, Some(_)) => (Shown::Status, "interrupted before it changed anything"),
        (false, None) => (
            Shown::RunsAlone,
            "interrupted before its turn came; nothing was changed",
        ),
    };
    let end = End {
        error: Some(sentence.to_owned()),
        more: Map::from_iter([("interrupted".to_owned(), json!(true))]),
        started: started.map_or_else(|| folder.ordered_at(), Ok)?,
        finished: SystemTime::now(),
        shown,
    };
    let mut record = Record::new(order, end);
    // It had come to its end and could not write that down: the log knows better.
    if let Some(outcome) = log.outcome() {
        record.outcome = outcome;
    }
    Ok(record)
}

fn broken(doing: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("{doing}: {error}"))
}

#[cfg(test)]
#[path = "dead_tests.rs"]
mod tests;
