//! What is published of runs: the status documents, and `runs.json`.
//!
//! A record is on disk first; everything here can be made again from it. Publishing happens under the queue lock, so that
//! two publishers cannot put an older list over a newer one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::config::Places;
use crate::event::{Outcome, to_line};
use crate::limits::{KEEP_RUNS, MAX_RUN_FILE};
use crate::os::clock;
use crate::os::files::{self, optional};
use crate::queue::RunId;
use crate::queue::folder::{RunFolder, last_path, lock_queue};
use crate::queue::list::{Run, State, live};
use crate::queue::record::{Publication, Record};

/// Publishes a run that has just ended.
pub fn publish_end(places: &Places, keep: u32, record: &Record) -> io::Result<()> {
    let _lock = lock_queue(places)?;
    for document in record.documents() {
        let path = places.public().join(format!("{document}.json"));
        replace_older(&path, &record.outcome, files::replace_volatile, 0o644)?;
    }
    write_list(places, keep)
}

/// Publishes the list of runs.
pub fn publish(places: &Places, keep: u32) -> io::Result<()> {
    let _lock = lock_queue(places)?;
    write_list(places, keep)
}

/// Makes the public files where they are missing, as after a restart of the host. Cheap when they are there.
pub fn ensure_published(places: &Places, keep: u32) -> io::Result<()> {
    if places.public().join("runs.json").exists() {
        return Ok(());
    }
    let _lock = lock_queue(places)?;
    for id in RunFolder::all(places)? {
        if let Ok(Some(record)) = RunFolder::of(places, &id).record() {
            keep_status(places, &record)?;
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
            replace_older(&public, &outcome, files::replace_volatile, 0o644)?;
        }
    }
    write_list(places, keep)
}

/// Makes `record` the lasting status of its endpoint, on disk when this returns, unless a newer one is there.
pub fn keep_status(places: &Places, record: &Record) -> io::Result<()> {
    for document in record.documents() {
        let path = last_path(places, &document);
        replace_older(&path, &record.outcome, files::replace, 0o600)?;
    }
    Ok(())
}

impl Record {
    /// The names of the status documents that show it, without `.json`: its endpoint's, and that of its module.
    fn documents(&self) -> Vec<String> {
        if self.publication == Publication::RunsOnly {
            return Vec::new();
        }
        let module = self.outcome.more.get("module").and_then(Value::as_str);
        let of_the_module = module.map(|module| format!("{}.{module}", self.endpoint));
        std::iter::once(self.endpoint.clone())
            .chain(of_the_module)
            .collect()
    }
}

/// Writes `runs.json`: the running run, those that wait, and the last ones that ended, newest first, a line each. The
/// caller holds the queue lock.
fn write_list(places: &Places, keep: u32) -> io::Result<()> {
    let path = places.public().join("runs.json");
    let before = files::read_bounded(&path, MAX_RUN_FILE).unwrap_or_default();
    let before = String::from_utf8_lossy(&before);
    // A record never changes, so what is listed of a run that has ended is taken over as it stands.
    let known = before
        .lines()
        .filter_map(|line| listed(line.trim_end_matches(',').to_owned()));
    let mut known: BTreeMap<String, Listed> = known.map(|run| (run.0.run_id.clone(), run)).collect();
    let mut ended: Vec<Listed> = Vec::new();
    for id in RunFolder::all(places)?.into_iter().rev() {
        if ended.len() == keep.min(KEEP_RUNS) as usize {
            break;
        }
        ended.extend(
            known
                .remove(id.as_str())
                .or_else(|| listed_by_record(places, &id)),
        );
    }
    ended.sort_by(|(one, _), (other, _)| other.cmp(one));
    let (mut running, mut queued) = (Value::Null, Vec::new());
    for run in live(places)? {
        match &run.state {
            State::Running(_) => running = not_ended(&run),
            State::Queued => queued.push(not_ended(&run)),
            State::Dead | State::Ended(_) => {}
        }
    }
    let lines: Vec<String> = ended.into_iter().map(|(_, line)| line).collect();
    let text = format!(
        "{{\"running\":{running},\"queued\":{},\"runs\":[\n{}\n]}}\n",
        Value::Array(queued),
        lines.join(",\n")
    );
    files::replace_volatile(&path, text.as_bytes(), 0o644)
}

/// A run that has ended: its line of the list.
type Listed = (ListKey, String);

/// What the list is sorted by; the rest of a line is not looked at.
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct ListKey {
    finished_at: String,
    run_id: String,
}

fn listed(line: String) -> Option<Listed> {
    Some((serde_json::from_str(&line).ok()?, line))
}

fn listed_by_record(places: &Places, id: &RunId) -> Option<Listed> {
    let record = RunFolder::of(places, id).record();
    let record = record.inspect_err(|error| log::warn!("run {id} is not listed: {error}"));
    listed(record.ok()??.listed())
}

/// A run that has not ended, as the list has it.
pub fn not_ended(run: &Run) -> Value {
    let order = &run.order;
    let (version, sha) = order.names();
    let started = match &run.state {
        State::Running(since) => Some(since.as_str()),
        _ => None,
    };
    let mut listed = json!({
        "run_id": order.run_id, "endpoint": order.endpoint, "origin": order.origin.summary(),
        "accepted_at": order.accepted_at, "version": version, "sha": sha, "module": order.module(),
        "started_at": started,
    });
    if let Some(members) = listed.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    listed
}

pub(crate) fn outcome_in(path: &Path) -> io::Result<Option<Outcome>> {
    let bytes = optional(files::read_bounded(path, MAX_RUN_FILE))?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Puts `outcome` in the place of an older one. Times of one form compare as text. One that ended later than now was
/// written by a clock that was ahead, and would stay until then.
fn replace_older(
    path: &Path,
    outcome: &Outcome,
    replace: fn(&Path, &[u8], u32) -> io::Result<()>,
    mode: u32,
) -> io::Result<()> {
    let now = clock::rfc3339(SystemTime::now());
    let is_newer = |there: Outcome| there.finished_at > outcome.finished_at && there.finished_at <= now;
    if outcome_in(path)?.is_some_and(is_newer) {
        return Ok(());
    }
    replace(path, format!("{}\n", to_line(outcome)).as_bytes(), mode)
}
