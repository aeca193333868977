//! Where the things of a run are: its folder, and the locks and files that all runs share.
//!
//! A run folder holds `grant.json` (what was ordered), `log.ndjson`, `.result` (how it ended, for good) and, at the end,
//! `result.json`, which is a copy for whoever looks. Only root may enter it.
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

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Places;
use crate::hash::{self, sha256};
use crate::jwt::base64url;
use crate::limits::{MAX_RUN_FILE, STATE_LOCK_WAIT};
use crate::os::files::{self, optional};
use crate::os::lock;
use crate::queue::record::Record;
use crate::queue::{RunId, RunRequest};

/// Takes the queue lock, which making tickets and publishing need, waiting up to [`STATE_LOCK_WAIT`].
///
/// # Errors
/// When somebody else holds it for that long, naming the file.
pub fn lock_queue(places: &Places) -> io::Result<File> {
    lock::exclusive_within(&places.runtime.join("queue.lock"), STATE_LOCK_WAIT)
}

/// What is being changed, and what it was before.
pub fn journal_path(places: &Places) -> PathBuf {
    places.state.join("journal")
}

/// One run's folder; it need not exist.
#[derive(Clone)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// The folder of the run `id`.
    pub fn of(places: &Places, id: &RunId) -> Self {
        Self(places.runs.join(id.as_str()))
    }

    /// Every run that has a folder, oldest second first.
    pub fn all(places: &Places) -> io::Result<Vec<RunId>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&places.runs)? {
            found.extend(entry?.file_name().to_str().and_then(RunId::parse));
        }
        found.sort();
        Ok(found)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.0.is_dir()
    }

    /// Its log.
    pub fn log(&self) -> PathBuf {
        self.0.join("log.ndjson")
    }

    /// Makes the folder with the order in it, and with room for its result; on disk when this returns.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is one already: no run ever takes over another's.
    pub fn create(&self, order: &RunRequest) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.0)?;
        // Before the grant, whose wait for the folder is for both names.
        files::create_private(&self.kept())?;
        files::create(&self.0.join("grant.json"), &line(order)?, 0o600)?;
        files::sync_folder(&self.0)
    }

    /// Removes it and all that is in it. One that is gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        optional(fs::remove_dir_all(&self.0)).map(|_| ())
    }

    /// What was ordered; `None` when that was never written.
    pub fn order(&self) -> io::Result<Option<RunRequest>> {
        read(&self.0.join("grant.json"))
    }

    /// How it ended, if it has.
    pub fn record(&self) -> io::Result<Option<Record>> {
        let kept = self.kept();
        let bytes = optional(files::read_bounded(&kept, MAX_RUN_FILE))?.unwrap_or_default();
        match of_one_write(&bytes) {
            Some(json) => parse(&kept, json),
            None => read(&self.copy()),
        }
    }

    /// Removes the file that a tool prints to, which has a name only while the tool is started: a run that was killed just
    /// then left it.
    pub fn clear_output(&self) -> io::Result<()> {
        optional(fs::remove_file(self.output())).map(|_| ())
    }

    /// See [`RunFolder::clear_output`].
    pub fn output(&self) -> PathBuf {
        self.0.join(".output")
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

    fn kept(&self) -> PathBuf {
        self.0.join(".result")
    }

    fn copy(&self) -> PathBuf {
        self.0.join("result.json")
    }

    /// When the order was written.
    pub fn ordered_at(&self) -> io::Result<SystemTime> {
        fs::metadata(self.0.join("grant.json"))?.modified()
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let Some(bytes) = optional(files::read_bounded(path, MAX_RUN_FILE))? else {
        return Ok(None);
    };
    // Its newline is the last byte of each: one that was cut short was never written, as far as anybody may rely on it.
    if !bytes.ends_with(b"\n") {
        return Ok(None);
    }
    parse(path, &bytes)
}

fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> io::Result<Option<T>> {
    serde_json::from_slice(json)
        .map(Some)
        .map_err(|error| io::Error::other(format!("{} is not what we wrote: {error}", path.display())))
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

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut json = serde_json::to_vec(value)?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::config::{Config, Settings};
    use crate::gate::{DeployTask, Task};
    use crate::queue::request::Origin;

    /// Folders of their own for one test; gone when dropped.
    pub(crate) struct Scratch(pub(crate) Places);

    impl Scratch {
        pub(crate) fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("run-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            let places = Places {
                state: root.join("state"),
                runs: root.join("runs"),
                runtime: root.join("runtime"),
            };
            crate::os::places::prepare(&places).unwrap();
            Self(places)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(self.0.state.parent().unwrap());
        }
    }

    /// The least that the daemon starts with.
    pub(crate) fn least() -> Settings {
        Settings::from_env_file(include_bytes!("../../tests/data/least.env")).unwrap()
    }

    /// Settings for these folders; everything else as by default.
    pub(crate) fn config(places: &Places) -> Config {
        let config = Config::from_settings(&least()).unwrap();
        let places = places.clone();
        Config { places, ..config }
    }

    /// The record of a run that has just gone well.
    pub(crate) fn good_record(order: &RunRequest) -> Record {
        let now = SystemTime::now();
        Record::new(order, now, now)
    }

    /// A local order.
    pub(crate) fn order(id: &RunId) -> RunRequest {
        RunRequest {
            run_id: id.clone(),
            endpoint: "deploy".into(),
            task: Task::Deploy(DeployTask {
                version: "1.2.3".to_owned().try_into().unwrap(),
                sha: None,
                dry_run: false,
                force: false,
                rollback: false,
            }),
            origin: Origin::Local {
                uid: 0,
                user: "root".into(),
            },
            request_id: "test".into(),
            accepted_at: "2026-01-02T03:04:05.678Z".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Scratch, order};
    use super::*;
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

    #[test]
    fn what_a_power_cut_left_of_a_grant_was_never_written() {
        let scratch = Scratch::new("folder-torn");
        let id = RunId::new(SystemTime::now()).unwrap();
        let folder = RunFolder::of(&scratch.0, &id);
        folder.create(&order(&id)).unwrap();
        let path = folder.path().join("grant.json");
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let read = folder.order().unwrap();
            assert_eq!(read.is_some(), length == whole.len(), "{length} bytes");
        }
        fs::write(&path, b"{}\n").unwrap();
        assert!(
            folder.order().is_err(),
            "what is whole and not ours is no power cut"
        );
    }
}
