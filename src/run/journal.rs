//! The journal: which run is about to change something, and what that was before.
//!
//! It is on disk before the first step that changes anything begins, and goes after the run is recorded. Which
//! children are at work stands in the ticket instead (see [`crate::run::ticket`]): that matters only as long as the
//! host is up, so it costs no wait for a disk.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Places;
use crate::limits::MAX_RUN_FILE;
use crate::os::files::{self, Durability, optional};
use crate::run::RunId;
use crate::run::folder::journal_path;

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// The run that changes something.
    pub run_id: RunId,
    /// RFC 3339: when its turn came.
    pub started_at: String,
    /// What it was about to change, in order, each with what it was before.
    pub entries: Vec<Value>,
}

/// The journal of the run that has its turn.
#[derive(Debug)]
pub struct Journal {
    places: Places,
    content: Content,
    begun: bool,
}

impl Journal {
    /// A journal that is not on disk yet.
    pub fn new(places: &Places, run_id: &RunId, started_at: String) -> Self {
        let content = Content {
            run_id: run_id.clone(),
            started_at,
            entries: Vec::new(),
        };
        Self {
            places: places.clone(),
            content,
            begun: false,
        }
    }

    /// Writes it, unless it is there already.
    pub fn begin(&mut self) -> io::Result<()> {
        if !self.begun {
            self.write()?;
        }
        Ok(())
    }

    /// Adds an entry; on disk when this returns.
    pub fn note(&mut self, entry: Value) -> io::Result<()> {
        self.content.entries.push(entry);
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        let json = serde_json::to_vec(&self.content)?;
        files::replace(&journal_path(&self.places), &json, 0o600, Durability::Durable)?;
        self.begun = true;
        Ok(())
    }
}

/// What the journal says, if there is one.
///
/// # Errors
/// When it cannot be read or is not ours: nobody knows then what is half changed, so no run may begin.
pub fn read(places: &Places) -> io::Result<Option<Content>> {
    let path = journal_path(places);
    let Some(bytes) = optional(files::read_bounded(&path, MAX_RUN_FILE))? else {
        return Ok(None);
    };
    let content = serde_json::from_slice(&bytes).map_err(|error| {
        io::Error::other(format!(
            "{} cannot be read ({error}); see what the last run left, then remove it",
            path.display()
        ))
    })?;
    Ok(Some(content))
}

/// Removes the journal if it is that of `run_id`, whose result is on disk. A removal that a power cut undoes is made
/// again, because the result is looked at first.
pub fn end(places: &Places, run_id: &RunId) -> io::Result<()> {
    if read(places)?.is_some_and(|content| content.run_id == *run_id) {
        optional(fs::remove_file(journal_path(places)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::folder::testing::Scratch;

    #[test]
    fn a_journal_is_read_back_and_goes_only_with_its_own_run() {
        let scratch = Scratch::new("journal");
        let [ours, other] = ["20260102T030405Z-01234567", "20260102T030405Z-89abcdef"]
            .map(|text| RunId::parse(text).unwrap());
        let mut journal = Journal::new(&scratch.0, &ours, "now".into());
        assert_eq!(read(&scratch.0).unwrap(), None);
        journal.begin().unwrap();
        journal.note(serde_json::json!({"container": "a"})).unwrap();
        end(&scratch.0, &other).unwrap();
        assert_eq!(read(&scratch.0).unwrap().unwrap().entries.len(), 1);
        end(&scratch.0, &ours).unwrap();
        assert_eq!(read(&scratch.0).unwrap(), None);
    }

    #[test]
    fn a_journal_that_cannot_be_understood_is_an_error_and_not_none() {
        let scratch = Scratch::new("journal-broken");
        fs::write(journal_path(&scratch.0), b"{").unwrap();
        assert!(read(&scratch.0).is_err());
    }
}
