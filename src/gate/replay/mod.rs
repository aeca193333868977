//! The last gate: a token works once.
//!
//! One file remembers the tokens of all endpoints until they are dead. Looking, writing and fsync happen under one
//! exclusive lock; the lock is a file of its own that is never renamed. Whatever cannot be read, written or locked
//! refuses: no run without a record. A token is written only here, after every other gate has let it through, so no
//! refusal spends one, and nobody can fill the disk with tokens that our policy does not want.

pub mod record;
mod token_id;

pub use token_id::TokenId;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::gate::{Refusal, Result};
use crate::jwt::{Check, Claimed, dead_from};
use crate::limits::{LEEWAY, MAX_REPLAY_FILE, REPLAY_PRUNE_FROM, STATE_LOCK_WAIT};
use crate::os::clock::unix_seconds;
use crate::os::{files, lock};
use record::{Book, Floors, Use};

/// The memory in a state folder: `jti`, locked by `jti.lock`. Whatever keeps it from being read or written is a
/// [`Refusal::MEMORY`].
#[derive(Clone, Debug)]
pub struct Memory {
    file: PathBuf,
    lock: PathBuf,
}

impl Memory {
    /// The memory of a state folder. Nothing is opened or made.
    pub fn of(state: &Path) -> Self {
        Self {
            file: state.join("jti"),
            lock: state.join("jti.lock"),
        }
    }

    /// Makes the memory unless there is one, which is left alone; whether it did. Only roles that an operator starts do
    /// this, never a request. The new one knows nothing of tokens from before `since`: a memory was there and is lost, or
    /// nobody can say. With `None` no token was used before: this is the first installation, on the operator's word.
    pub fn create(&self, since: Option<SystemTime>) -> Result<bool> {
        let _alone = self.lock_it()?;
        // Not knowing whether there is one is no licence to put an empty one in its place.
        if self
            .file
            .try_exists()
            .map_err(|error| self.failed(error, "look for"))?
        {
            return Ok(false);
        }
        let created = since.map_or(0, floor);
        self.replace(&record::empty(Floors { created, pruned: 0 }))?;
        Ok(true)
    }

    /// Remembers that the token started `run_id`, for good: when this returns, the record is on disk.
    ///
    /// # Errors
    /// [`Refusal::replay`] when the token is known, and what [`Memory::first_use`] refuses.
    pub fn remember(&self, token: &Claimed, endpoint: &str, run_id: &str, now: SystemTime) -> Result {
        let _alone = self.lock_it()?;
        let file = self.read_whole(now)?;
        let book = self.open(&file)?;
        if let Some(run_id) = self.judge(&book, token, now)? {
            return Err(Refusal::replay(&run_id));
        }
        let used = Use {
            token: TokenId::of(token),
            expires: token.expires,
            latest: unix_seconds(now),
            run_id: run_id.to_owned(),
            endpoint: endpoint.to_owned(),
        };
        self.append(&book, used)
    }

    /// The run that the token started, if it was used. Decided without the lock, so that a record which is being written
    /// may not be there yet: only [`Memory::remember`] decides that a token was not used.
    ///
    /// # Errors
    /// A token of which the memory cannot know: issued before the memory was made, or dead when it was last pruned.
    pub fn first_use(&self, token: &Claimed, now: SystemTime) -> Result<Option<String>> {
        let mut file = self.read()?;
        if self.open(&file)?.end_is_bad {
            let _alone = self.lock_it()?;
            file = self.read_whole(now)?;
        }
        self.judge(&self.open(&file)?, token, now)
    }

    /// The run that this token started, as long as the token lives; after that the memory may have forgotten.
    pub fn run_of(&self, token: &TokenId) -> Result<Option<String>> {
        let file = self.read()?;
        let found = self.open(&file)?.find(token, 0);
        Ok(self.whole(found)?.map(|used| used.run_id))
    }

    /// Reads every record; how many tokens are remembered.
    pub fn inspect(&self) -> Result<usize> {
        let file = self.read()?;
        let book = self.open(&file)?;
        for number in 1..=book.count {
            self.whole(book.use_at(number))?;
        }
        Ok(book.count)
    }

    fn judge(&self, book: &Book, token: &Claimed, now: SystemTime) -> Result<Option<String>> {
        // Its `iat` may have lain ahead of our clock by the leeway when it was used.
        let since = token.issued.saturating_sub(LEEWAY.as_secs());
        match self.whole(book.find(&TokenId::of(token), since))? {
            Some(used) => Ok(Some(used.run_id)),
            None => self.may_be_new(book.floors, token, now).map(|()| None),
        }
    }

    /// Absence means "not used" only for tokens of which the memory would know.
    fn may_be_new(&self, floors: Floors, token: &Claimed, now: SystemTime) -> Result {
        let Floors { created, pruned } = floors;
        let Claimed { issued, expires, .. } = *token;
        let file = self.file.display();
        // An `iat` may lie ahead of our clock by the leeway, so a token that was used before the memory was made may
        // say that it was issued as much as that after.
        let tells_from = created.saturating_add(LEEWAY.as_secs());
        if created > 0 && issued <= tells_from {
            let wait = tells_from.saturating_sub(unix_seconds(now)).saturating_add(1);
            let detail = format!("{file} knows of no token from before {created}; iat is {issued}");
            return Err(Refusal {
                retry_after: Some(Duration::from_secs(wait)),
                ..Refusal::MEMORY_IS_NEW.because(detail)
            });
        }
        // A clock that was ahead when records were dropped, and stepped back since, would revive their tokens.
        if dead_from(expires) <= pruned {
            let detail = format!(
                "exp is {expires}, but {file} forgot all tokens dead at {pruned}: the clock has stepped back; to accept \
                 older tokens again, remove the file and run `engram-deployer init`"
            );
            return Err(Check::EXPIRY.rejects(detail).into());
        }
        Ok(())
    }

    /// Puts `used` behind the other records; drops those of dead tokens first when they are many, or when there is no room.
    fn append(&self, book: &Book, mut used: Use) -> Result {
        let now = used.latest;
        used.latest = now.max(self.whole(book.latest())?);
        let mut count = book.count;
        let is_full = |count: usize| (count + 2) * record::SIZE > MAX_REPLAY_FILE;
        if count >= REPLAY_PRUNE_FROM && (is_full(count) || self.whole(book.is_half_dead(now))?) {
            // Should the clock step back, the tokens that are forgotten here would be taken for new.
            let floors = Floors {
                pruned: book.floors.pruned.max(now),
                ..book.floors
            };
            let file = self.whole(book.rewritten(floors, |used| dead_from(used.expires) > now))?;
            count = file.len() / record::SIZE - 1;
            if is_full(count) {
                let file = self.file.display();
                return Err(unusable(format!(
                    "{file} has no room: {count} tokens were used that are still alive"
                )));
            }
            self.replace(&file)?;
        }
        let record = used.record(count + 1).map_err(unusable)?;
        files::append_durably(&self.file, ((count + 1) * record::SIZE) as u64, &record)
            .map_err(|error| self.failed(error, "append to"))
    }

    /// The file, under the lock. A bad end is cut off, and the memory says from then on that it knows nothing of tokens
    /// from before: the record may have been a good one that the disk has lost.
    fn read_whole(&self, now: SystemTime) -> Result<Vec<u8>> {
        let file = self.read()?;
        let book = self.open(&file)?;
        if !book.end_is_bad {
            return Ok(file);
        }
        let name = self.file.display();
        log::warn!(
            "the last record of {name} is bad, as after a power cut: tokens issued until now are refused"
        );
        let floors = Floors {
            created: floor(now).max(book.floors.created),
            ..book.floors
        };
        let file = self.whole(book.rewritten(floors, |_| true))?;
        self.replace(&file)?;
        Ok(file)
    }

    fn replace(&self, file: &[u8]) -> Result {
        files::replace(&self.file, file, 0o600).map_err(|error| self.failed(error, "write"))
    }

    fn lock_it(&self) -> Result<File> {
        lock::exclusive_within(&self.lock, STATE_LOCK_WAIT).map_err(|error| self.failed(error, "lock"))
    }

    fn read(&self) -> Result<Vec<u8>> {
        let read = files::optional(files::read_bounded(&self.file, 2 * MAX_REPLAY_FILE as u64));
        read.map_err(|error| self.failed(error, "read"))?.ok_or_else(|| {
            let file = self.file.display();
            unusable(format!(
                "there is no replay memory {file}: start `serve`, or run `engram-deployer init`"
            ))
        })
    }

    fn open<'t>(&self, file: &'t [u8]) -> Result<Book<'t>> {
        self.whole(Book::open(file))
    }

    /// What was read, if it was not damaged.
    fn whole<T>(&self, read: Result<T, String>) -> Result<T> {
        read.map_err(|fault| {
            let file = self.file.display();
            unusable(format!(
                "{file} is damaged: {fault}; remove it to begin anew (tokens issued before are then refused)"
            ))
        })
    }

    fn failed(&self, error: std::io::Error, doing: &str) -> Refusal {
        unusable(files::describe(
            &error,
            &format!("{doing} the replay memory"),
            &self.file,
        ))
    }
}

/// The time before which nothing is known. A clock at 1970 must not say that there was nothing to forget.
fn floor(now: SystemTime) -> u64 {
    unix_seconds(now).max(1)
}

fn unusable(detail: String) -> Refusal {
    Refusal::MEMORY.because(detail)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A record as [`Memory::remember`] writes it, of a token that nobody has signed.
    pub(crate) fn append(state: &Path, token: &TokenId, run_id: &str) {
        let memory = Memory::of(state);
        let file = memory.read().unwrap();
        let used = Use {
            token: token.clone(),
            expires: 1 << 40,
            latest: 1 << 30,
            run_id: run_id.into(),
            endpoint: "deploy".into(),
        };
        memory.append(&memory.open(&file).unwrap(), used).unwrap();
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
