//! Locks: flock(2) through fs2, on files that are never renamed and never unlocked explicitly.
//!
//! A lock belongs to the open file description: it ends when the last copy of the descriptor closes, which the kernel
//! does for a dead holder. So a lock's file must not reach a child (ours are close-on-exec) unless the child is meant
//! to hold it. Whether a holder lives is asked with a *shared* lock: an exclusive probe would make a dead ticket look
//! alive to a second prober.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use fs2::FileExt;

use crate::os::files::{optional, private};
use crate::os::watch::Watch;

/// Opens (and creates, mode 0600) `path` and locks it, unless somebody else holds it: then `None`.
pub fn try_exclusive(path: &Path) -> io::Result<Option<File>> {
    let file = open(path)?;
    Ok(is_ours(FileExt::try_lock_exclusive(&file))?.then_some(file))
}

/// Like [`try_exclusive`], but waits up to `patience` for the holder to let go.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when the holder did not, naming the file; else those of open(2) and flock(2).
pub fn exclusive_within(path: &Path, patience: Duration) -> io::Result<File> {
    let until = Instant::now() + patience;
    let (file, mut watch) = (open(path)?, None);
    // A lock that waits cannot time out, so it is tried again whenever somebody closed the file. We keep this descriptor
    // open: to close one here would wake us.
    while !is_ours(FileExt::try_lock_exclusive(&file))? {
        if Instant::now() >= until {
            let (path, seconds) = (path.display(), patience.as_secs_f32());
            let text = format!("{path} is locked by another process for over {seconds} s");
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
        match &watch {
            // Tried once more before the first wait: a close until now was not seen.
            None => watch = Some(Watch::on(path)),
            Some(watch) => watch.wait(until)?,
        }
    }
    Ok(file)
}

/// True when a living process holds an exclusive lock on `path`; a file that does not exist is held by nobody.
pub fn is_held(path: &Path) -> io::Result<bool> {
    // Read-only: closing a descriptor that was open for writing would wake every waiter, ourselves included.
    let Some(file) = optional(File::open(path))? else {
        return Ok(false);
    };
    Ok(!is_ours(FileExt::try_lock_shared(&file))?)
}

fn open(path: &Path) -> io::Result<File> {
    // Never truncated: a lock's file may hold what its holder wrote.
    private().read(true).create(true).truncate(false).open(path)
}

fn is_ours(tried: io::Result<()>) -> io::Result<bool> {
    match tried {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::time::{Duration, Instant};

    /// Drops what holds a lock and waits until the lock is free. A child that another test starts at this moment has a
    /// copy of every descriptor of this process until its exec, and holds the lock with it.
    pub(crate) fn let_go<T>(holder: T, is_free: impl Fn() -> bool) {
        drop(holder);
        let until = Instant::now() + Duration::from_secs(10);
        while !is_free() {
            assert!(Instant::now() < until, "somebody else has the lock");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::let_go;
    use super::*;

    #[test]
    fn a_probe_sees_a_holder_and_does_not_look_like_one() {
        let path = std::env::temp_dir().join(format!("lock-probe-{}", std::process::id()));
        assert!(!is_held(&path).unwrap());
        let held = try_exclusive(&path).unwrap().unwrap();
        assert!(is_held(&path).unwrap());
        assert!(try_exclusive(&path).unwrap().is_none());
        let_go(held, || !is_held(&path).unwrap());
        // Two probers at once.
        let first = File::open(&path).unwrap();
        FileExt::try_lock_shared(&first).unwrap();
        assert!(!is_held(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn waiting_for_a_lock_ends_with_the_time_or_with_the_holder() {
        let path = std::env::temp_dir().join(format!("lock-wait-{}", std::process::id()));
        let held = try_exclusive(&path).unwrap().unwrap();
        let error = exclusive_within(&path, Duration::from_millis(30)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let started = Instant::now();
        let releaser = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            drop(held);
        });
        exclusive_within(&path, Duration::from_secs(5)).unwrap();
        assert!(
            started.elapsed() < Duration::from_millis(200),
            "the close is seen at once, not by the retry alone"
        );
        releaser.join().unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
