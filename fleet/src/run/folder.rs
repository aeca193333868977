//! The folder of a run: `request` (what it is to do), `log` (the tool's output), `journal` (what has begun, and what was before)
//! and `result`. A run without a result that nobody holds is a dead one.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FlakeUrl, Links, Places};
use crate::limits::RUNS_KEPT;
use crate::os::files;
use crate::wire::{Hostname, Last, Request, RunId, Time};

/// All that `run` needs: it reads no flag and no variable besides.
#[derive(Serialize, Deserialize)]
pub struct Order {
    pub request: Request,
    pub hostname: Hostname,
    pub flake_url: FlakeUrl,
    pub nixos_rebuild: PathBuf,
    pub nix: PathBuf,
    pub places: Places,
    /// The tool's whole environment.
    pub environment: BTreeMap<String, String>,
    pub accepted_at: Time,
    /// What is still being built then is ended.
    pub limit: Time,
}

/// On disk before the tool is started.
#[derive(Serialize, Deserialize)]
pub struct Journal {
    pub before: Links,
    /// The tool's process, which leads its group, and when it began.
    pub process: Option<(i32, u64)>,
}

/// The folders of all runs of this host, below the state folder, and the lock that one of them holds at a time.
pub struct Runs(PathBuf);

pub struct RunFolder {
    pub id: RunId,
    pub path: PathBuf,
}

impl Runs {
    pub fn of(state: &Path) -> Self {
        Runs(state.to_owned())
    }

    pub fn open(&self, id: &RunId) -> RunFolder {
        RunFolder { id: id.clone(), path: self.0.join("runs").join(id.as_str()) }
    }

    /// Makes the folder; `None` where it is there already.
    pub fn create(&self, order: &Order) -> io::Result<Option<RunFolder>> {
        let folder = self.open(&order.request.id);
        let runs = self.0.join("runs");
        files::make_folder(&runs)?;
        match std::fs::create_dir(&folder.path) {
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            made => made?,
        }
        files::write_json(&folder.path.join("request"), order)?;
        File::open(runs)?.sync_all()?;
        Ok(Some(folder))
    }

    pub fn all(&self) -> io::Result<Vec<RunFolder>> {
        let entries = match std::fs::read_dir(self.0.join("runs")) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| Some(self.open(&name.parse().ok()?))).collect())
    }

    /// The lock of the run whose turn it is. The kernel frees it when its holder dies.
    pub fn turn(&self) -> io::Result<File> {
        files::open_lock(&self.0.join("turn"))
    }

    /// Removes the folders of old runs, the oldest first.
    pub fn prune(&self) -> io::Result<()> {
        let mut ended: Vec<(Time, RunFolder)> = Vec::new();
        for folder in self.all()? {
            match folder.result()? {
                Some(result) => ended.push((result.finished_at, folder)),
                // Made, and not written: its request was never accepted.
                None if folder.order()?.is_none() => std::fs::remove_dir_all(&folder.path)?,
                None => {}
            }
        }
        ended.sort_by_key(|(finished, _)| *finished);
        let surplus = ended.len().saturating_sub(RUNS_KEPT);
        ended.into_iter().take(surplus).try_for_each(|(_, folder)| std::fs::remove_dir_all(folder.path))
    }
}

impl RunFolder {
    pub fn order(&self) -> io::Result<Option<Order>> {
        files::read_json(&self.path.join("request"))
    }

    pub fn journal(&self) -> io::Result<Option<Journal>> {
        files::read_json(&self.path.join("journal"))
    }

    pub fn write_journal(&self, journal: &Journal) -> io::Result<()> {
        files::write_json(&self.path.join("journal"), journal)
    }

    /// How the run ended.
    pub fn result(&self) -> io::Result<Option<Last>> {
        files::read_json(&self.path.join("result"))
    }

    pub fn write_result(&self, result: &Last) -> io::Result<()> {
        files::write_json(&self.path.join("result"), result)
    }

    pub fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The log, to append to. The tool writes to it itself, so that its output outlives who started it.
    pub fn log(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).mode(0o600).open(self.log_path())
    }

    pub fn say(&self, text: &str) -> io::Result<()> {
        writeln!(self.log()?, "homelab-deploy: {text}")
    }

    /// What the tool holds as its standard input for as long as one of its processes lives: an empty file, locked.
    pub fn tool_lock(&self) -> io::Result<File> {
        files::open_lock(&self.path.join("tool"))
    }
}
