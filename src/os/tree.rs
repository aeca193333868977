//! Removing a folder that somebody else has filled.
//!
//! Whoever filled it may still be at work in it and may have made it as deep as he liked. So no link is followed, every
//! name is looked up in a folder that is open, and no more than two of those are open at a time.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Removes the folder (or file, or link) `path` and all that is in it; one that does not exist is no error. The folder
/// that it stands in must be one where nobody else may write.
///
/// # Errors
/// Those of unlinkat(2), openat(2) and renameat(2).
pub fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let parent: OwnedFd = match fs::File::open(parent) {
        Ok(parent) => parent.into(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {
            empty(&folder(&parent, name)?)?;
            Ok(unlinkat(&parent, name, UnlinkatFlags::RemoveDir)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Empties `top`: a folder in it hands its own folders up to `top` before it goes, so that depth becomes breadth.
fn empty(top: &OwnedFd) -> io::Result<()> {
    let mut handed_up = 0u64;
    loop {
        let names = names(top)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            if is_gone(top, &name)? {
                continue;
            }
            let below = folder(top, &name)?;
            for inner in self::names(&below)? {
                if !is_gone(&below, &inner)? {
                    hand_up(&below, &inner, top, &mut handed_up)?;
                }
            }
            match unlinkat(top, name.as_os_str(), UnlinkatFlags::RemoveDir) {
                // Somebody is still at work in it: the next round sees to that.
                Ok(()) | Err(Errno::ENOTEMPTY | Errno::ENOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Moves a folder up under a name that nobody has taken.
fn hand_up(below: &OwnedFd, name: &OsStr, top: &OwnedFd, count: &mut u64) -> io::Result<()> {
    loop {
        *count += 1;
        let free = format!("handed-up-{count}");
        match renameat(below, name, top, free.as_str()) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes what is no folder; false for a folder.
fn is_gone(parent: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        // POSIX says EPERM, Linux EISDIR.
        Err(Errno::EISDIR | Errno::EPERM) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn folder(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
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
        fs::create_dir_all(gone.join("a/handed-up-1")).unwrap();
        fs::create_dir(gone.join("handed-up-1")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        symlink(&kept, gone.join("to-a-folder")).unwrap();
        symlink(kept.join("file"), gone.join("a/to-a-file")).unwrap();
        symlink(&kept, gone.join("a/handed-up-1/to-a-folder")).unwrap();
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
