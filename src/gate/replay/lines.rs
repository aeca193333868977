//! The memory's text: lines of one width, bytes in, facts out.
//!
//! ```text
//! engram-deployer jti 1 created <seconds> pruned <seconds>
//! <SHA-256 of the jti> <exp> <run id>
//! ```
//!
//! One width, because then a look-up is a comparison every so many bytes, without making anything of the lines in
//! between, and a write that was cut short shows by the length. Every look-up checks that all lines begin and end where
//! they should, so a lost block is seen; what is inside a line is read in full when it is the last one, when it is the
//! one looked for, and when the file is pruned or inspected.

use crate::jwt::dead_from;

/// Bytes of a line, newline included.
pub const WIDTH: usize = HASH + 1 + SECONDS + 1 + RUN_ID + 1;

/// Hex digits of a hash.
pub const HASH: usize = 64;
/// 2^53 has 16 digits.
const SECONDS: usize = 16;
/// `YYYYMMDDThhmmssZ-xxxxxxxx`.
const RUN_ID: usize = 25;

const TITLE: &str = "engram-deployer jti 1 created ";
const PRUNED: &str = " pruned ";

/// Times before which absence means nothing, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floors {
    /// When the memory was made; 0 when there was nothing to forget.
    pub created: u64,
    /// When it last dropped the dead; 0 for never.
    pub pruned: u64,
}

/// One used token.
pub struct Record<'a> {
    /// 64 hex digits.
    pub hash: &'a str,
    /// `exp`, in seconds since 1970.
    pub expires: u64,
    /// The run that it started.
    pub run_id: &'a str,
}

/// The whole text, opened: its first line understood, its last line whole.
#[derive(Debug)]
pub struct Book<'t> {
    floors: Floors,
    records: &'t [u8],
}

impl Record<'_> {
    /// The record as a line.
    pub fn line(&self) -> Result<Vec<u8>, String> {
        let line = format!("{} {:0SECONDS$} {}\n", self.hash, self.expires, self.run_id).into_bytes();
        if is_record(&line) {
            Ok(line)
        } else {
            Err(format!("run id {:?} does not fit the replay memory", self.run_id))
        }
    }
}

/// A memory without any record.
pub fn empty(floors: Floors) -> Vec<u8> {
    let title = format!(
        "{TITLE}{:0SECONDS$}{PRUNED}{:0SECONDS$}",
        floors.created, floors.pruned
    );
    format!("{title:<width$}\n", width = WIDTH - 1).into_bytes()
}

/// True for 64 lower-case hex digits.
pub fn is_hash(text: &[u8]) -> bool {
    text.len() == HASH && text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl<'t> Book<'t> {
    /// Opens a text. What a power cut left of the last line is not part of it.
    pub fn open(text: &'t [u8]) -> Result<Self, String> {
        let Some((title, rest)) = text.split_at_checked(WIDTH) else {
            return Err("its first line is cut short".into());
        };
        let floors = floors_of(title).ok_or("its first line is not ours")?;
        let (mut records, _torn) = rest.split_at(rest.len() - rest.len() % WIDTH);
        // Of a write that did not reach the disk, the file's new length may have: then the line is there in full, and
        // anything stands in it.
        if let Some(last) = records.len().checked_sub(WIDTH)
            && !is_record(&records[last..])
        {
            records = &records[..last];
        }
        Ok(Self { floors, records })
    }

    /// What its first line says.
    pub fn floors(&self) -> Floors {
        self.floors
    }

    /// Bytes up to the end of the last whole line.
    pub fn length(&self) -> u64 {
        (WIDTH + self.records.len()) as u64
    }

    /// The run in the record of `hash`, if there is one. 100,000 lines are compared in milliseconds even without
    /// optimisation, because most of them are told apart by their first byte.
    pub fn find(&self, hash: &str) -> Result<Option<&'t str>, String> {
        let (records, hash) = (self.records, hash.as_bytes());
        let Some(&first) = hash.first() else {
            return Ok(None);
        };
        let mut found = None;
        let mut start = 0;
        while start < records.len() {
            if records[start + WIDTH - 1] != b'\n' || records[start + HASH] != b' ' {
                return Err(damage(start));
            }
            if records[start] == first && records[start..].starts_with(hash) {
                found = Some(start);
            }
            start += WIDTH;
        }
        found
            .map(|start| run_id_of(&records[start..start + WIDTH]).ok_or_else(|| damage(start)))
            .transpose()
    }

    /// How many records there are, each read in full.
    pub fn count(&self) -> Result<usize, String> {
        for (number, line) in self.lines().enumerate() {
            expires_of(line).ok_or_else(|| damage(number * WIDTH))?;
        }
        Ok(self.records.len() / WIDTH)
    }

    /// True when about half of at least `from` records are dead. Tokens live about equally long, so they die about in
    /// the order of the lines, and the one in the middle speaks for the first half.
    pub fn is_worth_pruning(&self, now: u64, from: usize) -> bool {
        let count = self.records.len() / WIDTH;
        let middle = self.lines().nth(count / 2);
        count >= from
            && middle
                .and_then(expires_of)
                .is_some_and(|exp| dead_from(exp) <= now)
    }

    /// The text with the dead left out. The time is noted in its first line: should the clock step back, their tokens
    /// would otherwise be taken for new.
    pub fn without_the_dead(&self, now: u64) -> Result<Vec<u8>, String> {
        let mut text = empty(Floors {
            pruned: self.floors.pruned.max(now),
            ..self.floors
        });
        for (number, line) in self.lines().enumerate() {
            let expires = expires_of(line).ok_or_else(|| damage(number * WIDTH))?;
            if dead_from(expires) > now {
                text.extend_from_slice(line);
            }
        }
        Ok(text)
    }

    fn lines(&self) -> std::slice::ChunksExact<'t, u8> {
        self.records.chunks_exact(WIDTH)
    }
}

fn damage(offset: usize) -> String {
    // The first line is the title.
    format!("line {} is not a record", offset / WIDTH + 2)
}

fn floors_of(title: &[u8]) -> Option<Floors> {
    let text = std::str::from_utf8(title).ok()?.strip_prefix(TITLE)?;
    let (created, rest) = text.split_at_checked(SECONDS)?;
    let (pruned, rest) = rest.strip_prefix(PRUNED)?.split_at_checked(SECONDS)?;
    let floors = Floors {
        created: seconds_of(created.as_bytes())?,
        pruned: seconds_of(pruned.as_bytes())?,
    };
    (rest.trim_start_matches(' ') == "\n").then_some(floors)
}

fn is_record(line: &[u8]) -> bool {
    expires_of(line).is_some()
}

/// When the record expires, if all of it is as it should be.
fn expires_of(line: &[u8]) -> Option<u64> {
    run_id_of(line)?;
    let (hash, rest) = line.split_at_checked(HASH)?;
    let (expires, _) = rest.strip_prefix(b" ")?.split_at_checked(SECONDS)?;
    if is_hash(hash) { seconds_of(expires) } else { None }
}

fn run_id_of(line: &[u8]) -> Option<&str> {
    let run_id = line
        .get(HASH + 1 + SECONDS..)?
        .strip_prefix(b" ")?
        .strip_suffix(b"\n")?;
    let fits = run_id.len() == RUN_ID
        && run_id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-');
    if fits {
        std::str::from_utf8(run_id).ok()
    } else {
        None
    }
}

fn seconds_of(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
