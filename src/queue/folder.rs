//! Where the things of a run are: its folder, and the locks and files that all runs share.
//!
//! A run folder holds `grant.json` (what was ordered), `log.ndjson`, `.result` (how it ended, for good) and, at the end,
//! `result.json`, which is a copy for whoever looks. Only root may enter it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Places;
use crate::limits::{MAX_RUN_FILE, STATE_LOCK_WAIT};
use crate::os::files::{self, optional};
use crate::os::lock;
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

    /// Removes the file that a tool prints to, which has a name only while the tool is started: a run that was killed just
    /// then left it.
    pub fn clear_output(&self) -> io::Result<()> {
        optional(fs::remove_file(self.output())).map(|_| ())
    }

    /// See [`RunFolder::clear_output`].
    pub fn output(&self) -> PathBuf {
        self.0.join(".output")
    }

    /// How it ended, for good; made with it, empty.
    pub(super) fn kept(&self) -> PathBuf {
        self.0.join(".result")
    }

    /// When the order was written.
    pub fn ordered_at(&self) -> io::Result<SystemTime> {
        fs::metadata(self.0.join("grant.json"))?.modified()
    }
}

pub(super) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let Some(bytes) = optional(files::read_bounded(path, MAX_RUN_FILE))? else {
        return Ok(None);
    };
    // Its newline is the last byte of each: one that was cut short was never written, as far as anybody may rely on it.
    if !bytes.ends_with(b"\n") {
        return Ok(None);
    }
    parse(path, &bytes)
}

pub(super) fn parse<T: DeserializeOwned>(path: &Path, json: &[u8]) -> io::Result<Option<T>> {
    serde_json::from_slice(json)
        .map(Some)
        .map_err(|error| io::Error::other(format!("{} is not what we wrote: {error}", path.display())))
}

pub(super) fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut json = serde_json::to_vec(value)?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::config::{Config, Settings};
    use crate::gate::{DeployTask, Task};
    use crate::queue::record::Record;
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
