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
use crate::gate::{Memory, Task};
use crate::os::files::optional;
use crate::os::lock;
use crate::queue::dead::{self, Dead, RECOVERY_WAITS};
use crate::queue::journal::{self, Content, Journal};
use crate::queue::notes::{HeldTicket, Notes};
use crate::queue::record::{End, Publication, Record};
use crate::queue::ticket;
use crate::queue::{Origin, RunFolder, RunRequest};
use crate::run::interrupts::Interrupts;
use crate::run::log::Log;
use crate::run::{Failure, RunContext};
use crate::runner::notice::{self, Notice};
use crate::runner::rollback::{self, Back};
use crate::runner::{conclude, processes, turn};
#[cfg(feature = "terraform")]
use crate::terraform;

/// The role behind [`crate::queue::ensure_recovered`], and `engram-deployer recover`: waits for the turn and completes what
/// is dead. One at a time: a second one has nothing to do.
///
/// # Errors
/// Those of the machine, and what kept a dead run from being completed.
pub fn recover(config: &Config) -> io::Result<()> {
    let mut interrupts = Interrupts::block()?;
    let mut notices = Vec::new();
    let completed = recover_all(config, &mut interrupts, &mut notices);
    notice::finish_all(notices)?;
    completed
}

fn recover_all(config: &Config, interrupts: &mut Interrupts, notices: &mut Vec<Notice>) -> io::Result<()> {
    let places = &config.places;
    let failed = |failure: Failure| io::Error::other(failure.to_string());
    // Again after letting go: a run may have died just after the last look, when its finder met our lock.
    while dead::something_died(places)? {
        let Some(_alone) = lock::try_exclusive(&dead::recovering(places))? else {
            return Ok(());
        };
        let _turn = turn::wait(places, 0, interrupts, RECOVERY_WAITS, &mut |_| {}).map_err(failed)?;
        let mut completer = Completer {
            config,
            interrupts,
            say: &mut |what| log::info!("{what}"),
            notices,
        };
        completer.complete_all().map_err(failed)?;
    }
    Ok(())
}

/// Where and how dead runs are completed.
pub struct Completer<'a> {
    /// Where everything is, and how things go back.
    pub config: &'a Config,
    /// A signal ends waiting.
    pub interrupts: &'a mut Interrupts,
    /// Hears what is waited for.
    pub say: &'a mut dyn FnMut(&str),
    /// The notices of what was completed, to be waited for when nobody waits for us.
    pub notices: &'a mut Vec<Notice>,
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
        // Only the run whose turn it is logs in anywhere, and that is the caller: every login that is there is a dead run's.
        remove_logins(self.places()).map_err(broken("remove the login of an interrupted run"))?;
        self.check_journal()?;
        for dead in dead::find(self.places()).map_err(broken("look for interrupted runs"))? {
            self.complete(&dead).map_err(|failure| match failure {
                Failure::Failed(why) => {
                    Failure::Failed(format!("run {} was interrupted, and {why}", dead.id))
                }
                other => other,
            })?;
            remove_ticket(self.places(), &dead)?;
        }
        Ok(())
    }

    /// A journal of a run that is recorded outlived it by a power cut. One that cannot be read is an error: nobody knows
    /// what is half changed.
    fn check_journal(&mut self) -> Result<(), Failure> {
        let unread = broken("read the journal");
        let Some(content) = journal::read(self.places()).map_err(&unread)? else {
            return Ok(());
        };
        let folder = RunFolder::of(self.places(), &content.run_id);
        if !folder.has_record() && folder.order().map_err(&unread)?.is_none() {
            // What is there without a grant was made by somebody who died putting it back, or is torn.
            folder.remove().map_err(&unread)?;
            self.put_back_unknown(&folder, &content)?;
        }
        if folder.has_record() || !folder.exists() {
            // What could be put back is forgotten only when the result cannot be lost any more.
            optional(folder.keep_record()).map_err(&unread)?;
            journal::end(self.places(), &content.run_id).map_err(&unread)?;
        }
        Ok(())
    }

    /// Puts back what a run has changed of which there is nothing but the journal: its folder is lost, or on a disk that is
    /// not there yet. It cannot be recorded, only logged.
    fn put_back_unknown(&mut self, folder: &RunFolder, content: &Content) -> Result<(), Failure> {
        if content.committed || content.entries.is_empty() {
            return Ok(());
        }
        let id = content.run_id.clone();
        let seen = ticket::of(self.places(), &id).map_err(broken("look for its ticket"))?;
        let dead = Dead { id, ticket: seen };
        self.end_orphans(&dead)?;
        std::fs::create_dir(folder.path()).map_err(broken("make its folder anew"))?;
        let back = self.go_back(&dead, folder, &content.entries);
        folder.remove().map_err(broken("remove its folder"))?;
        let sentence = back?.tell("interrupted, and its folder is lost", &mut Map::new());
        log::warn!("run {}: {sentence}", dead.id);
        remove_ticket(self.places(), &dead)
    }

    /// Waits for or ends what a dead run has left at work.
    fn end_orphans(&mut self, dead: &Dead) -> Result<(), Failure> {
        let Some(seen) = &dead.ticket else { return Ok(()) };
        let notes = Notes::of(seen).map_err(broken("read its ticket"))?;
        processes::end_orphans(&notes, self.interrupts, self.say)
    }

    fn complete(&mut self, dead: &Dead) -> Result<(), Failure> {
        self.end_orphans(dead)?;
        let folder = RunFolder::of(self.places(), &dead.id);
        let unread = broken("its folder cannot be read");
        let Some(order) = folder.order().map_err(&unread)? else {
            return folder.remove().map_err(&unread);
        };
        if !was_admitted(self.places(), &folder, &order).map_err(Failure::Failed)? {
            log::info!("run {} was never admitted; its place is given back", dead.id);
            return folder.remove().map_err(&unread);
        }
        folder
            .keep_record()
            .map_err(broken("its folder cannot be kept"))?;
        let record = match folder.record().map_err(&unread)? {
            Some(record) => record,
            None => self.judge(dead, &folder, &order)?,
        };
        log::info!("run {} is dead and is completed", dead.id);
        let (places, keep) = (self.places(), self.config.runs.keep);
        let mut log = Log::open(&folder.log(), &dead.id);
        conclude::conclude(places, keep, &record, &dead.id, &mut log)
            .map_err(broken("its result could not be written"))?;
        self.notices.extend(notice::start(self.config, &record));
        Ok(())
    }

    /// What is to be recorded of a run that could not do that itself, after what it has half done was put back.
    fn judge(&mut self, dead: &Dead, folder: &RunFolder, order: &RunRequest) -> Result<Record, Failure> {
        let unread = broken("its folder cannot be read");
        let notes = dead.ticket.as_ref().map_or(Ok(Notes::default()), Notes::of);
        let started = notes.map_err(&unread)?.turn();
        let mut end = End {
            error: None,
            more: Map::from_iter([("interrupted".to_owned(), json!(true))]),
            started: started.map_or_else(|| folder.ordered_at(), Ok).map_err(&unread)?,
            finished: SystemTime::now(),
            publication: Publication::Status,
        };
        let log = Log::open(&folder.log(), &dead.id);
        // It had come to its end and could not write that down: the log knows better.
        if let Some(outcome) = log.outcome() {
            let mut record = Record::new(order, end);
            record.outcome = outcome;
            return Ok(record);
        }
        let journal = journal::read(self.places()).map_err(broken("read the journal"))?;
        match journal.filter(|content| content.run_id == dead.id) {
            Some(content) if content.committed => {
                let config = self.config;
                self.act_for(dead, folder, |ctx| deploy::tidy(&content.entries, config, ctx))?;
            }
            Some(content) if !content.entries.is_empty() => {
                let back = self.go_back(dead, folder, &content.entries)?;
                end.error = Some(back.tell("interrupted while it was changing something", &mut end.more));
            }
            Some(_) => {
                let sentence = "interrupted while it was changing something; its log says what came last";
                end.error = Some(self.clean_up(folder, order, log, sentence)?);
            }
            // The ticket is gone with a restart of the host; what reached the disk of the log is not.
            None if started.is_some() || log.is_past_the_queue() => {
                let sentence = "interrupted before it changed anything";
                end.error = Some(self.clean_up(folder, order, log, sentence)?);
            }
            None => {
                end.error = Some("interrupted before its turn came; nothing was changed".to_owned());
                end.publication = Publication::RunsOnly;
            }
        }
        end.finished = SystemTime::now();
        Ok(Record::new(order, end))
    }

    /// Cleans up after a run that had its turn and of which nothing can go back; `sentence`, with what is to be told of it.
    fn clean_up(
        &self,
        folder: &RunFolder,
        order: &RunRequest,
        #[cfg_attr(
            not(feature = "terraform"),
            expect(unused_mut, unused_variables, reason = "of a deploy there is nothing to say")
        )]
        mut log: Log,
        sentence: &str,
    ) -> Result<String, Failure> {
        let told: Option<String> = match &order.task {
            Task::Deploy(_) => None,
            #[cfg(feature = "terraform")]
            Task::Terraform(task) => {
                let mut say = |phase, text: &str| log.say(phase, text, SystemTime::now());
                terraform::conclude_dead(order, task, self.config, folder, &mut say)
            }
        };
        folder.clear_output().map_err(broken("clear its folder"))?;
        Ok(told.map_or(sentence.to_owned(), |told| format!("{sentence}; {told}")))
    }

    fn go_back(&mut self, dead: &Dead, folder: &RunFolder, entries: &[Value]) -> Result<Back, Failure> {
        (self.say)(&format!("going back for run {}, which was interrupted", dead.id));
        let config = self.config;
        self.act_for(dead, folder, |ctx| {
            rollback::once(ctx, entries, UndoReason::Interrupted, config)
        })?
    }

    /// Acts for a dead run. Meanwhile its ticket is ours, so that our own tools are waited for should we die as well.
    fn act_for<T>(
        &mut self,
        dead: &Dead,
        folder: &RunFolder,
        act: impl FnOnce(&mut RunContext) -> T,
    ) -> Result<T, Failure> {
        let places = self.places();
        let ticket = HeldTicket::of_the_dead(places, &dead.id, dead.ticket.as_ref())
            .map_err(broken("take over its ticket"))?;
        folder.clear_output().map_err(broken("clear its folder"))?;
        let journal = Journal::new(places, &dead.id);
        let log = Log::open(&folder.log(), &dead.id);
        let none = Interrupts::deaf().map_err(broken("wait"))?;
        let interrupts = std::mem::replace(self.interrupts, none);
        let run_max = self.config.runs.run_max;
        let mut ctx = RunContext::new(
            self.config,
            folder.clone(),
            log,
            interrupts,
            ticket,
            journal,
            run_max,
        );
        let result = act(&mut ctx);
        *self.interrupts = ctx.interrupts;
        Ok(result)
    }
}

/// The folder itself stays: others may be about to make sure that it is there.
fn remove_logins(places: &Places) -> io::Result<()> {
    for entry in std::fs::read_dir(places.logins())? {
        optional(std::fs::remove_dir_all(entry?.path()))?;
    }
    Ok(())
}

/// Also where it had none: one was made while it was completed.
fn remove_ticket(places: &Places, dead: &Dead) -> Result<(), Failure> {
    let seen = ticket::of(places, &dead.id);
    seen.and_then(|seen| seen.map_or(Ok(()), |seen| seen.remove()))
        .map_err(broken("remove its ticket"))
}

/// Whether the run was to be: it has begun, or its token was spent for it. A place in the queue that was not given back,
/// because its session died before the token was spent, is not a run.
fn was_admitted(places: &Places, folder: &RunFolder, order: &RunRequest) -> Result<bool, String> {
    if folder.has_record() || folder.log().exists() {
        return Ok(true);
    }
    // Nobody waits for the log: where a filesystem has no journal of its own, a power cut takes its name.
    let journal = journal::read(places).map_err(|error| error.to_string())?;
    if journal.is_some_and(|content| content.run_id == order.run_id) {
        return Ok(true);
    }
    match &order.origin {
        Origin::Local { .. } => Ok(false),
        Origin::Token { token, .. } => {
            let started = Memory::of(&places.state).run_of(token);
            let started = started.map_err(|refusal| refusal.detail)?;
            Ok(started.as_deref() == Some(order.run_id.as_str()))
        }
    }
}

/// What could not be done, with why.
fn broken(doing: &'static str) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::Failed(format!("{doing}: {error}"))
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
