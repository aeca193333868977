//! Following a run: its log's lines from the start, then as they come, to the outcome.
//!
//! A follower reads files and nothing else, so any number of them, coming and going, is nothing to the run. It holds at
//! most one block of the log. When the run turns out to be dead, it has it completed and ends with what was recorded.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::config::{Places, Settings};
use crate::event::{outcome_of, to_line};
use crate::gate::Reader;
use crate::limits::{LOG_BLOCK as BLOCK, RECOVER_AGAIN, RETRY};
use crate::os::child::Child;
use crate::os::files::optional;
use crate::os::watch::Watch;
use crate::queue::{RunFolder, RunId, dead, ticket};

/// What a follower has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next line, without its newline.
    Line(String),
    /// Nothing until the descriptor is ready, or [`RETRY`] has passed.
    NothingYet,
    /// That was all; the line before this was the outcome, unless the run's folder is gone.
    Ended,
}

/// One follower of one run.
pub struct Follower {
    places: Places,
    settings: Settings,
    id: RunId,
    folder: RunFolder,
    log: Option<File>,
    watch: Watch,
    /// Where the first line that was not given out begins.
    offset: u64,
    lines: VecDeque<String>,
    ended: bool,
    looked: Option<Instant>,
    recovery: Option<(Instant, Option<Child>)>,
}

impl Follower {
    /// Follows the run that `reader` may read; `None` when there is no such run. `settings` are for completing it,
    /// should it be dead.
    pub fn open(places: &Places, reader: Reader, settings: &Settings) -> Option<Self> {
        let id = RunId::parse(reader.run_id())?;
        let folder = RunFolder::of(places, &id);
        folder.exists().then(|| Self {
            watch: Watch::on_each_write(folder.path()),
            places: places.clone(),
            settings: settings.clone(),
            id,
            folder,
            log: None,
            offset: 0,
            lines: VecDeque::new(),
            ended: false,
            looked: None,
            recovery: None,
        })
    }

    /// The run that is followed.
    pub fn run_id(&self) -> &RunId {
        &self.id
    }

    /// What to poll for reading, where there is something; [`Follower::next_line`] is to be called every [`RETRY`] in
    /// any case.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.watch.descriptor()
    }

    /// The next line, if there is one. Never waits.
    ///
    /// # Errors
    /// When the log or the state folders cannot be read.
    pub fn next_line(&mut self) -> io::Result<Followed> {
        if self.lines.is_empty() && !self.ended {
            self.watch.drain();
            self.fill()?;
        }
        match self.lines.pop_front() {
            Some(line) => Ok(self.give(line)),
            None if self.ended => Ok(Followed::Ended),
            None => self.look_around(),
        }
    }

    fn give(&mut self, line: String) -> Followed {
        // An event never parses as an outcome; the prefix saves trying for most.
        if line.starts_with("{\"status\":") && outcome_of(&line).is_some() {
            self.ended = true;
            self.lines.clear();
        }
        Followed::Line(line)
    }

    /// Takes the whole lines of the next block. A torn tail stays where it is: its writer may be just writing it, or
    /// dead, and then it goes.
    fn fill(&mut self) -> io::Result<()> {
        if self.log.is_none() {
            self.log = optional(File::open(self.folder.log()))?;
        }
        let Some(log) = &self.log else { return Ok(()) };
        let mut block = vec![0; BLOCK];
        let count = log.read_at(&mut block, self.offset)?;
        let newline = block[..count].iter().rposition(|byte| *byte == b'\n');
        let whole = newline.map_or(0, |at| at + 1);
        let text = String::from_utf8_lossy(&block[..whole]);
        let lines = text.lines().filter(|line| !line.is_empty());
        self.lines.extend(lines.map(str::to_owned));
        self.offset += match whole {
            // No line of ours: passed over, so that it cannot stop us.
            0 if count == BLOCK => BLOCK as u64,
            _ => whole as u64,
        };
        Ok(())
    }

    /// With no line to give: whether the run still lives, and what to do when it does not.
    fn look_around(&mut self) -> io::Result<Followed> {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now < looked + RETRY) {
            return Ok(Followed::NothingYet);
        }
        self.looked = Some(now);
        let ticket = ticket::of(&self.places, &self.id)?;
        if ticket.map_or(Ok(false), |ticket| ticket.is_live())? {
            return Ok(Followed::NothingYet);
        }
        // It may have written its last lines between our reading and its end.
        self.fill()?;
        if let Some(line) = self.lines.pop_front() {
            return Ok(self.give(line));
        }
        if let Some(record) = self.folder.record()? {
            // It did not come to saying so itself, perhaps not even to waiting for the disk.
            self.folder.keep_record()?;
            self.ended = true;
            return Ok(Followed::Line(to_line(&record.outcome)));
        }
        if !self.folder.exists() {
            self.ended = true;
            return Ok(Followed::Ended);
        }
        self.recover(now)?;
        Ok(Followed::NothingYet)
    }

    /// Has the run completed: once, and again when that came to nothing.
    fn recover(&mut self, now: Instant) -> io::Result<()> {
        if let Some((started, child)) = &mut self.recovery {
            let _ = child.as_mut().map(Child::try_wait);
            if now < *started + RECOVER_AGAIN {
                return Ok(());
            }
        }
        self.recovery = Some((now, dead::ensure_recovered(&self.places, &self.settings)?));
        Ok(())
    }
}

#[cfg(test)]
#[path = "follow_tests.rs"]
mod tests;
