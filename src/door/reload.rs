//! Noticing that the configuration, the certificate or its key changed, and what of it only a restart takes up.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::config::{Config, Listen, Places};

/// The files that a warm session was made from, as they were then.
#[derive(Debug)]
pub struct Watched {
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// On their folders: files are replaced by renaming as often as written to. Absent where no instance is to be had;
    /// then a signal is needed.
    changes: Option<Inotify>,
}

type Fingerprint = (u64, u64, Option<SystemTime>);

impl Watched {
    /// Watches `files` from now on.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a Path>) -> Self {
        let files: Vec<_> = files
            .into_iter()
            .map(|path| (path.to_owned(), fingerprint(path)))
            .collect();
        let changes = watch(&files)
            .map_err(|error| log::warn!("changed files will need a SIGHUP: {error}"))
            .ok();
        Self { files, changes }
    }

    /// What to poll for reading, when there is something.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.changes.as_ref().map(AsFd::as_fd)
    }

    /// Whether one of the files is another one now than when this was last asked.
    pub fn changed(&mut self) -> bool {
        // A file that was just made is still to be written; a link is not.
        let (mut created, mut others) = (false, false);
        while let Some(Ok(events)) = self.changes.as_ref().map(Inotify::read_events)
            && !events.is_empty()
        {
            for event in events {
                let is_creation = event.mask.contains(AddWatchFlags::IN_CREATE);
                created |= is_creation;
                others |= !is_creation;
            }
        }
        let links_alone = created && !others;
        let mut changed = false;
        for (path, was) in &mut self.files {
            if links_alone && !path.is_symlink() {
                continue;
            }
            let is = fingerprint(path);
            changed |= is != *was;
            *was = is;
        }
        changed
    }
}

fn watch(files: &[(PathBuf, Option<Fingerprint>)]) -> nix::Result<Inotify> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let flags = AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_DELETE
        // Of a link: certbot takes the old one away and makes another.
        | AddWatchFlags::IN_CREATE;
    for (path, _) in files {
        inotify.add_watch(path.parent().unwrap_or(Path::new("/")), flags)?;
    }
    Ok(inotify)
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    use std::os::unix::fs::MetadataExt;
    let file = path.metadata().ok()?;
    Some((file.ino(), file.len(), file.modified().ok()))
}

/// What only a restart takes up.
pub struct Fixed {
    /// Where we listen; `None` with a socket of our starter's.
    listen: Option<Listen>,
    places: Places,
}

impl Fixed {
    /// From the settings that we started with.
    pub fn new(listen: Option<&Listen>, places: &Places) -> Self {
        Self {
            listen: listen.cloned(),
            places: places.clone(),
        }
    }

    /// Says what of `config` has to wait.
    ///
    /// # Errors
    /// Other folders: their replay memory is made, and what runs there is seen, by a `serve` that starts with them.
    pub fn still_fits(&self, config: &Config) -> Result<(), String> {
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
        if self.places == config.places {
            return Ok(());
        }
        Err("DEPLOYER_STATE_DIR, DEPLOYER_RUNS_DIR or DEPLOYER_RUNTIME_DIR changed: a restart will take it up".into())
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
        let mut watched = Watched::new([path.as_path()]);
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
