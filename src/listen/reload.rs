//! Noticing that the settings file, the certificate or its key changed, and what of new settings needs a restart.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::config::{Config, Listen, Places};

/// The files that a warm session was made from, as they were then.
#[derive(Debug)]
pub struct WatchedFiles {
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// On their folders: files are replaced by renaming as often as written to. Absent where no instance is to be had;
    /// then a signal is needed.
    inotify: Option<Inotify>,
}

/// Inode, length, time of the last change.
type Fingerprint = (u64, u64, Option<SystemTime>);

impl WatchedFiles {
    /// Watches `files` from now on.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let with_fingerprint = |path: &'a Path| (path.to_owned(), fingerprint(path));
        let files: Vec<_> = files.into_iter().map(with_fingerprint).collect();
        let inotify = watch_folders(&files)
            .map_err(|error| log::warn!("changed files will need a SIGHUP: {error}"))
            .ok();
        Self { files, inotify }
    }

    /// What to poll for reading, when there is something.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// Whether one of the files is another one now than when this was last asked.
    pub fn changed(&mut self) -> bool {
        // A file that was just created is still to be written, and its writer's close is an event too. A link is complete.
        let mut only_created = true;
        while let Some(Ok(events)) = self.inotify.as_ref().map(Inotify::read_events)
            && !events.is_empty()
        {
            only_created &= events
                .iter()
                .all(|event| event.mask.contains(AddWatchFlags::IN_CREATE));
        }
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

fn watch_folders(files: &[(PathBuf, Option<Fingerprint>)]) -> nix::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let flags = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE
        // Of a link: certbot removes the old one and makes another.
        | AddWatchFlags::IN_CREATE;
    for (path, _) in files {
        inotify.add_watch(path.parent().unwrap_or(Path::new("/")), flags)?;
    }
    Ok(inotify)
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let file = path.metadata().ok()?;
    Some((file.ino(), file.len(), file.modified().ok()))
}

/// The settings that only a restart can change.
pub struct Fixed {
    /// Where we listen; `None` with a supervisor's socket.
    pub listen: Option<Listen>,
    pub places: Places,
}

impl Fixed {
    /// Logs which change of `config` needs a restart.
    ///
    /// # Errors
    /// Other folders: `serve` makes their replay memory, and completes the runs in them, when it starts.
    pub fn allows(&self, config: &Config) -> Result<(), String> {
        if self
            .listen
            .as_ref()
            .is_some_and(|listen| *listen != config.listen)
        {
            log::warn!(
                "DEPLOYER_ADDR is {} now: a restart will take it up",
                config.listen
            );
        }
        if self.places != config.places {
            return Err("DEPLOYER_STATE_DIR, DEPLOYER_RUNS_DIR or DEPLOYER_RUNTIME_DIR changed: a restart will take it up".into());
        }
        Ok(())
    }
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
