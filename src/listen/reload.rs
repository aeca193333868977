//! Noticing that the settings file, the certificate or its key changed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::inotify::AddWatchFlags;

use crate::os::watch::{CLOSED, Watch};

/// The files that a warm session was made from, as they were then.
pub struct WatchedFiles {
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// Files are replaced by renaming as often as written to.
    pub folders: Watch,
}

/// Inode, length, time of the last change.
type Fingerprint = (u64, u64, Option<SystemTime>);

impl WatchedFiles {
    /// Watches `files` from now on.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let with_fingerprint = |path: &'a Path| (path.to_owned(), fingerprint(path));
        let files: Vec<_> = files.into_iter().map(with_fingerprint).collect();
        let folders = files
            .iter()
            .map(|(path, _)| path.parent().unwrap_or(Path::new("/")));
        // Creation is that of a link: certbot removes the old one and makes another.
        let folders = Watch::on_all(folders, CLOSED | AddWatchFlags::IN_CREATE);
        if folders.descriptor().is_none() {
            log::warn!("changed files will need a SIGHUP: their folders cannot be watched");
        }
        Self { files, folders }
    }

    /// Whether one of the files is another one now than when this was last asked.
    pub fn changed(&mut self) -> bool {
        // A file that was just created is still to be written, and its writer's close is an event too. A link is complete.
        let only_created = (self.folders.drain() - AddWatchFlags::IN_CREATE).is_empty();
        let mut changed = false;
        for (path, before) in &mut self.files {
            if !only_created || path.is_symlink() {
                let now = fingerprint(path);
                changed |= now != *before;
                *before = now;
            }
        }
        changed
    }
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let file = path.metadata().ok()?;
    Some((file.ino(), file.len(), file.modified().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn a_file_is_looked_at_when_it_is_written_and_a_link_when_it_is_made() {
        let folder = std::env::temp_dir().join(format!("reload-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, other) = (folder.join("env"), folder.join("other"));
        fs::write(&path, "a").unwrap();
        fs::write(&other, "b").unwrap();
        let mut watched = WatchedFiles::new([path.as_path()]);
        assert!(!watched.changed());
        fs::remove_file(&path).unwrap();
        assert!(watched.changed());
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(b"the half").unwrap();
        assert!(!watched.changed(), "it is still being written");
        drop(file);
        assert!(watched.changed() && !watched.changed());
        fs::remove_file(&path).unwrap();
        assert!(watched.changed());
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(watched.changed() && !watched.changed());
        fs::remove_dir_all(folder).unwrap();
    }
}
