//! The record of a run, and what is published of it: the result in its folder, the status documents, `runs.json`.
//!
//! The record is on disk first; everything else can be made again from it. Publishing happens under the queue lock, so
//! that two publishers cannot put an older list over a newer one.

use std::fs;
use std::io;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::Places;
use crate::event::{Outcome, Status, bounded, harmless};
use crate::limits::{KEEP_RUNS, MAX_RUN_FILE};
use crate::os::clock;
use crate::os::files::{self, Durability, optional};
use crate::queue::folder::{self, QueueLock};
use crate::queue::{RunFolder, RunId, RunRequest, ticket};

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
    /// How many runs of this host had ended when it ended, or more: clocks may step back, this does not. 0 is a record of a
    /// version that did not count.
    #[serde(default)]
    pub sequence: u64,
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
    pub fn new(order: &RunRequest, end: End) -> Self {
        let (version, sha) = order.names();
        let mut more = end.more;
        let shown = match order.dry_run() {
            true => Shown::RunsAlone,
            false => end.shown,
        };
        if order.dry_run() {
            more.insert("dry_run".to_owned(), json!(true));
        }
        if let Some(module) = order.module() {
            // Which status shows it depends on this one.
            more.insert("module".to_owned(), json!(module));
        }
        let status = if end.error.is_none() {
            Status::Ok
        } else {
            Status::Fail
        };
        let outcome = Outcome {
            status,
            error: end.error.map(|error| bounded(&harmless(&error))),
            version,
            sha,
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
            sequence: 0,
        }
    }

    /// What comes later among the records of a host is greater.
    pub fn lateness(&self) -> (u64, &str) {
        (self.sequence, &self.outcome.finished_at)
    }

    /// The names of the status documents that show it, without their ending: its endpoint's, and that of its module.
    pub fn documents(&self) -> Vec<String> {
        let module = self.outcome.more.get("module").and_then(Value::as_str);
        let of_the_module = module.map(|module| format!("{}.{module}", self.endpoint));
        std::iter::once(self.endpoint.clone())
            .chain(of_the_module)
            .collect()
    }

    /// As `/runs` lists it, a line: the outcome, the endpoint, who asked.
    pub fn listed(&self) -> String {
        let listed = Listed {
            outcome: &self.outcome,
            endpoint: &self.endpoint,
            origin: &self.origin,
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
    origin: &'a Value,
}

/// Publishes a run that has just ended.
pub fn publish_with(places: &Places, keep: u32, record: &Record) -> io::Result<()> {
    let lock = QueueLock::take(places)?;
    if record.shown == Shown::Status {
        for document in record.documents() {
            let path = places.public().join(format!("{document}.json"));
            replace_older(&path, &record.outcome, Durability::Volatile)?;
        }
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
            for document in record.documents() {
                let last = folder::last_path(places, &document);
                replace_older(&last, &record.outcome, Durability::Durable)?;
            }
        }
    }
    let last = places.state.join("last");
    for folder in [&places.state, &last, &last.join("modules")] {
        files::sweep(folder)?;
    }
    for entry in fs::read_dir(last)? {
        let path = entry?.path();
        // `modules` holds documents of another kind.
        if path.is_dir() {
            continue;
        }
        if let Some(outcome) = outcome_in(&path)? {
            let public = places.public().join(path.file_name().unwrap_or_default());
            replace_older(&public, &outcome, Durability::Volatile)?;
        }
    }
    publish(places, keep, &lock)
}

/// Writes `runs.json`: the running run, those that wait, and the last ones that ended, newest first, a line each.
///
/// What an earlier list says of a run that has ended is taken over as it stands, since a record never changes.
pub fn publish(places: &Places, keep: u32, _lock: &QueueLock) -> io::Result<()> {
    let before = files::read_bounded(&places.public().join("runs.json"), MAX_RUN_FILE).unwrap_or_default();
    let before = String::from_utf8(before).unwrap_or_default();
    let mut ids = RunFolder::all(places)?;
    ids.reverse();
    let mut runs: Vec<(Key, String)> = Vec::new();
    for id in ids {
        if runs.len() == keep.min(KEEP_RUNS) as usize {
            break;
        }
        runs.extend(listed_before(&before, &id).or_else(|| listed_now(places, &id)));
    }
    runs.sort_by(|(a, _), (b, _)| b.cmp(a));
    let (running, queued) = at_work(places, &runs)?;
    let lines: Vec<String> = runs.into_iter().map(|(_, line)| line).collect();
    let text = format!(
        "{{\"running\":{running},\"queued\":{},\"runs\":[\n{}\n]}}\n",
        Value::Array(queued),
        lines.join(",\n")
    );
    files::replace(
        &places.public().join("runs.json"),
        text.as_bytes(),
        0o644,
        Durability::Volatile,
    )
}

/// What the list is sorted by; the rest of a line is not looked at.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Key {
    finished_at: String,
    run_id: String,
}

fn listed_before(before: &str, id: &RunId) -> Option<(Key, String)> {
    let mut lines = before.lines().map(|line| line.trim_end_matches(','));
    // A line that is not of this run fails one of the two; a failed run may name another in its error.
    lines.find_map(|line| {
        let key: Key = line
            .contains(id.as_str())
            .then(|| serde_json::from_str(line).ok())??;
        (key.run_id == id.as_str()).then(|| (key, line.to_owned()))
    })
}

fn listed_now(places: &Places, id: &RunId) -> Option<(Key, String)> {
    let record = match RunFolder::of(places, id).record() {
        Ok(record) => record?,
        Err(error) => {
            log::warn!("run {id} is not listed: {error}");
            return None;
        }
    };
    let key = Key {
        finished_at: record.outcome.finished_at.clone(),
        run_id: record.outcome.run_id.clone(),
    };
    Some((key, record.listed()))
}

/// The run whose turn it is, and those that wait: those that hold a ticket, but not those that have ended already.
fn at_work(places: &Places, ended: &[(Key, String)]) -> io::Result<(Value, Vec<Value>)> {
    let (mut running, mut queued) = (Value::Null, Vec::new());
    for seen in ticket::list(places)? {
        let folder = RunFolder::of(places, &seen.id);
        let has_ended = ended.iter().any(|(key, _)| key.run_id == seen.id.as_str());
        let (false, Ok(Some(order)), Ok(true)) = (has_ended, folder.order(), seen.is_live()) else {
            continue;
        };
        let mut listed = json!({
            "run_id": seen.id, "endpoint": order.endpoint, "origin": order.origin.summary(),
            "accepted_at": order.accepted_at,
        });
        let (version, sha) = order.names();
        let module = order.module().map(str::to_owned);
        for (name, value) in [("version", version), ("sha", sha), ("module", module)] {
            if let Some(value) = value {
                listed[name] = value.into();
            }
        }
        match seen.started(places) {
            Ok(Some(started)) => {
                listed["started_at"] = json!(clock::rfc3339(started));
                running = listed;
            }
            _ => queued.push(listed),
        }
    }
    Ok((running, queued))
}

pub(crate) fn outcome_in(path: &std::path::Path) -> io::Result<Option<Outcome>> {
    let Some(bytes) = optional(files::read_bounded(path, MAX_RUN_FILE))? else {
        return Ok(None);
    };
    Ok(serde_json::from_slice(&bytes).ok())
}

/// Puts `outcome` in the place of an older one. Times of one form compare as text. One that ended later than now was
/// written by a clock that was ahead, and would stay until then.
pub fn replace_older(path: &std::path::Path, outcome: &Outcome, durability: Durability) -> io::Result<()> {
    let now = clock::rfc3339(SystemTime::now());
    let is_newer = |there: Outcome| there.finished_at > outcome.finished_at && there.finished_at <= now;
    if outcome_in(path)?.is_some_and(is_newer) {
        return Ok(());
    }
    let mode = match durability {
        Durability::Durable => 0o600,
        Durability::Volatile => 0o644,
    };
    files::replace(path, format!("{}\n", outcome.line()).as_bytes(), mode, durability)
}
