//! The memory's bytes: records of one size, the first of which is about the file itself. No I/O.
//!
//! | bytes | of the first record | of the others |
//! |---|---|---|
//! | 33 | a title | the kind of id, and the hash of it: see [`TokenId`] |
//! | 8 | when the memory was made | `exp` |
//! | 8 | when it last dropped the dead | the latest time at which a token was used up to here |
//! | 47 | zeros | run id, endpoint, zeros |
//! | 32 | check | check |
//!
//! Times are seconds since 1970, big-endian. The check is SHA-256 over the record's place in the file and the bytes before
//! the check; nothing of a record is believed unless it holds. So a bit that changed, a block of zeros and a block in the
//! wrong place are all seen. 128 divides the blocks of disks: a record is never half in one and half in another.

use crate::gate::replay::TokenId;
use crate::hash::{self, sha256};
use crate::jwt::dead_from;

/// Bytes of a record.
pub const SIZE: usize = 128;

/// Those in front of the check.
const FIELDS: usize = SIZE - hash::LENGTH;
const EXPIRES: usize = 1 + hash::LENGTH;
const LATEST: usize = EXPIRES + 8;
const RUN_ID: usize = LATEST + 8;
/// `YYYYMMDDThhmmssZ-xxxxxxxx`.
const ENDPOINT: usize = RUN_ID + 25;

const TITLE: &[u8; EXPIRES] = b"engram-deployer used tokens 2    ";

/// Times before which absence means nothing, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floors {
    /// When the memory was made, or lost its last record; 0 when there was nothing to forget.
    pub created: u64,
    /// When it last dropped the dead; 0 for never.
    pub pruned: u64,
}

/// The use of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Which token.
    pub token: TokenId,
    /// Its `exp`.
    pub expires: u64,
    /// The latest time at which a token was used up to here: it never goes back, even when the clock does.
    pub latest: u64,
    /// The run that it started.
    pub run_id: String,
    /// What was asked for.
    pub endpoint: String,
}

/// A whole file, opened: what its first record says, and its other records, of which none but the last was looked at.
#[derive(Debug)]
pub struct Book<'t> {
    /// Of the first record.
    pub floors: Floors,
    /// Whether the file ends in a part of a record or in a bad one: a power cut leaves that of a record whose token was
    /// never let through, as its sync had not returned. What it is of cannot be told any more.
    pub end_is_bad: bool,
    records: &'t [u8],
}

impl Use {
    /// As record `number`.
    ///
    /// # Errors
    /// A run id or an endpoint that has no room in it.
    pub fn record(&self, number: usize) -> Result<Vec<u8>, String> {
        let (run_id, endpoint) = (self.run_id.as_bytes(), self.endpoint.as_bytes());
        if RUN_ID + run_id.len() != ENDPOINT || ENDPOINT + endpoint.len() > FIELDS {
            return Err("the run id or the endpoint does not fit the replay memory".into());
        }
        let (expires, latest) = (self.expires.to_be_bytes(), self.latest.to_be_bytes());
        Ok(sealed(
            number,
            &[&self.token.bytes(), &expires, &latest, run_id, endpoint],
        ))
    }

    fn of(fields: &[u8]) -> Option<Self> {
        let text = |from, to| String::from_utf8(fields.get(from..to)?.to_vec()).ok();
        Some(Self {
            token: TokenId::from_bytes(fields.get(..EXPIRES)?)?,
            expires: time_at(fields, EXPIRES)?,
            latest: time_at(fields, LATEST)?,
            run_id: text(RUN_ID, ENDPOINT)?,
            endpoint: text(ENDPOINT, FIELDS)?.trim_end_matches('\0').to_owned(),
        })
    }
}

/// A memory without any use.
pub fn empty(floors: Floors) -> Vec<u8> {
    let (created, pruned) = (floors.created.to_be_bytes(), floors.pruned.to_be_bytes());
    sealed(0, &[TITLE, &created, &pruned])
}

fn sealed(number: usize, parts: &[&[u8]]) -> Vec<u8> {
    let mut record = parts.concat();
    record.resize(FIELDS, 0);
    record.extend(check(number, &record));
    record
}

fn check(number: usize, fields: &[u8]) -> [u8; hash::LENGTH] {
    sha256(&[&(number as u64).to_be_bytes(), fields].concat())
}

/// The fields of record `number`, if its check holds.
fn fields_of(number: usize, record: &[u8]) -> Option<&[u8]> {
    let (fields, found) = record.split_at_checked(FIELDS)?;
    (found == check(number, fields)).then_some(fields)
}

fn time_at(fields: &[u8], offset: usize) -> Option<u64> {
    let bytes = fields.get(offset..)?.first_chunk()?;
    Some(u64::from_be_bytes(*bytes))
}

impl<'t> Book<'t> {
    /// Opens a file.
    ///
    /// # Errors
    /// Its first record is none of ours.
    pub fn open(file: &'t [u8]) -> Result<Self, String> {
        let first = file.get(..SIZE).and_then(|first| fields_of(0, first));
        let floors = first
            .filter(|fields| fields.starts_with(TITLE))
            .and_then(|fields| {
                Some(Floors {
                    created: time_at(fields, EXPIRES)?,
                    pruned: time_at(fields, LATEST)?,
                })
            })
            .ok_or("its first record is not ours")?;
        let rest = &file[SIZE..];
        let (mut records, part) = rest.split_at(rest.len() - rest.len() % SIZE);
        let mut end_is_bad = !part.is_empty();
        // The file's new length may have reached the disk without the bytes.
        if let Some(last) = records.len().checked_sub(SIZE)
            && !end_is_bad
            && fields_of(records.len() / SIZE, &records[last..]).is_none()
        {
            (records, end_is_bad) = (&records[..last], true);
        }
        Ok(Self {
            floors,
            end_is_bad,
            records,
        })
    }

    /// How many uses there are.
    pub fn count(&self) -> usize {
        self.records.len() / SIZE
    }

    /// Use `number`, from 1 on.
    ///
    /// # Errors
    /// Its check does not hold.
    pub fn use_at(&self, number: usize) -> Result<Use, String> {
        Use::of(self.fields(number)?).ok_or_else(|| format!("record {number} is not one of ours"))
    }

    fn fields(&self, number: usize) -> Result<&'t [u8], String> {
        let end = number * SIZE;
        let record = end
            .checked_sub(SIZE)
            .and_then(|start| self.records.get(start..end));
        record
            .and_then(|record| fields_of(number, record))
            .ok_or_else(|| format!("record {number} is bad"))
    }

    /// The use of `token`, which cannot have been used before `since`: the search ends at a record before which no use is
    /// as late as that.
    ///
    /// # Errors
    /// A record that was read is bad: it may be the one.
    pub fn find(&self, token: &TokenId, since: u64) -> Result<Option<Use>, String> {
        let wanted = token.bytes();
        for number in (1..=self.count()).rev() {
            let fields = self.fields(number)?;
            if fields.starts_with(&wanted) {
                return self.use_at(number).map(Some);
            }
            if time_at(fields, LATEST).is_some_and(|latest| latest < since) {
                break;
            }
        }
        Ok(None)
    }

    /// The latest time at which a token was used.
    pub fn latest(&self) -> Result<u64, String> {
        match self.count() {
            0 => Ok(0),
            last => Ok(self.use_at(last)?.latest),
        }
    }

    /// The file with those uses that `keep` wants, and these floors.
    ///
    /// # Errors
    /// A record is bad: whether it is to be kept cannot be told.
    pub fn rewritten(&self, floors: Floors, keep: impl Fn(&Use) -> bool) -> Result<Vec<u8>, String> {
        let (mut file, mut kept) = (empty(floors), 0);
        for number in 1..=self.count() {
            let used = self.use_at(number)?;
            if keep(&used) {
                kept += 1;
                file.extend(used.record(kept)?);
            }
        }
        Ok(file)
    }

    /// True when about half of the uses are of tokens that are dead. Tokens live about equally long, so they die about in
    /// the order of the records, and the one in the middle speaks for the first half.
    pub fn is_half_dead(&self, now: u64) -> Result<bool, String> {
        match self.count() {
            0 => Ok(false),
            count => Ok(dead_from(self.use_at(count / 2 + 1)?.expires) <= now),
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
