//! Waiting for a change of a file or folder: inotify(7), and a timer in any case.
//!
//! All of root shares 128 inotify instances (`fs.inotify.max_user_instances`); where none is to be had the timer alone
//! does it, a little later.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use crate::limits::RETRY;
use crate::os::poll::{self, For};

/// A descriptor that could write was closed, as a dead lock holder's is; a file appeared, or went.
pub const CLOSED: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_DELETE);

/// A watch on one path, or on a few.
#[derive(Debug)]
pub struct Watch(Option<Inotify>);

impl Watch {
    /// Wakes when somebody has done with writing to `path`, or to a file in that folder, and when one appears in it or goes.
    pub fn on(path: &Path) -> Self {
        Self::on_all([path], CLOSED)
    }

    /// Wakes at each write, too.
    pub fn on_each_write(path: &Path) -> Self {
        Self::on_all([path], CLOSED | AddWatchFlags::IN_MODIFY)
    }

    /// Wakes at these changes of all `paths`; of no use where there is no instance, and then none is lost either.
    pub fn on_all<'a>(paths: impl IntoIterator<Item = &'a Path>, changes: AddWatchFlags) -> Self {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        let add = |one: &Inotify| paths.into_iter().all(|path| one.add_watch(path, changes).is_ok());
        Self(inotify.filter(add))
    }

    /// Returns after a change, at `until`, or after [`RETRY`], whichever is first.
    pub fn wait(&self, until: Instant) -> io::Result<()> {
        let until = until.min(Instant::now() + RETRY);
        let source = self.descriptor().map(|inotify| (inotify, For::Reading));
        poll::wait_for_any(source.as_slice(), Some(until))?;
        self.drain();
        Ok(())
    }

    /// What to poll for reading, when there is something; call [`Watch::drain`] when it was ready.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    /// Forgets the changes seen so far, and says of what kinds they were.
    pub fn drain(&self) -> AddWatchFlags {
        let mut seen = AddWatchFlags::empty();
        while let Some(Ok(events)) = self.0.as_ref().map(Inotify::read_events)
            && !events.is_empty()
        {
            events.iter().for_each(|event| seen |= event.mask);
        }
        seen
    }
}
