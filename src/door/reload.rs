//! Noticing that the configuration, the certificate or its key changed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, BorrowedFd};

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
        if let Some(changes) = &self.changes {
            while changes.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        let mut changed = false;
        for (path, was) in &mut self.files {
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
        // A link is never written to: certbot takes the old one away and makes another.
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
