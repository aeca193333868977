//! The users of the roles, the folders, and the replay memory.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::Report;
use crate::config::{Config, Places};
use crate::gate::Memory;
use crate::os::files;
use crate::os::privilege::{self, Identity};
use crate::os::{disk, places};

/// Looks at all of them; makes what `serve` would make.
pub fn check(config: &Config, report: &mut Report) {
    users(config, report);
    let places = &config.places;
    if let Err(error) = places::prepare(places) {
        return report.error("folders", error);
    }
    for folder in [&places.state, &places.runs, &places.runtime, &places.public()] {
        report.root_alone("folders", folder);
        if let Err(error) = write_to(folder) {
            report.error("folders", files::describe(&error, "write to", folder));
        }
    }
    if disk::is_in_memory(&places.state).unwrap_or(false) {
        let state = places.state.display();
        let advice = "a power cut takes records of used tokens and half-done changes";
        report.warning("folders", format!("{state} is in memory (tmpfs): {advice}"));
    }
    memory(places, report);
}

/// Two names may be one user: either role could then end or trace the other.
fn users(config: &Config, report: &mut Report) {
    let mut known: Vec<(&str, u32)> = Vec::new();
    for (name, account) in config.users() {
        match privilege::identity(account) {
            Err(error) => report.error("users", format!("{name}: {error}")),
            Ok(Identity { uid, gid }) => {
                report.ok("users", format!("{name} is uid {uid}, gid {gid}"));
                if let Some((other, _)) = known.iter().find(|(_, other)| *other == uid) {
                    report.error("users", format!("{other} and {name} are both uid {uid}"));
                }
                known.push((name, uid));
            }
        }
    }
}

/// Writes a file to it, and removes that.
fn write_to(folder: &Path) -> io::Result<()> {
    let probe = folder.join(".check");
    files::replace_volatile(&probe, b"", 0o600)?;
    // Another `check` may have taken it away.
    files::optional(fs::remove_file(&probe)).map(drop)
}

/// As `serve` does, it makes one that refuses what may have been used before.
fn memory(places: &Places, report: &mut Report) {
    let what = "replay memory";
    let memory = Memory::of(&places.state);
    match memory.create(Some(SystemTime::now())) {
        Ok(true) => report.warning(what, crate::cli::NEW_MEMORY),
        Ok(false) => {
            let known = memory.inspect().map(|known| format!("remembers {known} tokens"));
            report.result(what, known.map_err(|refusal| refusal.detail));
        }
        Err(refusal) => report.error(what, refusal.detail),
    }
}
