//! Caps on connections: a slot is a flocked file, so a dead holder's is free at once, whatever door it came through.
//!
//! Who may have one is decided under a lock of its own: the files that are held are counted, and each says whose it
//! is. There are never more files than slots.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;

use crate::config::{Caps, slot_key};
use crate::limits::STATE_LOCK_WAIT;
use crate::os::{files, lock};

/// A place among the connections that are not yet admitted, or among the followers; free when dropped.
#[derive(Debug)]
#[must_use = "a slot is held only as long as it lives"]
pub struct Slot {
    _locked: File,
}

/// Takes a slot for a connection from `peer`; `None` when it, the strangers or all together have as many as they may.
///
/// Strangers, who may not POST, share three eighths: with one allowed source at its own cap of one half there is still an
/// eighth left for another allowed one.
pub fn for_connection(folder: &Path, caps: Caps, peer: IpAddr, may_post: bool) -> io::Result<Option<Slot>> {
    let standing = if may_post { "allowed" } else { "stranger" };
    let mark = format!("{standing} {}", slot_key(peer)).into_bytes();
    let room_for_strangers = (caps.sessions as usize * 3 / 8).max(1);
    take(folder, "session", caps.sessions, &mark, |holders| {
        let same = holders.iter().filter(|holder| **holder == mark).count();
        let strangers = holders
            .iter()
            .filter(|holder| holder.starts_with(b"stranger"))
            .count();
        same < caps.sessions_per_source as usize && (may_post || strangers < room_for_strangers)
    })
}

/// Takes a slot for following a run.
pub fn for_follower(folder: &Path, caps: Caps) -> io::Result<Option<Slot>> {
    take(folder, "follower", caps.followers, b"", |_| true)
}

fn take(
    folder: &Path,
    kind: &str,
    most: u32,
    mark: &[u8],
    may_have: impl FnOnce(&[Vec<u8>]) -> bool,
) -> io::Result<Option<Slot>> {
    files::ensure_folder(folder, 0o700)?;
    let _counting = lock::exclusive_within(&folder.join(format!("{kind}.lock")), STATE_LOCK_WAIT)?;
    let (mut free, mut holders, mut spare) = (None, Vec::new(), Vec::new());
    for number in 0..most {
        let path = folder.join(format!("{kind}-{number}"));
        // Slots are given out lowest first, so behind the first that does not exist there is none.
        let is_last = !path.exists();
        if is_last && free.is_some() {
            break;
        }
        match lock::try_exclusive(&path)? {
            Some(file) if free.is_none() => free = Some(file),
            Some(_) => spare.push(path),
            None => {
                holders.push(files::read_bounded(&path, 256)?);
                spare.clear();
            }
        }
        if is_last {
            break;
        }
    }
    // The free ones at the end cost every later look some calls. Nobody opens them but under this lock.
    spare.into_iter().try_for_each(fs::remove_file)?;
    let Some(mut file) = free.filter(|_| may_have(&holders)) else {
        return Ok(None);
    };
    file.set_len(0)?;
    file.write_all(mark)?;
    Ok(Some(Slot { _locked: file }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::lock::testing::let_go;
    use std::path::PathBuf;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("slots-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder
    }

    const CAPS: Caps = Caps {
        sessions: 16,
        sessions_per_source: 8,
        followers: 2,
    };

    fn fill(folder: &Path, peer: &str, may_post: bool) -> Vec<Slot> {
        let peer = peer.parse().unwrap();
        std::iter::from_fn(|| for_connection(folder, CAPS, peer, may_post).unwrap())
            .take(100)
            .collect()
    }

    #[test]
    fn one_hungry_allowed_source_and_many_strangers_leave_room_for_another_allowed_one() {
        let folder = scratch("room");
        let hog = fill(&folder, "192.0.2.1", true);
        let strangers: Vec<Slot> = (1..5)
            .flat_map(|last| fill(&folder, &format!("203.0.113.{last}"), false))
            .collect();
        assert_eq!((hog.len(), strangers.len()), (8, 6));
        assert_eq!(fill(&folder, "192.0.2.2", true).len(), 2);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_dropped_slot_is_free_at_once() {
        let folder = scratch("drop");
        let slots = fill(&folder, "192.0.2.1", true);
        let_go(slots, || {
            let mut files = std::fs::read_dir(&folder).unwrap();
            files.all(|file| !lock::is_held(&file.unwrap().path()).unwrap())
        });
        assert_eq!(fill(&folder, "192.0.2.1", true).len(), 8);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn there_are_no_more_files_than_slots_that_are_held_and_one() {
        let folder = scratch("files");
        let count = || std::fs::read_dir(&folder).unwrap().count() - 1;
        let take = || for_connection(&folder, CAPS, "192.0.2.1".parse().unwrap(), true);
        for _ in 0..20 {
            let slot = take().unwrap().unwrap();
            assert_eq!(count(), 1);
            let_go(slot, || !lock::is_held(&folder.join("session-0")).unwrap());
        }
        let mut held = fill(&folder, "192.0.2.1", true);
        assert_eq!(count(), 9);
        let last = held.pop();
        let_go(held, || !lock::is_held(&folder.join("session-6")).unwrap());
        let first = take().unwrap();
        assert_eq!(count(), 8, "those in front of one that is held stay");
        let_go(last, || !lock::is_held(&folder.join("session-7")).unwrap());
        let second = take().unwrap();
        assert_eq!(count(), 2);
        drop((first, second));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn followers_have_a_cap_of_their_own() {
        let folder = scratch("followers");
        let held: Vec<Slot> = std::iter::from_fn(|| for_follower(&folder, CAPS).unwrap())
            .take(9)
            .collect();
        assert_eq!(held.len(), 2);
        assert!(
            for_connection(&folder, CAPS, "192.0.2.1".parse().unwrap(), true)
                .unwrap()
                .is_some()
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
