//! The users of the roles, the folders, and the replay memory.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::cli::check::report::Report;
use crate::config::{Account, Config};
use crate::gate::{Creation, Memory, Past};
use crate::os::files::{self, Durability};
use crate::os::privilege::{self, Identity};
use crate::os::{disk, places, trusted};

/// Looks at all of them; makes what `serve` would make.
pub fn check(config: &Config, now: SystemTime, report: &mut Report) {
    users(config, report);
    match places::prepare(&config.places) {
        Ok(()) => {
            let (places, public) = (&config.places, config.places.public());
            for folder in [&places.state, &places.runs, &places.runtime, &public] {
                self::folder(folder, report);
            }
            if disk::is_in_memory(&places.state).unwrap_or(false) {
                let state = places.state.display();
                let advice = "is in memory (tmpfs): a power cut takes what is known of used tokens and of changes half done";
                report.warn("folders", format_args!("{state} {advice}"));
            }
            memory(&config.places.state, now, report);
        }
        Err(fault) => report.fault("folders", fault),
    }
}

/// Two names may be one user: either role could then end or trace the other.
fn users(config: &Config, report: &mut Report) {
    let front = user("DEPLOYER_USER", &config.front_user, report);
    let fetch = user("DEPLOYER_FETCH_USER", &config.fetch_user, report);
    #[cfg_attr(not(feature = "terraform"), expect(unused_mut))]
    let mut known = vec![("DEPLOYER_USER", front), ("DEPLOYER_FETCH_USER", fetch)];
    #[cfg(feature = "terraform")]
    for (name, account) in super::terraform::accounts(config) {
        known.push((name, user(name, account, report)));
    }
    let known = known.into_iter();
    let known: Vec<(&str, u32)> = known
        .filter_map(|(name, identity)| Some((name, identity?.uid)))
        .collect();
    for (index, (name, uid)) in known.iter().enumerate() {
        let same = known.iter().skip(index + 1).find(|(_, other)| other == uid);
        if let Some((other, _)) = same {
            report.fault("users", format_args!("{name} and {other} are both uid {uid}"));
        }
    }
}

fn user(name: &str, account: &Account, report: &mut Report) -> Option<Identity> {
    let identity = privilege::identity(account);
    let said = identity
        .as_ref()
        .map(|Identity { uid, gid }| format!("{name} is uid {uid}, gid {gid}"));
    report.found("users", said.map_err(|error| format!("{name}: {error}")));
    identity.ok()
}

/// Whether it can be written to, and by nobody else.
fn folder(path: &Path, report: &mut Report) {
    if let Ok(facts) = fs::metadata(path)
        && let Some(fault) = trusted::fault(&facts)
    {
        return report.fault("folders", format_args!("{}: {fault}", path.display()));
    }
    let probe = path.join(".check");
    let written = files::replace(&probe, b"", 0o600, Durability::Volatile);
    // Another `check` may have taken it away.
    let removed = written.and_then(|()| files::optional(fs::remove_file(&probe)));
    report.found(
        "folders",
        removed
            .map(|_| format!("{} can be written to", path.display()))
            .map_err(|error| files::describe(&error, "write to", path)),
    );
}

/// As `serve` does, it makes one that refuses what may have been used before.
fn memory(state: &Path, now: SystemTime, report: &mut Report) {
    const WHAT: &str = "replay memory";
    let memory = Memory::of(state);
    match memory.create(Past::Unknown, now) {
        Ok(Creation::New) => {
            return report.warn(
                WHAT,
                "was not there and is new: tokens issued before now are refused",
            );
        }
        Ok(Creation::Exists) => {}
        Err(fault) => return report.fault(WHAT, fault),
    }
    report.found(
        WHAT,
        memory.inspect().map(|known| format!("remembers {known} tokens")),
    );
}
