//! The journal: which run is about to change something, and what that was before.
//!
//! It is on disk before the first step that changes anything begins, and is emptied after the run is recorded. It is a
//! file of lines that stays, so that an entry costs one wait for the disk. A torn last line speaks of something that was
//! not begun. A last line says that the run has come to where nothing goes back any more ([`Content::committed`]). Which children are at work stands in the ticket instead (see [`crate::queue::ticket`]): that matters only
//! as long as the host is up.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::Places;
use crate::limits::MAX_JOURNAL;
use crate::os::files::{self, optional};
use crate::queue::RunId;
use crate::queue::folder::journal_path;

/// What a journal says.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// The run that changes something.
    pub run_id: RunId,
    /// What it was about to change, in order, each with what it was before.
    pub entries: Vec<Value>,
    /// Whether everything that the run was for is done and was seen to be good: then nothing goes back any more, and only
    /// tidying was left.
    pub committed: bool,
}

/// The line that says [`Content::committed`]. No entry looks like it: those are objects.
const COMMITTED: &str = "committed";

/// The journal of the run that has its turn.
pub struct Journal {
    path: PathBuf,
    run_id: RunId,
    /// Bytes that are on disk.
    length: u64,
}

impl Journal {
    /// A journal that is not on disk yet.
    pub fn new(places: &Places, run_id: &RunId) -> Self {
        Self {
            path: journal_path(places),
            run_id: run_id.clone(),
            length: 0,
        }
    }

    /// Writes its head, unless it is there already.
    pub fn begin(&mut self) -> io::Result<()> {
        if self.length > 0 {
            return Ok(());
        }
        if !self.path.exists() {
            files::replace(&self.path, b"", 0o600)?;
        }
        self.append(&json!({"run_id": self.run_id}))
    }

    /// Adds an entry; on disk when this returns.
    pub fn append_entry(&mut self, entry: &Value) -> io::Result<()> {
        self.begin()?;
        self.append(entry)
    }

    /// Says that nothing goes back any more; on disk when this returns.
    pub fn commit(&mut self) -> io::Result<()> {
        self.append(&COMMITTED)
    }

    fn append(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        if self.length + json.len() as u64 > MAX_JOURNAL {
            // Nobody would read it afterwards.
            return Err(io::Error::other("it would be too large"));
        }
        files::append_durably(&self.path, self.length, &json)?;
        self.length += json.len() as u64;
        Ok(())
    }
}

/// What the journal says, if there is one.
///
/// # Errors
/// When it cannot be read or is not ours: nobody knows then what is half changed, so no run may begin.
pub fn read(places: &Places) -> io::Result<Option<Content>> {
    let path = journal_path(places);
    let Some(bytes) = optional(files::read_bounded(&path, MAX_JOURNAL))? else {
        return Ok(None);
    };
    parse(&bytes).map_err(|error| {
        let path = path.display();
        let what = format!("{path} cannot be read ({error}); see what the last run left, then remove it");
        io::Error::other(what)
    })
}

/// What these bytes of a journal say, if anything: what stands behind the last line end was not begun.
///
/// # Errors
/// The first whole line that is not ours.
pub fn parse(bytes: &[u8]) -> serde_json::Result<Option<Content>> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let lines = bytes[..whole]
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let mut lines = lines.map(serde_json::from_slice::<Value>);
    let Some(head) = lines.next() else { return Ok(None) };
    let run_id = RunId::deserialize(&head?["run_id"])?;
    let mut entries: Vec<Value> = lines.collect::<Result<_, _>>()?;
    let committed = entries.pop_if(|last| last == COMMITTED).is_some();
    Ok(Some(Content {
        run_id,
        entries,
        committed,
    }))
}

/// Empties the journal if it is that of `run_id`, whose result is on disk. A power cut may undo that; it is done again
/// then, because the result is looked at first.
pub fn end(places: &Places, run_id: &RunId) -> io::Result<()> {
    if read(places)?.is_some_and(|content| content.run_id == *run_id) {
        OpenOptions::new()
            .write(true)
            .open(journal_path(places))?
            .set_len(0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::folder::testing::Scratch;

    #[test]
    fn a_journal_is_read_back_and_goes_only_with_its_own_run() {
        let scratch = Scratch::new("journal");
        let [ours, other] = ["20260102T030405Z-01234567", "20260102T030405Z-89abcdef"]
            .map(|text| RunId::parse(text).unwrap());
        let mut journal = Journal::new(&scratch.0, &ours);
        assert_eq!(read(&scratch.0).unwrap(), None);
        journal.begin().unwrap();
        journal
            .append_entry(&serde_json::json!({"container": "a"}))
            .unwrap();
        end(&scratch.0, &other).unwrap();
        let content = read(&scratch.0).unwrap().unwrap();
        assert_eq!((content.entries.len(), content.committed), (1, false));
        journal.commit().unwrap();
        let content = read(&scratch.0).unwrap().unwrap();
        assert_eq!((content.entries.len(), content.committed), (1, true));
        end(&scratch.0, &ours).unwrap();
        assert_eq!(read(&scratch.0).unwrap(), None);
    }

    #[test]
    fn a_journal_that_cannot_be_understood_is_an_error_and_not_none() {
        let scratch = Scratch::new("journal-broken");
        std::fs::write(journal_path(&scratch.0), b"{\n").unwrap();
        assert!(read(&scratch.0).is_err());
    }

    #[test]
    fn what_could_not_be_read_back_is_not_written() {
        let scratch = Scratch::new("journal-large");
        let id = RunId::parse("20260102T030405Z-01234567").unwrap();
        let mut journal = Journal::new(&scratch.0, &id);
        let large = Value::String("x".repeat(MAX_JOURNAL as usize));
        assert!(journal.append_entry(&large).is_err());
        journal
            .append_entry(&serde_json::json!({"container": "a"}))
            .unwrap();
        assert_eq!(read(&scratch.0).unwrap().unwrap().entries.len(), 1);
    }

    #[test]
    fn what_a_power_cut_left_of_the_last_line_was_not_begun() {
        let scratch = Scratch::new("journal-torn");
        let id = RunId::parse("20260102T030405Z-01234567").unwrap();
        let mut journal = Journal::new(&scratch.0, &id);
        journal
            .append_entry(&serde_json::json!({"container": "a"}))
            .unwrap();
        let path = journal_path(&scratch.0);
        let whole = std::fs::read(&path).unwrap();
        let head = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let entries = read(&scratch.0).unwrap().map(|content| content.entries.len());
            let expected = (length >= head).then_some(usize::from(length == whole.len()));
            assert_eq!(entries, expected, "{length} bytes");
        }
    }

    #[test]
    fn a_new_journal_takes_the_place_of_a_stale_one() {
        let scratch = Scratch::new("journal-stale");
        let [old, new] = ["20260102T030405Z-01234567", "20260102T030405Z-89abcdef"]
            .map(|text| RunId::parse(text).unwrap());
        Journal::new(&scratch.0, &old)
            .append_entry(&serde_json::json!([1, 2]))
            .unwrap();
        Journal::new(&scratch.0, &new).begin().unwrap();
        let content = read(&scratch.0).unwrap().unwrap();
        assert_eq!((content.run_id, content.entries.len()), (new, 0));
    }
}
