//! The record of a run: how it ended, as the result in its folder says it.
//!
//! The last line waits for the result to be on disk, so that is made to wait for the disk once. `.result` is made with the
//! folder, empty, and its name is on disk with the grant's: to fill it takes one fdatasync(2), and no second one for a
//! rename, which a power cut undoes on FAT besides. What can go wrong with that, and what meets it:
//!
//! - The power fails while it is filled: it may be empty, or cut, or hold what another file left in the same blocks, whole
//!   lines of it. Its first bytes are the SHA-256 of the rest, so nothing but what was written counts; the run is dead
//!   then, and completed. Nobody has been told of its end.
//! - The run is killed between writing and the end of that wait: what is read then need not be on disk. Who completes
//!   the run, or tells of its end instead of it, waits for the disk again ([`RunFolder::keep_record`]).
//! - The copy is made when the result is on disk and is never waited for: it may be lost, or empty. It is read only where
//!   `.result` says nothing. Its name says that there is a record on disk.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::event::{Outcome, Status, bounded, harmless};
use crate::hash::{self, sha256};
use crate::jwt::base64url;
use crate::limits::MAX_RUN_FILE;
use crate::os::clock;
use crate::os::files::{self, optional};
use crate::queue::folder::{line, parse, read};
use crate::queue::{RunFolder, RunRequest};

/// Where a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    /// In `/runs`, and as its endpoint's status.
    Status,
    /// In `/runs` alone: a dry run, and a run that never had its turn.
    #[serde(rename = "runs_alone")]
    RunsOnly,
}

/// How a run ended, with what a list of runs says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its endpoint's name.
    pub endpoint: String,
    /// Who asked, as everyone may know it.
    pub origin: Value,
    /// Where it is shown.
    #[serde(rename = "shown")]
    pub publication: Publication,
    /// The last line of its log.
    pub outcome: Outcome,
    /// How many runs of this host had ended when it ended, or more: clocks may step back, this does not.
    pub sequence: u64,
}

impl Record {
    /// The record of `order`'s run, which went well and is shown, unless it is a dry run.
    pub fn new(order: &RunRequest, started: SystemTime, finished: SystemTime) -> Self {
        let (version, sha) = order.names();
        let mut more = Map::new();
        let publication = match order.dry_run() {
            true => Publication::RunsOnly,
            false => Publication::Status,
        };
        if order.dry_run() {
            more.insert("dry_run".to_owned(), json!(true));
        }
        if let Some(module) = order.module() {
            // Which status shows it depends on this one.
            more.insert("module".to_owned(), json!(module));
        }
        let took = finished.duration_since(started).unwrap_or_default();
        let outcome = Outcome {
            status: Status::Ok,
            error: None,
            version,
            sha,
            started_at: clock::rfc3339(started),
            finished_at: clock::rfc3339(finished),
            duration_ms: took.as_millis() as u64,
            run_id: order.run_id.to_string(),
            more,
        };
        Self {
            endpoint: order.endpoint.clone(),
            origin: order.origin.summary(),
            publication,
            outcome,
            sequence: 0,
        }
    }

    /// Whether it has only looked.
    pub fn is_dry(&self) -> bool {
        self.outcome.more.get("dry_run") == Some(&json!(true))
    }

    /// It went wrong, and why.
    pub fn fail(&mut self, why: &str) {
        self.outcome.status = Status::Fail;
        self.outcome.error = Some(bounded(&harmless(why)));
    }

    /// As `/runs` lists it, a line: the outcome, the endpoint, who asked.
    pub fn listed(&self) -> String {
        self.line(&self.origin, None)
    }

    /// The same, with what else may be known of it.
    pub fn line(&self, origin: &Value, accepted_at: Option<&str>) -> String {
        let listed = Listed {
            outcome: &self.outcome,
            endpoint: &self.endpoint,
            accepted_at,
            origin,
        };
        // Strings, numbers and maps with string keys: serialising them cannot fail.
        serde_json::to_string(&listed).unwrap_or_default()
    }
}

/// The outcome's members first: scripts that read a notice rely on `error` standing right behind `status`.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<&'a str>,
    origin: &'a Value,
}

impl RunFolder {
    /// How it ended, if it has.
    pub fn record(&self) -> io::Result<Option<Record>> {
        let kept = self.kept();
        let bytes = optional(files::read_bounded(&kept, MAX_RUN_FILE))?.unwrap_or_default();
        match of_one_write(&bytes) {
            Some(json) => parse(&kept, json),
            None => read(&self.copy()),
        }
    }

    /// Whether it has been recorded. Every run that is kept is asked: most by their copy's name alone.
    pub fn has_record(&self) -> bool {
        self.copy().exists() || matches!(self.record(), Ok(Some(_)))
    }

    /// Writes how it ended; on disk when this returns.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        let (kept, json) = (self.kept(), line(record)?);
        files::append_durably(&kept, 0, &[sum(&json).as_bytes(), &json].concat())
    }

    /// Waits until what is there of its result is on disk: its writer may have been killed before that.
    pub fn keep_record(&self) -> io::Result<()> {
        if let Some(kept) = optional(File::open(self.kept()))? {
            kept.sync_all()?;
        }
        files::sync_folder(&self.kept())
    }

    /// Makes the copy of its record, which is on disk, unless there is one.
    pub fn copy_record(&self, record: &Record) -> io::Result<()> {
        let copy = self.copy();
        if copy.exists() {
            return Ok(());
        }
        files::replace_volatile(&copy, &line(record)?, 0o600)
    }

    fn copy(&self) -> PathBuf {
        self.path().join("result.json")
    }
}

/// What follows the sum, if it is what the sum is of.
fn of_one_write(bytes: &[u8]) -> Option<&[u8]> {
    let (first, rest) = bytes.split_at_checked(2 * hash::LENGTH)?;
    (first == sum(rest).as_bytes()).then_some(rest)
}

/// SHA-256 in hex.
fn sum(bytes: &[u8]) -> String {
    base64url::hex(&sha256(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RunId;
    use crate::queue::testing::{Scratch, order};
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    /// A folder in whose `.result` these bytes are, and the record that they are of.
    fn recorded(scratch: &Scratch, second: u64) -> (RunFolder, Vec<u8>) {
        let at = UNIX_EPOCH + Duration::from_secs(1_767_323_045 + second);
        let id = RunId::new(at).unwrap();
        let folder = RunFolder::of(&scratch.0, &id);
        folder.create(&order(&id)).unwrap();
        folder.write_record(&Record::new(&order(&id), at, at)).unwrap();
        let bytes = fs::read(folder.kept()).unwrap();
        (folder, bytes)
    }

    fn is_recorded(folder: &RunFolder) -> bool {
        let record = folder.record().unwrap();
        assert_eq!(record.is_some(), folder.has_record());
        record.is_some()
    }

    #[test]
    fn what_a_power_cut_left_of_a_result_was_never_written() {
        let scratch = Scratch::new("folder-torn-result");
        let (folder, whole) = recorded(&scratch, 0);
        assert!(is_recorded(&folder));
        // Of one length, as the results of one endpoint are: what stands in a block that was given back.
        let (_, other) = recorded(&scratch, 1);
        assert_eq!(whole.len(), other.len());
        for length in 0..whole.len() {
            fs::write(folder.kept(), &whole[..length]).unwrap();
            assert!(!is_recorded(&folder), "{length} bytes");
            let mut zeros = whole[..length].to_vec();
            zeros.resize(whole.len(), 0);
            fs::write(folder.kept(), &zeros).unwrap();
            assert!(!is_recorded(&folder), "{length} bytes, then zeros");
            let mixed = [&whole[..length], &other[length..]].concat();
            fs::write(folder.kept(), &mixed).unwrap();
            assert_eq!(
                is_recorded(&folder),
                mixed == whole || mixed == other,
                "{length} bytes, then another's"
            );
        }
    }

    #[test]
    fn a_result_counts_whatever_became_of_its_copy() {
        let scratch = Scratch::new("folder-copy");
        let (folder, _) = recorded(&scratch, 0);
        let record = folder.record().unwrap().unwrap();
        for left in [None, Some(&b""[..]), Some(b"{\"endpoint\":"), Some(b"\0\0\0\0")] {
            let _ = fs::remove_file(folder.copy());
            left.into_iter()
                .for_each(|left| fs::write(folder.copy(), left).unwrap());
            assert!(is_recorded(&folder), "{left:?}");
            assert_eq!(folder.record().unwrap().unwrap(), record);
        }
        fs::remove_file(folder.copy()).unwrap();
        folder.copy_record(&record).unwrap();
        assert_eq!(read(&folder.copy()).unwrap().as_ref(), Some(&record));
        fs::remove_file(folder.kept()).unwrap();
        assert!(is_recorded(&folder));
        assert_eq!(folder.record().unwrap(), Some(record));
    }
}
