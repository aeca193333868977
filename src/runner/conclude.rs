//! Recording the end of a run, in the one order that a crash cannot make a lie of.

use std::fs;
use std::io;

use crate::config::Places;
use crate::failpoint;
use crate::limits::MAX_RUN_FILE;
use crate::os::files;
use crate::queue::publish::{keep_status, publish};
use crate::queue::record::Record;
use crate::queue::{RunFolder, RunId, journal, ticket};
use crate::run::log::Log;

/// Records the end of a run, in the one order that a crash cannot make a lie of: the result on disk, the public files,
/// the last line for followers; then the result's copy, the lasting status, the journal gone. Doing it again changes
/// nothing more.
///
/// # Errors
/// When the result could not be written: then the run stays unrecorded, and whoever sees it dead tries again. What
/// fails after that is logged, since it can be made again from the result.
pub fn conclude(places: &Places, keep: u32, record: &Record, id: &RunId, log: &mut Log) -> io::Result<()> {
    let folder = RunFolder::of(places, id);
    failpoint!("before-result");
    let written = match folder.record()? {
        Some(_) => Ok(()),
        None => folder.write_record(&Record {
            sequence: next_sequence(places),
            ..record.clone()
        }),
    };
    failpoint!("result-written");
    if written.is_ok() {
        warn(id, "publish", publish(places, keep, Some(record)));
    }
    failpoint!("published");
    log.end_once(&record.outcome);
    written?;
    warn(id, "copy the result of", folder.copy_record(record));
    warn(id, "keep the status of", keep_status(places, record));
    warn(id, "empty the journal of", journal::end(places, id));
    failpoint!("journal-ended");
    warn(id, "remove older runs than", prune(places, keep));
    Ok(())
}

/// The next number of a record. It is kept in memory, for whoever comes next; after a restart of the host it is counted anew.
/// Two runs may get the same one, where one of them never had its turn; then the clock decides.
fn next_sequence(places: &Places) -> u64 {
    let path = places.runtime.join("sequence");
    let known = files::read_bounded(&path, MAX_RUN_FILE).ok();
    let known = known.and_then(|text| String::from_utf8(text).ok()?.trim_end().parse().ok());
    let next: u64 = known.unwrap_or_else(|| highest_sequence(places)) + 1;
    if let Err(error) = files::replace_volatile(&path, format!("{next}\n").as_bytes(), 0o600) {
        // The next one would get the same number.
        let _ = fs::remove_file(&path);
        log::warn!("{}", files::describe(&error, "write", &path));
    }
    next
}

fn highest_sequence(places: &Places) -> u64 {
    let ids = RunFolder::all(places).unwrap_or_default();
    let records = ids
        .iter()
        .filter_map(|id| RunFolder::of(places, id).record().ok()?);
    records.map(|record| record.sequence).max().unwrap_or(0)
}

fn warn(id: &RunId, doing: &str, result: io::Result<()>) {
    if let Err(error) = result {
        log::warn!("{doing} run {id}: {error}");
    }
}

/// Removes the folders of the oldest runs beyond `keep`: those that have ended and whose ticket is gone.
fn prune(places: &Places, keep: u32) -> io::Result<()> {
    let mut ids = RunFolder::all(places)?;
    ids.retain(|id| RunFolder::of(places, id).has_record());
    ids.truncate(ids.len().saturating_sub(keep as usize));
    for id in ids {
        if ticket::of(places, &id)?.is_none() {
            RunFolder::of(places, &id).remove()?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "conclude_tests.rs"]
mod tests;
