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

const TITLE: &[u8] = b"engram-deployer used tokens 2    ";

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
    /// How many uses there are, without a bad one at the end.
    pub count: usize,
    file: &'t [u8],
}

/// All of a record but its check.
type Fields = [u8; FIELDS];

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
            &[self.token.bytes(), &expires, &latest, run_id, endpoint],
        ))
    }

    fn of(fields: &Fields) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Self {
            token: TokenId::from_bytes(&fields[..EXPIRES])?,
            expires: time_at(fields, EXPIRES),
            latest: time_at(fields, LATEST),
            run_id: text(&fields[RUN_ID..ENDPOINT])?,
            endpoint: text(&fields[ENDPOINT..])?.trim_end_matches('\0').to_owned(),
        })
    }
}

/// A memory without any use.
pub fn empty(floors: Floors) -> Vec<u8> {
    sealed(
        0,
        &[TITLE, &floors.created.to_be_bytes(), &floors.pruned.to_be_bytes()],
    )
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

/// The fields of record `number` of `file`, if it is there and its check holds.
fn fields_of(file: &[u8], number: usize) -> Option<&Fields> {
    let (fields, rest) = file.get(number * SIZE..)?.split_first_chunk()?;
    rest.starts_with(&check(number, fields)).then_some(fields)
}

fn time_at(fields: &Fields, offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&fields[offset..offset + 8]);
    u64::from_be_bytes(bytes)
}

impl<'t> Book<'t> {
    /// Opens a file.
    ///
    /// # Errors
    /// Its first record is none of ours.
    pub fn open(file: &'t [u8]) -> Result<Self, String> {
        let first = fields_of(file, 0).filter(|first| first.starts_with(TITLE));
        let first = first.ok_or("its first record is not ours")?;
        let whole = file.len() / SIZE;
        // The file's new length may have reached the disk without the bytes.
        let last_is_bad = file.len() == whole * SIZE && fields_of(file, whole - 1).is_none();
        Ok(Self {
            floors: Floors {
                created: time_at(first, EXPIRES),
                pruned: time_at(first, LATEST),
            },
            end_is_bad: last_is_bad || file.len() > whole * SIZE,
            count: whole - 1 - usize::from(last_is_bad),
            file,
        })
    }

    /// Use `number`, from 1 on.
    ///
    /// # Errors
    /// Its check does not hold.
    pub fn use_at(&self, number: usize) -> Result<Use, String> {
        Use::of(self.fields(number)?).ok_or_else(|| format!("record {number} is not one of ours"))
    }

    fn fields(&self, number: usize) -> Result<&'t Fields, String> {
        fields_of(self.file, number).ok_or_else(|| format!("record {number} is bad"))
    }

    /// The use of `token`, which cannot have been used before `since`: the search ends at a record before which no use is
    /// as late as that.
    ///
    /// # Errors
    /// A record that was read is bad: it may be the one.
    pub fn find(&self, token: &TokenId, since: u64) -> Result<Option<Use>, String> {
        for number in (1..=self.count).rev() {
            let fields = self.fields(number)?;
            if fields.starts_with(token.bytes()) {
                return self.use_at(number).map(Some);
            }
            if time_at(fields, LATEST) < since {
                break;
            }
        }
        Ok(None)
    }

    /// The latest time at which a token was used.
    pub fn latest(&self) -> Result<u64, String> {
        match self.count {
            0 => Ok(0),
            last => Ok(time_at(self.fields(last)?, LATEST)),
        }
    }

    /// The file with those uses that `keep` wants, and these floors.
    ///
    /// # Errors
    /// A record is bad: whether it is to be kept cannot be told.
    pub fn rewritten(&self, floors: Floors, keep: impl Fn(&Use) -> bool) -> Result<Vec<u8>, String> {
        let (mut file, mut kept) = (empty(floors), 0);
        for number in 1..=self.count {
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
        match self.count {
            0 => Ok(false),
            count => Ok(dead_from(time_at(self.fields(count / 2 + 1)?, EXPIRES)) <= now),
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
