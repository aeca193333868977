//! Removing a folder that somebody else has filled.
//!
//! Whoever filled it may still be at work in it and may have made it as deep as he liked. So no link is followed, every
//! name is looked up in a folder that is open, and no more than two of those are open at a time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::os::files::optional;
use crate::os::random;

/// Removes the folder (or file, or link) `path` and all that is in it; one that does not exist is no error. The folder
/// that it stands in must be one where nobody else may write.
///
/// # Errors
/// Those of unlinkat(2), openat(2) and renameat(2).
pub fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let Some(parent) = optional(fs::File::open(parent))?.map(OwnedFd::from) else {
        return Ok(());
    };
    if is_removed(&parent, name, UnlinkatFlags::NoRemoveDir)? {
        return Ok(());
    }
    let top = folder(&parent, name)?;
    while !is_removed(&parent, name, UnlinkatFlags::RemoveDir)? {
        for name in names(&top)? {
            if !is_removed(&top, &name, UnlinkatFlags::NoRemoveDir)? {
                move_folders_up(&folder(&top, &name)?, &top)?;
                // Somebody who is still at work in it keeps it for the next round.
                is_removed(&top, &name, UnlinkatFlags::RemoveDir)?;
            }
        }
    }
    Ok(())
}

/// Empties the folder `from`: what is no folder is removed, folders are moved to `top`, so that depth becomes breadth.
fn move_folders_up(from: &OwnedFd, top: &OwnedFd) -> io::Result<()> {
    for name in names(from)? {
        if !is_removed(from, &name, UnlinkatFlags::NoRemoveDir)? {
            // A name that nobody can have taken.
            match renameat(from, name.as_os_str(), top, random::hex::<16>()?.as_str()) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Removes one thing; false for a folder that is none of this kind, or not empty.
fn is_removed(parent: &OwnedFd, name: &OsStr, kind: UnlinkatFlags) -> io::Result<bool> {
    match unlinkat(parent, name, kind) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        // POSIX says EPERM, Linux EISDIR.
        Err(Errno::EISDIR | Errno::EPERM | Errno::ENOTEMPTY) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn folder(parent: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let listing = fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))?;
    listing.map(|entry| Ok(entry?.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    fn scene(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tree-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn what_links_lead_to_stays() {
        let scene = scene("links");
        let (kept, gone) = (scene.join("kept"), scene.join("gone"));
        fs::create_dir_all(gone.join("a/same")).unwrap();
        fs::create_dir(gone.join("same")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        symlink(&kept, gone.join("to-a-folder")).unwrap();
        symlink(kept.join("file"), gone.join("a/to-a-file")).unwrap();
        symlink(&kept, gone.join("a/same/to-a-folder")).unwrap();
        remove(&gone).unwrap();
        assert!(!gone.exists() && kept.join("file").exists());
        remove(&gone).unwrap();
        symlink(&kept, &gone).unwrap();
        remove(&gone).unwrap();
        assert!(gone.symlink_metadata().is_err() && kept.join("file").exists());
        fs::remove_dir_all(scene).unwrap();
    }

    #[test]
    fn a_folder_deeper_than_any_path_is_removed() {
        let scene = scene("deep");
        let gone = scene.join("gone");
        fs::create_dir(&gone).unwrap();
        let mut at: OwnedFd = fs::File::open(&gone).unwrap().into();
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&at, "deeper", Mode::S_IRWXU).unwrap();
            at = folder(&at, OsStr::new("deeper")).unwrap();
        }
        remove(&gone).unwrap();
        assert!(!gone.exists());
        fs::remove_dir(scene).unwrap();
    }
}
