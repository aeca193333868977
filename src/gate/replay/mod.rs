//! The last gate: a token works once.
//!
//! One file remembers the tokens of all endpoints until they are dead. Looking, writing and fsync happen under one
//! exclusive lock; the lock is a file of its own that is never renamed. Whatever cannot be read, written or locked
//! refuses: no run without a record. A token is written only here, after every other gate has let it through, so no
//! refusal spends one, and nobody can fill the disk with tokens that our policy does not want.

pub mod record;
mod token_id;

pub use token_id::TokenId;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::gate::Refusal;
use crate::jwt::{Check, Claimed, dead_from};
use crate::limits::{LEEWAY, MAX_REPLAY_FILE, REPLAY_PRUNE_FROM, STATE_LOCK_WAIT};
use crate::os::clock::unix_seconds;
use crate::os::files;
use crate::os::lock;
use record::{Book, Floors, Use};

/// The memory in a state folder: `jti`, locked by `jti.lock`.
#[derive(Clone, Debug)]
pub struct Memory {
    file: PathBuf,
    lock: PathBuf,
}

/// What a new memory says of tokens from before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It may have been used: a memory was there and is lost, or nobody can say.
    Unknown,
    /// None was: this is the first installation, on the operator's word.
    Unused,
}

/// Whether a memory was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// There was none.
    New,
    /// There is one, and it was left alone.
    Exists,
}

impl Memory {
    /// The memory of a state folder. Nothing is opened or made.
    pub fn of(state: &Path) -> Self {
        Self {
            file: state.join("jti"),
            lock: state.join("jti.lock"),
        }
    }

    /// Makes the memory unless there is one. Only roles that an operator starts do this, never a request.
    ///
    /// # Errors
    /// Text for the operator.
    pub fn create(&self, past: Past, now: SystemTime) -> Result<Creation, String> {
        let _alone = self.lock_it()?;
        // Not knowing whether there is one is no licence to put an empty one in its place.
        if self
            .file
            .try_exists()
            .map_err(|error| files::describe(&error, "look for", &self.file))?
        {
            return Ok(Creation::Exists);
        }
        let created = match past {
            Past::Unknown => floor(now),
            Past::Unused => 0,
        };
        self.replace(&record::empty(Floors { created, pruned: 0 }))?;
        Ok(Creation::New)
    }

    /// Remembers that the token started `run_id`, for good: when this returns, the record is on disk.
    ///
    /// # Errors
    /// [`Refusal::Replay`] when the token is known; what [`Memory::first_use`] refuses; [`Refusal::Memory`] for
    /// everything that keeps the record from being read or written.
    pub fn remember(
        &self,
        token: &Claimed,
        endpoint: &str,
        run_id: &str,
        now: SystemTime,
    ) -> Result<(), Refusal> {
        let _alone = self.lock_it().map_err(unusable)?;
        let file = self.read_whole(now).map_err(unusable)?;
        let book = self.open(&file).map_err(unusable)?;
        if let Some(run_id) = self.judge(&book, token, now)? {
            return Err(Refusal::Replay { run_id });
        }
        let used = Use {
            token: TokenId::of(token),
            expires: token.expires(),
            latest: unix_seconds(now),
            run_id: run_id.to_owned(),
            endpoint: endpoint.to_owned(),
        };
        self.append(&book, used).map_err(unusable)
    }

    /// The run that the token started, if it was used. Decided without the lock, so that a record which is being written
    /// may not be there yet: only [`Memory::remember`] decides that a token was not used.
    ///
    /// # Errors
    /// A token of which the memory cannot know: issued before the memory was made, or dead when it was last pruned;
    /// and a memory that cannot be read.
    pub fn first_use(&self, token: &Claimed, now: SystemTime) -> Result<Option<String>, Refusal> {
        let mut file = self.read().map_err(unusable)?;
        if self.open(&file).map_err(unusable)?.end_is_bad {
            let _alone = self.lock_it().map_err(unusable)?;
            file = self.read_whole(now).map_err(unusable)?;
        }
        self.judge(&self.open(&file).map_err(unusable)?, token, now)
    }

    /// The run that this token started, as long as the token lives; after that the memory may have forgotten.
    ///
    /// # Errors
    /// Text for the log when the memory cannot be read.
    pub fn run_of(&self, token: &TokenId) -> Result<Option<String>, String> {
        let file = self.read()?;
        let found = self.open(&file)?.find(token, 0);
        let found = found.map_err(|fault| self.damaged(fault))?;
        Ok(found.map(|used| used.run_id))
    }

    /// Reads every record; how many tokens are remembered.
    ///
    /// # Errors
    /// Text for the operator: what is wrong, and what to do.
    pub fn inspect(&self) -> Result<usize, String> {
        let file = self.read()?;
        let book = self.open(&file)?;
        for number in 1..=book.count() {
            book.use_at(number).map_err(|fault| self.damaged(fault))?;
        }
        Ok(book.count())
    }

    fn judge(&self, book: &Book<'_>, token: &Claimed, now: SystemTime) -> Result<Option<String>, Refusal> {
        // Its `iat` may have lain ahead of our clock by the leeway when it was used.
        let since = token.issued().saturating_sub(LEEWAY.as_secs());
        let found = book
            .find(&TokenId::of(token), since)
            .map_err(|fault| unusable(self.damaged(fault)))?;
        match found {
            Some(used) => Ok(Some(used.run_id)),
            None => self.may_be_new(book.floors, token, now).map(|()| None),
        }
    }

    /// Absence means "not used" only for tokens of which the memory would know.
    fn may_be_new(&self, floors: Floors, token: &Claimed, now: SystemTime) -> Result<(), Refusal> {
        // An `iat` may lie ahead of our clock by the leeway, so a token that was used before the memory was made may
        // say that it was issued as much as that after.
        let tells_from = floors.created.saturating_add(LEEWAY.as_secs());
        if floors.created > 0 && token.issued() <= tells_from {
            let wait = tells_from.saturating_sub(unix_seconds(now)).saturating_add(1);
            let detail = format!(
                "{} knows of no token from before {}; iat is {}",
                self.file.display(),
                floors.created,
                token.issued()
            );
            return Err(Refusal::MemoryIsNew {
                retry_after: wait,
                detail,
            });
        }
        // A clock that was ahead when records were dropped, and stepped back since, would revive their tokens.
        if dead_from(token.expires()) <= floors.pruned {
            let detail = format!(
                "exp is {}, but {} forgot all tokens dead at {}: the clock has stepped back; to accept older tokens \
                 again, remove the file and run `engram-deployer init`",
                token.expires(),
                self.file.display(),
                floors.pruned
            );
            return Err(Check::Expiry.rejects(detail).into());
        }
        Ok(())
    }

    /// Puts `used` behind the other records; drops those of dead tokens first when they are many, or when there is no room.
    fn append(&self, book: &Book<'_>, mut used: Use) -> Result<(), String> {
        let damaged = |fault| self.damaged(fault);
        let now = used.latest;
        used.latest = now.max(book.latest().map_err(damaged)?);
        let mut count = book.count();
        let is_full = |count: usize| (count + 2) * record::SIZE > MAX_REPLAY_FILE;
        if count >= REPLAY_PRUNE_FROM && (is_full(count) || book.is_half_dead(now).map_err(damaged)?) {
            // Should the clock step back, the tokens that are forgotten here would be taken for new.
            let floors = Floors {
                pruned: book.floors.pruned.max(now),
                ..book.floors
            };
            let alive = |used: &Use| dead_from(used.expires) > now;
            let file = book.rewritten(floors, alive).map_err(damaged)?;
            count = file.len() / record::SIZE - 1;
            if is_full(count) {
                return Err(format!(
                    "{} has no room: {count} tokens were used that are still alive",
                    self.file.display()
                ));
            }
            self.replace(&file)?;
        }
        let record = used.record(count + 1)?;
        files::append_durably(&self.file, ((count + 1) * record::SIZE) as u64, &record)
            .map_err(|error| files::describe(&error, "append to", &self.file))
    }

    /// The file, under the lock. A bad end is cut off, and the memory says from then on that it knows nothing of tokens
    /// from before: the record may have been a good one that the disk has lost.
    fn read_whole(&self, now: SystemTime) -> Result<Vec<u8>, String> {
        let file = self.read()?;
        let book = self.open(&file)?;
        if !book.end_is_bad {
            return Ok(file);
        }
        log::warn!(
            "the last record of {} is bad, as after a power cut: tokens issued until now are refused",
            self.file.display()
        );
        let floors = Floors {
            created: floor(now).max(book.floors.created),
            ..book.floors
        };
        let file = book
            .rewritten(floors, |_| true)
            .map_err(|fault| self.damaged(fault))?;
        self.replace(&file)?;
        Ok(file)
    }

    fn replace(&self, file: &[u8]) -> Result<(), String> {
        files::replace(&self.file, file, 0o600)
            .map_err(|error| files::describe(&error, "write the replay memory", &self.file))
    }

    fn lock_it(&self) -> Result<std::fs::File, String> {
        lock::exclusive_within(&self.lock, STATE_LOCK_WAIT)
            .map_err(|error| files::describe(&error, "lock", &self.lock))
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        files::read_bounded(&self.file, 2 * MAX_REPLAY_FILE as u64).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!(
                    "there is no replay memory {}: start `serve`, or run `engram-deployer init`",
                    self.file.display()
                )
            }
            _ => files::describe(&error, "read", &self.file),
        })
    }

    fn open<'t>(&self, file: &'t [u8]) -> Result<Book<'t>, String> {
        Book::open(file).map_err(|fault| self.damaged(fault))
    }

    fn damaged(&self, fault: String) -> String {
        format!(
            "{} is damaged: {fault}; remove it to begin anew (tokens issued before are then refused)",
            self.file.display()
        )
    }
}

/// The time before which nothing is known. A clock at 1970 must not say that there was nothing to forget.
fn floor(now: SystemTime) -> u64 {
    unix_seconds(now).max(1)
}

fn unusable(detail: String) -> Refusal {
    Refusal::Memory { detail }
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
