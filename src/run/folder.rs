//! Where the things of a run are: its folder, and the locks and files that all runs share.
//!
//! A run folder holds `grant.json` (what was ordered), `log.ndjson` and, at the end, `result.json`. Only root may enter it.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Places;
use crate::limits::{MAX_RUN_FILE, STATE_LOCK_WAIT};
use crate::os::files::{self, Durability, optional};
use crate::os::lock;
use crate::run::record::Record;
use crate::run::{Order, RunId};

/// Proof that the queue lock is held; making tickets, publishing and pruning need it.
#[derive(Debug)]
pub struct QueueLock {
    _held: File,
}

impl QueueLock {
    /// Takes it, waiting up to [`STATE_LOCK_WAIT`].
    ///
    /// # Errors
    /// When somebody else holds it for that long, naming the file.
    pub fn take(places: &Places) -> io::Result<Self> {
        let held = lock::exclusive_within(&places.runtime.join("queue.lock"), STATE_LOCK_WAIT)?;
        Ok(Self { _held: held })
    }
}

/// The lock of the one run that has its turn.
pub fn turn_path(places: &Places) -> PathBuf {
    places.runtime.join("turn")
}

/// What is being changed, and what it was before.
pub fn journal_path(places: &Places) -> PathBuf {
    places.state.join("journal")
}

/// The lasting copy of an endpoint's status document.
pub fn last_path(places: &Places, endpoint: &str) -> PathBuf {
    places.state.join("last").join(format!("{endpoint}.json"))
}

/// One run's folder; it need not exist.
#[derive(Clone, Debug)]
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

    /// Makes the folder with the order in it; on disk when this returns.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when there is one already: no run ever takes over another's.
    pub fn create(&self, order: &Order) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.0)?;
        files::create(
            &self.0.join("grant.json"),
            &line(order)?,
            0o600,
            Durability::Durable,
        )?;
        files::sync_folder(&self.0)
    }

    /// Removes it and all that is in it. One that is gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        optional(fs::remove_dir_all(&self.0)).map(|_| ())
    }

    /// What was ordered; `None` when that was never written.
    pub fn order(&self) -> io::Result<Option<Order>> {
        read(&self.0.join("grant.json"))
    }

    /// How it ended, if it has.
    pub fn record(&self) -> io::Result<Option<Record>> {
        read(&self.0.join("result.json"))
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

    /// Whether it has been recorded.
    pub fn has_record(&self) -> bool {
        self.0.join("result.json").exists()
    }

    /// Writes how it ended; on disk when this returns.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        files::replace(
            &self.0.join("result.json"),
            &line(record)?,
            0o600,
            Durability::Durable,
        )
    }

    /// When its turn came, in the folder of a version that wrote it there; now its ticket says it.
    pub fn started(&self) -> io::Result<Option<SystemTime>> {
        let millis: Option<u64> = read(&self.0.join("started"))?;
        Ok(millis.map(|millis| UNIX_EPOCH + Duration::from_millis(millis)))
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
    let value = serde_json::from_slice(&bytes)
        .map_err(|error| io::Error::other(format!("{} is not what we wrote: {error}", path.display())))?;
    Ok(Some(value))
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut json = serde_json::to_vec(value)?;
    json.push(b'\n');
    Ok(json)
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::config::{Config, Job, Settings};
    use crate::gate::{Ask, DeployAsk};
    use crate::run::order::Origin;

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

    /// Settings for these folders; everything else as by default.
    pub(crate) fn config(places: &Places) -> Config {
        let settings = [
            ("DEPLOYER_CERT_FILE", "/c.pem"),
            ("DEPLOYER_KEY_FILE", "/k.pem"),
            ("DEPLOYER_REPOSITORY", "x/y"),
            (
                "DEPLOYER_WORKFLOW_REF",
                "x/y/.github/workflows/d.yml@refs/heads/main",
            ),
            ("DEPLOYER_ALLOWED_IPS", "127.0.0.1"),
        ];
        let settings = settings
            .iter()
            .fold(Settings::default(), |all, (name, value)| all.with(name, value));
        let config = Config::from_settings(&settings).unwrap();
        let places = places.clone();
        Config { places, ..config }
    }

    /// A local order.
    pub(crate) fn order(id: &RunId) -> Order {
        Order {
            run_id: id.clone(),
            endpoint: "deploy".into(),
            job: Job::Deploy,
            ask: Ask::Deploy(DeployAsk {
                version: "1.2.3".to_owned().try_into().unwrap(),
                sha: None,
                dry_run: false,
                force: false,
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
