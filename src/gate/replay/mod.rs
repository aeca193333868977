//! The last gate: a token works once.
//!
//! One file remembers the tokens of all endpoints until they are dead. Looking, writing and fsync happen under one
//! exclusive lock; the lock is a file of its own that is never renamed. Whatever cannot be read, written or locked
//! refuses: no run without a record. A token is written only here, after every other gate has let it through, so no
//! refusal burns one, and nobody can fill the disk with tokens that our policy does not want.

mod lines;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::gate::Refusal;
use crate::jwt::{Check, Claimed, dead_from};
use crate::limits::{LEEWAY, MAX_REPLAY_FILE, REPLAY_PRUNE_FROM, STATE_LOCK_WAIT};
use crate::os::clock::unix_seconds;
use crate::os::files::{self, Durability};
use crate::os::lock;
use lines::{Book, Floors, Record};

/// SHA-256 of a `jti`, in hex: fit for a line of a file, whatever the issuer put into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenHash(String);

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

impl TokenHash {
    /// Digits of a hash.
    pub const LENGTH: usize = lines::HASH;

    /// The hash of an id, exactly as it stands in the token.
    pub fn of(jti: &str) -> Self {
        Self::of_bytes(jti.as_bytes())
    }

    /// The same of anything else.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        Self(crate::jwt::base64url::hex(digest.as_ref()))
    }
}

impl TryFrom<String> for TokenHash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if lines::is_hash(text.as_bytes()) {
            Ok(Self(text))
        } else {
            Err("not a SHA-256 in lower-case hex")
        }
    }
}

impl From<TokenHash> for String {
    fn from(hash: TokenHash) -> String {
        hash.0
    }
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
            // A clock at 1970 must not say the same as the line below.
            Past::Unknown => unix_seconds(now).max(1),
            Past::Unused => 0,
        };
        let text = lines::empty(Floors { created, pruned: 0 });
        files::replace(&self.file, &text, 0o600, Durability::Durable)
            .map_err(|error| files::describe(&error, "create the replay memory", &self.file))?;
        Ok(Creation::New)
    }

    /// Remembers that the token started `run_id`, for good: when this returns, the record is on disk.
    ///
    /// # Errors
    /// [`Refusal::Replay`] when the token is known; what [`Memory::first_use`] refuses; [`Refusal::Memory`] for
    /// everything that keeps the record from being read or written.
    pub fn remember(&self, token: &Claimed, run_id: &str, now: SystemTime) -> Result<(), Refusal> {
        let hash = TokenHash::of(token.id());
        let record = Record {
            hash: &hash.0,
            expires: token.expires(),
            run_id,
        }
        .line()
        .map_err(out_of_order)?;
        let _alone = self.lock_it().map_err(out_of_order)?;
        let text = self.read().map_err(out_of_order)?;
        let book = self.open(&text).map_err(out_of_order)?;
        if let Some(run_id) = self.judge(&book, token, now)? {
            return Err(Refusal::Replay { run_id });
        }
        let kept = self.prune(&book, now).map_err(out_of_order)?;
        files::append_durably(&self.file, kept, &record)
            .map_err(|error| out_of_order(files::describe(&error, "append to", &self.file)))
    }

    /// The run that the token started, if it was used. Takes no lock: a record that is being written is not there yet.
    ///
    /// # Errors
    /// A token of which the memory cannot know: issued before the memory was made, or dead when it was last pruned;
    /// and a memory that cannot be read.
    pub fn first_use(&self, token: &Claimed, now: SystemTime) -> Result<Option<String>, Refusal> {
        let text = self.read().map_err(out_of_order)?;
        let book = self.open(&text).map_err(out_of_order)?;
        self.judge(&book, token, now)
    }

    /// The run that a token of this hash started, as long as the token lives; after that the memory may have forgotten.
    ///
    /// # Errors
    /// Text for the log when the memory cannot be read.
    pub fn run_of(&self, hash: &TokenHash) -> Result<Option<String>, String> {
        let text = self.read()?;
        let found = self.open(&text)?.find(&hash.0);
        found
            .map(|run_id| run_id.map(String::from))
            .map_err(|fault| self.damaged(fault))
    }

    /// Reads every line; how many tokens are remembered.
    ///
    /// # Errors
    /// Text for the operator: what is wrong, and what to do.
    pub fn inspect(&self) -> Result<usize, String> {
        let text = self.read()?;
        self.open(&text)?.count().map_err(|fault| self.damaged(fault))
    }

    fn judge(&self, book: &Book<'_>, token: &Claimed, now: SystemTime) -> Result<Option<String>, Refusal> {
        let found = book
            .find(&TokenHash::of(token.id()).0)
            .map_err(|fault| out_of_order(self.damaged(fault)))?;
        match found {
            Some(run_id) => Ok(Some(run_id.to_owned())),
            None => self.may_be_new(book.floors(), token, now).map(|()| None),
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
                "{} was made at {}; iat is {}",
                self.file.display(),
                floors.created,
                token.issued()
            );
            return Err(Refusal::MemoryIsNew {
                retry_after: Duration::from_secs(wait),
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

    /// Drops the dead when there are many; how many bytes of the file stay in front of the next record. A torn last
    /// line is not among them: its token was never let through, because its fsync had not returned.
    fn prune(&self, book: &Book<'_>, now: SystemTime) -> Result<u64, String> {
        let now = unix_seconds(now);
        if !book.is_worth_pruning(now, REPLAY_PRUNE_FROM) {
            return Ok(book.length());
        }
        let text = book.without_the_dead(now).map_err(|fault| self.damaged(fault))?;
        files::replace(&self.file, &text, 0o600, Durability::Durable)
            .map_err(|error| files::describe(&error, "rewrite", &self.file))?;
        Ok(text.len() as u64)
    }

    fn lock_it(&self) -> Result<std::fs::File, String> {
        lock::exclusive_within(&self.lock, STATE_LOCK_WAIT)
            .map_err(|error| files::describe(&error, "lock", &self.lock))
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        files::read_bounded(&self.file, MAX_REPLAY_FILE).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!(
                    "there is no replay memory {}: start `serve`, or run `engram-deployer init`",
                    self.file.display()
                )
            }
            _ => files::describe(&error, "read", &self.file),
        })
    }

    fn open<'t>(&self, text: &'t [u8]) -> Result<Book<'t>, String> {
        Book::open(text).map_err(|fault| self.damaged(fault))
    }

    fn damaged(&self, fault: String) -> String {
        format!(
            "{} is damaged: {fault}; remove it to begin anew (tokens issued before are then refused)",
            self.file.display()
        )
    }
}

fn out_of_order(detail: String) -> Refusal {
    Refusal::Memory { detail }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
