//! The record of a run, and what is published of it: `result.json`, the status documents, `runs.json`.
//!
//! The record is on disk first; everything else can be made again from it. Publishing happens under the queue lock, so
//! that two publishers cannot put an older list over a newer one.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::Places;
use crate::event::{Outcome, Status, harmless};
use crate::gate::Ask;
use crate::limits::{KEEP_RUNS, MAX_RUN_FILE};
use crate::os::clock;
use crate::os::files::{self, Durability, optional};
use crate::run::folder::{self, QueueLock};
use crate::run::log::{Log, bounded};
use crate::run::ticket::{self, Seen};
use crate::run::{Order, RunFolder, RunId, journal};

/// Where a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// In `/runs`, and as its endpoint's status.
    Status,
    /// In `/runs` alone: a dry run, and a run that never had its turn.
    RunsAlone,
}

/// How a run ended, with what a list of runs says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its endpoint's name.
    pub endpoint: String,
    /// Who asked, as everyone may know it.
    pub origin: Value,
    /// Where it is shown.
    pub shown: Shown,
    /// The last line of its log.
    pub outcome: Outcome,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct End {
    /// `None` is `ok`; else why not.
    pub error: Option<String>,
    /// Further members of the outcome.
    pub more: Map<String, Value>,
    /// When its turn came; for one that never had it, when it was ordered.
    pub started: SystemTime,
    /// Now.
    pub finished: SystemTime,
    /// Where it is shown, unless it is a dry run.
    pub shown: Shown,
}

impl Record {
    /// The record of `order`'s run.
    pub fn new(order: &Order, end: End) -> Self {
        let Ask::Deploy { version, sha, .. } = &order.ask;
        let mut more = end.more;
        let shown = match order.dry_run() {
            true => Shown::RunsAlone,
            false => end.shown,
        };
        if order.dry_run() {
            more.insert("dry_run".to_owned(), json!(true));
        }
        let status = if end.error.is_none() {
            Status::Ok
        } else {
            Status::Fail
        };
        let outcome = Outcome {
            status,
            error: end.error.map(|error| bounded(&harmless(&error))),
            version: Some(version.to_string()),
            sha: sha.as_ref().map(ToString::to_string),
            started_at: clock::rfc3339(end.started),
            finished_at: clock::rfc3339(end.finished),
            duration_ms: end
                .finished
                .duration_since(end.started)
                .unwrap_or_default()
                .as_millis() as u64,
            run_id: order.run_id.to_string(),
            more,
        };
        Self {
            endpoint: order.endpoint.clone(),
            origin: order.origin.summary(),
            shown,
            outcome,
        }
    }

    /// As `/runs` lists it: the outcome, the endpoint, who asked.
    fn listed(&self) -> Value {
        let mut listed = serde_json::to_value(&self.outcome).unwrap_or_default();
        listed["endpoint"] = json!(self.endpoint);
        listed["origin"] = self.origin.clone();
        listed
    }
}

/// Records the end of a run, in the one order that a crash cannot make a lie of: the result on disk, the public files,
/// the last line for followers, the lasting status, the journal gone. Doing it again changes nothing more.
///
/// # Errors
/// When the result could not be written: then the run stays unrecorded, and whoever sees it dead tries again. What
/// fails after that is logged, since it can be made again from the result.
pub fn conclude(places: &Places, keep: u32, record: &Record, id: &RunId, log: &mut Log) -> io::Result<()> {
    let folder = RunFolder::of(places, id);
    let written = match folder.record()? {
        Some(_) => Ok(()),
        None => folder.write_record(record),
    };
    if written.is_ok() {
        warn(id, "publish", publish_with(places, keep, record));
    }
    log.end_once(&record.outcome);
    written?;
    if record.shown == Shown::Status {
        let last = folder::last_path(places, &record.endpoint);
        warn(
            id,
            "keep the status of",
            replace_older(&last, &record.outcome, Durability::Durable),
        );
    }
    warn(id, "remove the journal of", journal::end(places, id));
    Ok(())
}

fn warn(id: &RunId, doing: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::warn!("{doing} run {id}: {error}");
    }
}

fn publish_with(places: &Places, keep: u32, record: &Record) -> io::Result<()> {
    let lock = QueueLock::take(places)?;
    if record.shown == Shown::Status {
        let path = places.public().join(format!("{}.json", record.endpoint));
        replace_older(&path, &record.outcome, Durability::Volatile)?;
    }
    publish(places, keep, &lock)
}

/// Makes the public files where they are missing, as after a restart of the host. Cheap when they are there.
pub fn ensure_published(places: &Places, keep: u32) -> io::Result<()> {
    if places.public().join("runs.json").exists() {
        return Ok(());
    }
    let lock = QueueLock::take(places)?;
    for id in RunFolder::all(places)? {
        let Ok(Some(record)) = RunFolder::of(places, &id).record() else {
            continue;
        };
        if record.shown == Shown::Status {
            let last = folder::last_path(places, &record.endpoint);
            replace_older(&last, &record.outcome, Durability::Durable)?;
        }
    }
    for entry in fs::read_dir(places.state.join("last"))? {
        let path = entry?.path();
        if let Some(outcome) = outcome_in(&path)? {
            let public = places.public().join(path.file_name().unwrap_or_default());
            replace_older(&public, &outcome, Durability::Volatile)?;
        }
    }
    publish(places, keep, &lock)
}

/// Writes `runs.json`, and removes the folders of the oldest runs beyond `keep`.
///
/// What an earlier list says of a run that has ended is taken over, since a record never changes.
pub fn publish(places: &Places, keep: u32, _lock: &QueueLock) -> io::Result<()> {
    let tickets = ticket::list(places)?;
    let mut known = listed_before(places);
    let mut ids = RunFolder::all(places)?;
    ids.reverse();
    let mut runs = Vec::new();
    let mut ended = 0;
    for id in &ids {
        if ended >= keep {
            prune(places, id, &tickets);
        } else if runs.len() < KEEP_RUNS as usize {
            let listed = known.remove(id.as_str()).or_else(|| listed_now(places, id));
            ended += u32::from(listed.is_some());
            runs.extend(listed);
        } else {
            ended += 1;
        }
    }
    runs.sort_by(|a, b| when(b).cmp(&when(a)));
    let (running, queued) = at_work(places, &tickets, &runs);
    let document = json!({"running": running, "queued": queued, "runs": runs});
    put(places, "runs.json", &document)
}

fn put(places: &Places, name: &str, document: &Value) -> io::Result<()> {
    let mut text = document.to_string();
    text.push('\n');
    files::replace(
        &places.public().join(name),
        text.as_bytes(),
        0o644,
        Durability::Volatile,
    )
}

fn when(listed: &Value) -> (Option<&str>, Option<&str>) {
    (listed["finished_at"].as_str(), listed["run_id"].as_str())
}

fn listed_before(places: &Places) -> HashMap<String, Value> {
    let before = files::read_bounded(&places.public().join("runs.json"), MAX_RUN_FILE).unwrap_or_default();
    let mut before: Value = serde_json::from_slice(&before).unwrap_or_default();
    let Value::Array(runs) = before["runs"].take() else {
        return HashMap::new();
    };
    runs.into_iter()
        .filter_map(|run| Some((run["run_id"].as_str()?.to_owned(), run)))
        .collect()
}

fn listed_now(places: &Places, id: &RunId) -> Option<Value> {
    match RunFolder::of(places, id).record() {
        Ok(record) => record.map(|record| record.listed()),
        Err(error) => {
            log::warn!("run {id} is not listed: {error}");
            None
        }
    }
}

/// The run whose turn it is, and those that wait; those that hold a ticket, but not those that have ended already.
fn at_work(places: &Places, tickets: &[Seen], ended: &[Value]) -> (Value, Vec<Value>) {
    let (mut running, mut queued) = (Value::Null, Vec::new());
    for seen in tickets {
        let folder = RunFolder::of(places, &seen.id);
        let has_ended = ended.iter().any(|run| run["run_id"] == seen.id.as_str());
        let (Ok(Some(order)), Ok(true)) = (folder.order(), seen.is_live()) else {
            continue;
        };
        let mut listed = json!({
            "run_id": seen.id, "endpoint": order.endpoint, "origin": order.origin.summary(),
            "accepted_at": order.accepted_at,
        });
        match folder.started() {
            _ if has_ended => {}
            Ok(Some(started)) => {
                listed["started_at"] = json!(clock::rfc3339(started));
                running = listed;
            }
            _ => queued.push(listed),
        }
    }
    (running, queued)
}

/// Removes a run's folder, if the run has ended and nobody holds its ticket.
fn prune(places: &Places, id: &RunId, tickets: &[Seen]) {
    let folder = RunFolder::of(places, id);
    let ended = folder.record().is_ok_and(|record| record.is_some());
    if ended && !tickets.iter().any(|seen| seen.id == *id) {
        warn(id, "remove the folder of", folder.remove());
    }
}

fn outcome_in(path: &std::path::Path) -> io::Result<Option<Outcome>> {
    let Some(bytes) = optional(files::read_bounded(path, MAX_RUN_FILE))? else {
        return Ok(None);
    };
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Puts `outcome` in the place of an older one. Times of one form compare as text.
fn replace_older(path: &std::path::Path, outcome: &Outcome, durability: Durability) -> io::Result<()> {
    let newer = outcome_in(path)?.is_some_and(|there| there.finished_at > outcome.finished_at);
    if newer {
        return Ok(());
    }
    let mode = match durability {
        Durability::Durable => 0o600,
        Durability::Volatile => 0o644,
    };
    files::replace(path, format!("{}\n", outcome.line()).as_bytes(), mode, durability)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
