//! Completing a dead run: what it has half done goes back, and it is recorded.
//!
//! Only a `run` process does that, holding the turn, and it looks for the result again after taking it. Doing it twice
//! changes nothing more. There is one line between going back and not: once its journal says that all it was for is done
//! and seen to be good, a run counts as done, because what could be gone back to may be tidied away already, and because
//! CI's green must mean that it is live.

use std::fs;
use std::io;
use std::time::{Instant, SystemTime};

use serde_json::{Map, Value, json};

use crate::config::{Config, Places};
use crate::deploy::{self, UndoReason};
use crate::gate::{Memory, Task};
use crate::limits::STILL_WAITING_EVERY;
use crate::os::files::optional;
use crate::os::lock;
use crate::queue::dead::{self, RECOVERY_WAITS};
use crate::queue::journal::{self, Content};
use crate::queue::notes::{HeldTicket, Notes};
use crate::queue::record::{Publication, Record};
use crate::queue::{EndPolicy, Origin, RunFolder, RunId, RunRequest, ticket};
use crate::run::end::Processes;
use crate::run::interrupts::Interrupts;
use crate::run::log::Log;
use crate::run::{Failure, Result, RunContext};
use crate::runner::notice::{self, Notice};
use crate::runner::{conclude, rollback, turn};
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
    Ok(completed?)
}

fn recover_all(config: &Config, interrupts: &mut Interrupts, notices: &mut Vec<Notice>) -> Result {
    let places = &config.places;
    // Again after letting go: a run may have died just after the last look, when its finder met our lock.
    while dead::something_died(places)? {
        let Some(_alone) = lock::try_exclusive(&dead::recovering(places))? else {
            return Ok(());
        };
        let _turn = turn::wait(places, 0, interrupts, RECOVERY_WAITS, &mut |_| {})?;
        let mut completer = Completer {
            config,
            interrupts,
            say: &mut |what| log::info!("{what}"),
            notices,
        };
        completer.complete_all()?;
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
    /// Completes every dead run. The caller holds the turn.
    ///
    /// # Errors
    /// When one could not be completed: then nothing else may be changed.
    pub fn complete_all(&mut self) -> Result {
        let places = &self.config.places;
        let unseen = |error| Failure::Failed(format!("look for interrupted runs: {error}"));
        // Only the run whose turn it is logs in anywhere, and that is the caller: every login that is there is a dead run's.
        remove_logins(places).map_err(unseen)?;
        if let Some(content) = journal::read(places)? {
            let id = &content.run_id;
            self.check_journal(&content).map_err(|why| interrupted(id, why))?;
        }
        for id in dead::find(places).map_err(unseen)? {
            self.complete(&id).map_err(|why| interrupted(&id, why))?;
            remove_ticket(places, &id)?;
        }
        Ok(())
    }

    /// A journal of a run that is recorded outlived it by a power cut.
    fn check_journal(&mut self, content: &Content) -> Result {
        let places = &self.config.places;
        let folder = RunFolder::of(places, &content.run_id);
        if !folder.has_record() && folder.order()?.is_none() {
            // What is there without a grant was made by somebody who died putting it back, or is torn.
            folder.remove()?;
            self.put_back_unknown(&folder, content)?;
        }
        if folder.has_record() || !folder.exists() {
            // What could be put back is forgotten only when the result cannot be lost any more.
            optional(folder.keep_record())?;
            journal::end(places, &content.run_id)?;
        }
        Ok(())
    }

    /// Puts back what a run has changed of which there is nothing but the journal: its folder is lost, or on a disk that is
    /// not there yet. It cannot be recorded, only logged.
    fn put_back_unknown(&mut self, folder: &RunFolder, content: &Content) -> Result {
        if content.committed || content.entries.is_empty() {
            return Ok(());
        }
        let id = &content.run_id;
        self.end_orphans(id)?;
        fs::create_dir(folder.path())?;
        let why = "interrupted, and its folder is lost";
        let back = self.settle(content, folder, why, &mut Map::new());
        folder.remove()?;
        let sentence = back?.unwrap_or_default();
        log::warn!("run {id}: {sentence}");
        remove_ticket(&self.config.places, id)
    }

    /// Waits for or ends every tool that a dead run has left at work. Without a ticket it is from before a restart of the
    /// host, and there is none.
    fn end_orphans(&mut self, id: &RunId) -> Result {
        let notes = Notes::of(ticket::of(&self.config.places, id)?.as_ref())?;
        let Some(holder) = notes.holder else { return Ok(()) };
        for tool in notes.tools {
            let orphan = Processes {
                name: format!("`{}`, which an interrupted run left at work", tool.program),
                holder: Some(holder),
                leader: tool.started,
            };
            if orphan.living()?.is_empty() {
                continue;
            }
            (self.say)(&format!("waiting for {}", orphan.name));
            match tool.end_policy {
                // An INT would leave the rest of an apply undone, and dockerd does what it was asked whatever becomes of
                // its client.
                EndPolicy::Interrupt | EndPolicy::WaitOut => {
                    while !orphan.end_by(Instant::now() + STILL_WAITING_EVERY, self.interrupts)? {
                        (self.say)(&format!("still waiting for {}", orphan.name));
                    }
                }
                policy => orphan.end(policy, self.interrupts)?,
            }
        }
        Ok(())
    }

    fn complete(&mut self, id: &RunId) -> Result {
        self.end_orphans(id)?;
        let places = &self.config.places;
        let folder = RunFolder::of(places, id);
        let Some(order) = folder.order()? else {
            return Ok(folder.remove()?);
        };
        if !was_admitted(places, &folder, &order)? {
            log::info!("run {id} was never admitted; its place is given back");
            return Ok(folder.remove()?);
        }
        folder.keep_record()?;
        let record = match folder.record()? {
            Some(record) => record,
            None => self.judge(id, &folder, &order)?,
        };
        log::info!("run {id} is dead and is completed");
        let mut log = Log::open(&folder.log(), id);
        conclude(self.config, &record, id, &mut log)?;
        self.notices.extend(notice::start(self.config, &record));
        Ok(())
    }

    /// What is to be recorded of a run that could not do that itself, after what it has half done was put back.
    fn judge(&mut self, id: &RunId, folder: &RunFolder, order: &RunRequest) -> Result<Record> {
        let places = &self.config.places;
        let turn = Notes::of(ticket::of(places, id)?.as_ref())?.turn;
        let started = turn.map_or_else(|| folder.ordered_at(), Ok)?;
        let log = Log::open(&folder.log(), id);
        // It had come to its end and could not write that down: the log knows better.
        if let Some(outcome) = log.outcome() {
            let mut record = Record::new(order, started, started);
            record.outcome = outcome;
            return Ok(record);
        }
        let content = journal::read(places)?.filter(|content| content.run_id == *id);
        // The ticket is gone with a restart of the host; what reached the disk of the log is not.
        let has_waited_only = content.is_none() && turn.is_none() && !log.is_past_the_queue();
        let mut more = Map::from_iter([("interrupted".to_owned(), json!(true))]);
        let was_changing = "interrupted while it was changing something";
        let why = match &content {
            Some(content) if content.committed || !content.entries.is_empty() => {
                self.settle(content, folder, was_changing, &mut more)?
            }
            Some(_) => {
                let why = format!("{was_changing}; its log says what came last");
                Some(self.clean_up(folder, order, &why)?)
            }
            None if has_waited_only => {
                Some("interrupted before its turn came; nothing was changed".to_owned())
            }
            None => Some(self.clean_up(folder, order, "interrupted before it changed anything")?),
        };
        let mut record = Record::new(order, started, SystemTime::now());
        record.outcome.more.extend(more);
        why.iter().for_each(|why| record.fail(why));
        if has_waited_only {
            record.publication = Publication::RunsOnly;
        }
        Ok(record)
    }

    /// Cleans up after a run that had its turn and of which nothing can go back; `why` it failed, with what is to be told of
    /// it.
    fn clean_up(&self, folder: &RunFolder, order: &RunRequest, why: &str) -> Result<String> {
        let told: Option<String> = match &order.task {
            Task::Deploy(_) => None,
            #[cfg(feature = "terraform")]
            Task::Terraform(task) => {
                let mut log = Log::open(&folder.log(), &order.run_id);
                let mut say = |phase, text: &str| log.say(phase, text);
                terraform::conclude_dead(order, task, self.config, folder, &mut say)
            }
        };
        folder.clear_output()?;
        Ok(match told {
            Some(told) => format!("{why}; {told}"),
            None => why.to_owned(),
        })
    }

    /// Goes back over what a dead run has changed, or tidies up where it had come to its good end; `why` it failed, with what
    /// became of that. Meanwhile its ticket is ours, so that our own tools are waited for should we die as well.
    fn settle(
        &mut self,
        content: &Content,
        folder: &RunFolder,
        why: &str,
        more: &mut Map<String, Value>,
    ) -> Result<Option<String>> {
        let (config, id) = (self.config, &content.run_id);
        let mut ticket = HeldTicket::of_the_dead(&config.places, id)?;
        folder.clear_output()?;
        let mut log = Log::open(&folder.log(), id);
        let run_max = config.runs.run_max;
        let mut ctx = RunContext::new(config, &mut log, self.interrupts, &mut ticket, run_max);
        let mut back = None;
        if content.committed {
            deploy::tidy(&mut ctx, &content.entries);
        } else {
            (self.say)(&format!("going back for run {id}, which was interrupted"));
            let entries = &content.entries;
            back = Some(rollback::once(&mut ctx, entries, UndoReason::Interrupted, why));
        }
        more.extend(ctx.members);
        back.transpose()
    }
}

fn interrupted(id: &RunId, failure: Failure) -> Failure {
    match failure {
        Failure::Failed(why) => Failure::Failed(format!(
            "run {id} was interrupted, and cannot be completed: {why}"
        )),
        other => other,
    }
}

/// The folder itself stays: others may be about to make sure that it is there.
fn remove_logins(places: &Places) -> io::Result<()> {
    for entry in fs::read_dir(places.logins())? {
        optional(fs::remove_dir_all(entry?.path()))?;
    }
    Ok(())
}

/// Also where it had none: one was made while it was completed.
fn remove_ticket(places: &Places, id: &RunId) -> Result {
    match ticket::of(places, id)? {
        Some(seen) => Ok(seen.remove()?),
        None => Ok(()),
    }
}

/// Whether the run was to be: it has begun, or its token was spent for it. A place in the queue that was not given back,
/// because its session died before the token was spent, is not a run.
fn was_admitted(places: &Places, folder: &RunFolder, order: &RunRequest) -> Result<bool> {
    let has_begun = folder.has_record()
        || folder.log().exists()
        // Nobody waits for the log: where a filesystem has no journal of its own, a power cut takes its name.
        || journal::read(places)?.is_some_and(|content| content.run_id == order.run_id);
    match &order.origin {
        Origin::Token { token, .. } if !has_begun => {
            let started = Memory::of(&places.state).run_of(token);
            let started = started.map_err(|refusal| refusal.detail)?;
            Ok(started.as_deref() == Some(order.run_id.as_str()))
        }
        _ => Ok(has_begun),
    }
}

#[cfg(test)]
#[path = "complete_tests.rs"]
mod tests;
