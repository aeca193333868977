//! Removing a folder that somebody else has filled.
//!
//! Whoever filled it may still be at work in it and may have made it as deep as he liked. So no link is followed, every
//! name is looked up in a folder that is open, and no more than two levels of those are open at a time.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::os::random;

/// Removes the folder (or file, or link) `path` and all that is in it; one that does not exist is no error. The folder
/// that it stands in must be one where nobody else may write.
///
/// # Errors
/// Those of unlink(2), rmdir(2), open(2) and rename(2).
pub fn remove(path: &Path) -> io::Result<()> {
    if is_gone(fs::remove_file(path))? {
        return Ok(());
    }
    let top = Folder::open(path)?;
    while !is_gone(fs::remove_dir(path))? {
        for entry in fs::read_dir(top.path())? {
            let path = entry?.path();
            if !is_gone(fs::remove_file(&path))? {
                Folder::open(&path)?.move_folders_to(&top)?;
                // Somebody who is still at work in it keeps it for the next round.
                is_gone(fs::remove_dir(&path))?;
            }
        }
    }
    Ok(())
}

/// What became of removing one thing; false for a folder that was not to be one, or is not empty.
fn is_gone(removed: io::Result<()>) -> io::Result<bool> {
    use io::ErrorKind::{DirectoryNotEmpty, IsADirectory, NotFound};
    match removed.map_err(|error| (error.kind(), error)) {
        Ok(()) | Err((NotFound, _)) => Ok(true),
        Err((IsADirectory | DirectoryNotEmpty, _)) => Ok(false),
        Err((_, error)) => Err(error),
    }
}

/// An open folder: what is looked up in it stays in it, whatever becomes of its name.
struct Folder(File);

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
        File::options()
            .read(true)
            .custom_flags(flags)
            .open(path)
            .map(Self)
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Empties it: what is no folder is removed, folders are moved to `top`, so that depth becomes breadth.
    fn move_folders_to(&self, top: &Self) -> io::Result<()> {
        for entry in fs::read_dir(self.path())? {
            let path = entry?.path();
            if !is_gone(fs::remove_file(&path))? {
                // A name that nobody can have taken.
                is_gone(fs::rename(path, top.path().join(random::hex::<16>()?)))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

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
        let mut at = Folder::open(&gone).unwrap();
        for _ in 0..3000 {
            let deeper = at.path().join("deeper");
            fs::create_dir(&deeper).unwrap();
            at = Folder::open(&deeper).unwrap();
        }
        remove(&gone).unwrap();
        assert!(!gone.exists());
        fs::remove_dir(scene).unwrap();
    }
}
