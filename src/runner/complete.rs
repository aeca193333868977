//! Completing a dead run: what it has half done goes back, and it is recorded.
//!
//! Only a `run` process does that, holding the turn, and it looks for the result again after taking it. Doing it twice
//! changes nothing more. There is one line between going back and not: once its journal says that all it was for is done
//! and seen to be good, a run counts as done, because what could be gone back to may be tidied away already, and because
//! CI's green must mean that it is live.

use std::io;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::config::{Config, Places};
use crate::deploy::{self, UndoReason};
use crate::event::Phase;
use crate::gate::{Memory, Task};
use crate::os::files::optional;
use crate::queue::dead::{self, Dead};
use crate::queue::journal::{Came, Content, Journal};
use crate::queue::record::{End, Record, Shown};
use crate::queue::request::Origin;
use crate::queue::ticket::{self, Ticket};
use crate::queue::{RunFolder, RunRequest, journal};
use crate::run::RunContext;
use crate::run::interrupts::Interrupts;
use crate::run::log::{Log, Voice};
use crate::run::step::Failure;
use crate::runner::back::{self, Back};
use crate::runner::{conclude, leftover};
use crate::terraform;

/// Where and how dead runs are completed.
pub struct Completer<'a> {
    /// Where everything is, and how things go back.
    pub config: &'a Config,
    /// A signal ends waiting.
    pub interrupts: &'a mut Interrupts,
    /// Hears what is waited for.
    pub say: &'a mut dyn FnMut(&str),
    /// Is handed what was recorded of a run that was completed.
    pub tell: &'a mut dyn FnMut(&Record),
}

impl Completer<'_> {
    fn places(&self) -> &Places {
        &self.config.places
    }

    /// Completes every dead run. The caller holds the turn.
    ///
    /// # Errors
    /// When one could not be completed: then nothing else may be changed.
    pub fn complete_all(&mut self) -> Result<(), Failure> {
        self.sweep_logins()
            .map_err(|error| broken("remove the login of an interrupted run", &error))?;
        self.check_journal()?;
        for dead in dead::find(self.places()).map_err(|error| broken("look for interrupted runs", &error))? {
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
        optional(std::fs::remove_dir_all(self.places().logins())).map(drop)
    }

    /// A journal of a run that is recorded outlived it by a power cut. One that cannot be read is an error: nobody knows
    /// what is half changed.
    fn check_journal(&mut self) -> Result<(), Failure> {
        let unread = |error: io::Error| broken("read the journal", &error);
        let Some(content) = journal::read(self.places()).map_err(unread)? else {
            return Ok(());
        };
        let folder = RunFolder::of(self.places(), &content.head.run_id);
        if !folder.has_record() && folder.order().map_err(unread)?.is_none() {
            // What is there without a grant was made by somebody who died putting it back, or is torn.
            optional(folder.remove()).map_err(unread)?;
            self.put_back_unknown(&folder, &content)?;
        }
        if folder.has_record() || !folder.exists() {
            // What could be put back is forgotten only when the result cannot be lost any more.
            optional(folder.keep_record()).map_err(unread)?;
            journal::end(self.places(), &content.head.run_id).map_err(unread)?;
        }
        Ok(())
    }

    /// Puts back what a run has changed of which there is nothing but the journal: its folder is lost, or on a disk that is
    /// not there yet. It cannot be recorded, only logged.
    fn put_back_unknown(&mut self, folder: &RunFolder, content: &Content) -> Result<(), Failure> {
        if content.came == Came::Settled || content.entries.is_empty() {
            return Ok(());
        }
        let id = content.head.run_id.clone();
        let seen = ticket::of(self.places(), &id).map_err(|error| broken("look for its ticket", &error))?;
        let dead = Dead { id, ticket: seen };
        self.finish_tools(&dead)?;
        let lost = |error: io::Error| broken("make its folder anew", &error);
        std::fs::create_dir(folder.path()).map_err(lost)?;
        let log = Log::open(&folder.log(), &dead.id);
        let gone = self.go_back(&dead, folder, log, &content.entries);
        folder.remove().map_err(lost)?;
        let (back, _, ticket) = gone?;
        let sentence = back.tell("interrupted, and its folder is lost", &mut Map::new());
        log::warn!("run {}: {sentence}", dead.id);
        ticket
            .seen()
            .remove()
            .map_err(|error| broken("remove its ticket", &error))
    }

    /// Waits for or ends what a dead run has left at work.
    fn finish_tools(&mut self, dead: &Dead) -> Result<(), Failure> {
        let Some(seen) = &dead.ticket else { return Ok(()) };
        let notes = seen.notes().map_err(|error| broken("read its ticket", &error))?;
        leftover::finish(&notes, self.interrupts, self.say)
    }

    fn complete(&mut self, dead: &Dead) -> Result<(), Failure> {
        self.finish_tools(dead)?;
        let folder = RunFolder::of(self.places(), &dead.id);
        let unread = |error: io::Error| unread(&error);
        let Some(order) = folder.order().map_err(unread)? else {
            return folder.remove().map_err(unread);
        };
        if !was_admitted(self.places(), &folder, &order).map_err(Failure::Failed)? {
            log::info!("run {} was never admitted; its place is given back", dead.id);
            return folder.remove().map_err(unread);
        }
        let log = Log::open(&folder.log(), &dead.id);
        folder
            .keep_record()
            .map_err(|error| broken("its folder cannot be kept", &error))?;
        let known = folder.record().map_err(unread)?;
        let (record, mut log, ticket) = match known {
            Some(record) => (record, log, None),
            None => self.account(dead, &folder, &order, log)?,
        };
        log::info!("run {} is dead and is completed", dead.id);
        let (places, keep) = (self.places(), self.config.runs.keep);
        conclude::conclude(places, keep, &record, &dead.id, &mut log)
            .map_err(|error| broken("its result could not be written", &error))?;
        (self.tell)(&record);
        // With its lock, which we hold: it goes as one that lives.
        match ticket.as_ref().map_or(Ok(()), |ticket| ticket.seen().remove()) {
            Ok(()) => Ok(()),
            Err(error) => Err(broken("remove its ticket", &error)),
        }
    }

    /// What is to be recorded of a run that could not write that itself, after what it has half done was put back.
    fn account(
        &mut self,
        dead: &Dead,
        folder: &RunFolder,
        order: &RunRequest,
        mut log: Log,
    ) -> Result<(Record, Log, Option<Ticket>), Failure> {
        let unread = |error: io::Error| unread(&error);
        // It had come to its end and could not write that down: the log knows better.
        if let Some(outcome) = log.outcome() {
            let mut record = Record::new(order, self.died(dead, folder, Shown::Status, None)?);
            record.outcome = outcome;
            return Ok((record, log, None));
        }
        let journal = journal::read(self.places()).map_err(|error| broken("read the journal", &error))?;
        let journal = journal.filter(|content| content.head.run_id == dead.id);
        match &journal {
            Some(content) if content.came == Came::Settled => {
                return self.tidy(dead, folder, order, log, &content.entries);
            }
            Some(content) if !content.entries.is_empty() => {
                return self.put_back(dead, folder, order, log, &content.entries);
            }
            _ => {}
        }
        // The ticket is gone with a restart of the host. The journal survives that, and what reached the disk of the log.
        let had_its_turn =
            journal.is_some() || self.started(dead, folder)?.is_some() || log.is_past_the_queue();
        let told = had_its_turn.then(|| {
            let mut say = |phase, text: &str| log.say(phase, text, Voice::Run, SystemTime::now());
            conclude_dead(order, self.config, folder, &mut say)
        });
        let told = told.flatten();
        folder.clear_output().map_err(unread)?;
        let (shown, sentence) = match (journal, had_its_turn) {
            (Some(_), _) => (
                Shown::Status,
                "interrupted while it was changing something; its log says what came last",
            ),
            (None, true) => (Shown::Status, "interrupted before it changed anything"),
            (None, false) => (
                Shown::RunsAlone,
                "interrupted before its turn came; nothing was changed",
            ),
        };
        let sentence = told.map_or(sentence.to_owned(), |told| format!("{sentence}; {told}"));
        let end = self.died(dead, folder, shown, Some(sentence))?;
        Ok((Record::new(order, end), log, None))
    }

    /// Tidies up after a run that was done; it is recorded as such.
    fn tidy(
        &mut self,
        dead: &Dead,
        folder: &RunFolder,
        order: &RunRequest,
        log: Log,
        entries: &[Value],
    ) -> Result<(Record, Log, Option<Ticket>), Failure> {
        let config = self.config;
        let ((), log, ticket) = self.on_stage(dead, folder, log, |ctx| deploy::tidy(entries, config, ctx))?;
        let end = self.died(dead, folder, Shown::Status, None)?;
        Ok((Record::new(order, end), log, Some(ticket)))
    }

    /// Puts back what a dead run has changed.
    fn put_back(
        &mut self,
        dead: &Dead,
        folder: &RunFolder,
        order: &RunRequest,
        log: Log,
        entries: &[Value],
    ) -> Result<(Record, Log, Option<Ticket>), Failure> {
        let (back, log, ticket) = self.go_back(dead, folder, log, entries)?;
        let mut end = self.died(dead, folder, Shown::Status, None)?;
        end.error = Some(back.tell("interrupted while it was changing something", &mut end.more));
        Ok((Record::new(order, end), log, Some(ticket)))
    }

    /// The end of a run that could not write its own; `error` is none where all it was for is done.
    fn died(
        &self,
        dead: &Dead,
        folder: &RunFolder,
        shown: Shown,
        error: Option<String>,
    ) -> Result<End, Failure> {
        let ordered = || folder.ordered_at().map_err(|error| unread(&error));
        Ok(End {
            error,
            more: Map::from_iter([("interrupted".to_owned(), json!(true))]),
            started: self.started(dead, folder)?.map_or_else(ordered, Ok)?,
            finished: SystemTime::now(),
            shown,
        })
    }

    /// When its turn came, as far as that is known.
    fn started(&self, dead: &Dead, folder: &RunFolder) -> Result<Option<SystemTime>, Failure> {
        let ticket = dead.ticket.as_ref();
        ticket
            .map_or_else(|| folder.started(), |seen| seen.started(self.places()))
            .map_err(|error| unread(&error))
    }

    fn go_back(
        &mut self,
        dead: &Dead,
        folder: &RunFolder,
        log: Log,
        entries: &[Value],
    ) -> Result<(Back, Log, Ticket), Failure> {
        (self.say)(&format!("going back for run {}, which was interrupted", dead.id));
        let config = self.config;
        let (back, log, ticket) = self.on_stage(dead, folder, log, |ctx| {
            back::once(ctx, entries, UndoReason::Interrupted, config)
        })?;
        Ok((back?, log, ticket))
    }

    /// Acts for a dead run. From here on its ticket is ours, so that our own tools are waited for should we die as well.
    fn on_stage<T>(
        &mut self,
        dead: &Dead,
        folder: &RunFolder,
        log: Log,
        act: impl FnOnce(&mut RunContext) -> T,
    ) -> Result<(T, Log, Ticket), Failure> {
        let places = self.places();
        let ticket = Ticket::of_the_dead(places, &dead.id, dead.ticket.as_ref())
            .map_err(|error| broken("take over its ticket", &error))?;
        folder
            .clear_output()
            .map_err(|error| broken("clear its folder", &error))?;
        let journal = Journal::new(places, &dead.id, String::new());
        let (ears, given) = (self.interrupts.clone(), self.config.runs.run_max);
        let mut ctx = RunContext::new(folder.clone(), log, ears, ticket, journal, given);
        let result = act(&mut ctx);
        let (log, ticket, _) = ctx.leave();
        Ok((result, log, ticket))
    }
}

/// What is said and done for a run that died in its turn, besides going back; what it returns belongs to the record.
fn conclude_dead(
    order: &RunRequest,
    config: &Config,
    folder: &RunFolder,
    say: &mut dyn FnMut(Phase, &str),
) -> Option<String> {
    match &order.task {
        Task::Deploy(_) => None,
        Task::Terraform(task) => terraform::conclude_dead(order, task, config, folder, say),
    }
}

/// Whether the run was to be: it has begun, or its token was spent for it. A place in the queue that was not given back,
/// because its session died before the token was spent, is not a run.
fn was_admitted(places: &Places, folder: &RunFolder, order: &RunRequest) -> Result<bool, String> {
    if folder.has_record() || folder.log().exists() {
        return Ok(true);
    }
    // Nobody waits for the log: where a filesystem has no journal of its own, a power cut takes its name.
    let journal = journal::read(places).map_err(|error| error.to_string())?;
    if journal.is_some_and(|content| content.head.run_id == order.run_id) {
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

fn unread(error: &io::Error) -> Failure {
    broken("its folder cannot be read", error)
}

fn broken(doing: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("{doing}: {error}"))
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
