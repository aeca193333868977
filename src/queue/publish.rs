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
use crate::queue::folder::{RunFolder, lock_queue};
use crate::queue::list::{Run, State, live};
use crate::queue::record::{Publication, Record};

/// Writes a file that everyone may read.
const PUBLIC: Write = |path, bytes| files::replace_volatile(path, bytes, 0o644);
const LASTING: Write = |path, bytes| files::replace(path, bytes, 0o600);
type Write = fn(&Path, &[u8]) -> io::Result<()>;

/// Publishes the list of runs, and the status of one that has just ended.
pub fn publish(places: &Places, keep: u32, ended: Option<&Record>) -> io::Result<()> {
    let _lock = lock_queue(places)?;
    for (document, outcome) in ended.iter().flat_map(|record| record.documents()) {
        replace_older(&places.public().join(document), outcome, PUBLIC)?;
    }
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
        if let Ok(Some(outcome)) = outcome_in(&path) {
            let public = places.public().join(path.file_name().unwrap_or_default());
            replace_older(&public, &outcome, PUBLIC)?;
        }
    }
    write_list(places, keep)
}

/// Makes `record` the lasting status of its endpoint, on disk when this returns, unless a newer one is there.
pub fn keep_status(places: &Places, record: &Record) -> io::Result<()> {
    for (document, outcome) in record.documents() {
        let path = places.state.join("last").join(document);
        replace_older(&path, outcome, LASTING)?;
    }
    Ok(())
}

impl Record {
    /// The status documents that show it: its endpoint's, and that of its module.
    fn documents(&self) -> impl Iterator<Item = (String, &Outcome)> {
        let module = self.outcome.more.get("module").and_then(Value::as_str);
        let of_the_module = module.map(|module| format!("{}.{module}.json", self.endpoint));
        let names = [Some(format!("{}.json", self.endpoint)), of_the_module]
            .into_iter()
            .flatten();
        let is_shown = self.publication == Publication::Status;
        names.filter(move |_| is_shown).map(|name| (name, &self.outcome))
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
        .filter_map(|line| listed(line.trim_end_matches(',')));
    let mut known: BTreeMap<String, Listed> = known.map(|run| (run.1.clone(), run)).collect();
    let ids = RunFolder::all(places)?.into_iter().rev();
    let ended = ids.filter_map(|id| {
        let line = || listed(&RunFolder::of(places, &id).record().ok()??.listed());
        known.remove(id.as_str()).or_else(line)
    });
    let mut ended: Vec<Listed> = ended.take(keep.min(KEEP_RUNS) as usize).collect();
    ended.sort_by(|one, other| other.cmp(one));
    let (mut running, mut queued) = (Value::Null, Vec::new());
    for run in live(places)? {
        match &run.state {
            State::Running(_) => running = not_ended(&run),
            State::Queued => queued.push(not_ended(&run)),
            State::Dead | State::Ended(_) => {}
        }
    }
    let lines: Vec<String> = ended.into_iter().map(|(_, _, line)| line).collect();
    let (queued, runs) = (Value::Array(queued), lines.join(",\n"));
    let text = format!("{{\"running\":{running},\"queued\":{queued},\"runs\":[\n{runs}\n]}}\n");
    PUBLIC(&path, text.as_bytes())
}

/// Of a run that has ended: when, which, its line of the list.
type Listed = (String, String, String);

fn listed(line: &str) -> Option<Listed> {
    #[derive(Deserialize)]
    struct Key {
        finished_at: String,
        run_id: String,
    }
    let key: Key = serde_json::from_str(line).ok()?;
    Some((key.finished_at, key.run_id, line.to_owned()))
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
fn replace_older(path: &Path, outcome: &Outcome, write: Write) -> io::Result<()> {
    let now = clock::rfc3339(SystemTime::now());
    let is_newer = |there: Outcome| there.finished_at > outcome.finished_at && there.finished_at <= now;
    if outcome_in(path)?.is_some_and(is_newer) {
        return Ok(());
    }
    write(path, format!("{}\n", to_line(outcome)).as_bytes())
}
