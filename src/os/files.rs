//! Files that survive a power cut, and folders with the right modes.
//!
//! Durable means: written under another name, fsynced, renamed, and the folder fsynced. Modes are set on the
//! descriptor, whatever the umask.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::fcntl::{FallocateFlags, fallocate};

use crate::os::process;

/// In the name of every file that [`replace`] writes, behind the name that it will have.
const OURS: &str = ".engram.";

/// Puts `bytes` in the place of `path`, so that a reader sees the old content or the new one and nothing between. On disk
/// when it returns: state.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    rename_over(path, |temporary| write(temporary, bytes, mode)?.sync_all())?;
    sync_folder(path)
}

/// The same, but free to be lost with the power: the runtime folder.
pub fn replace_volatile(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    rename_over(path, |temporary| write(temporary, bytes, mode).map(drop))
}

fn rename_over(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Beside `path`, hidden, and not ending like it: Unraid reads every `*.xml` of a folder.
    let temporary = path.with_file_name(format!(".{name}{OURS}{}.tmp", std::process::id()));
    let written = write(&temporary).and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))
}

/// Makes the file `path` with `bytes` in it, on disk under its own name from the start: half the waits for it of
/// [`replace`]. A reader may see a part of it, and a power cut may leave one, so its end must show where it ends.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    write(path, bytes, mode)?.sync_all()?;
    sync_folder(path)
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    let mut file = private().create(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    set_mode(&file, mode)?;
    Ok(file)
}

/// The process that made a file of this name for [`replace`].
fn writer_of(temporary: &str) -> Option<i32> {
    let name = temporary.strip_prefix('.')?.strip_suffix(".tmp")?;
    name.rsplit_once(OURS)?.1.parse().ok()
}

/// Takes away what a power cut, or a KILL, left in `folder` between a write of [`replace`] and its rename: files of
/// processes that are no more. A folder that does not exist has none.
pub fn sweep(folder: &Path) -> io::Result<()> {
    let Some(entries) = optional(fs::read_dir(folder))? else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let writer = path.file_name().and_then(|name| writer_of(name.to_str()?));
        if writer.is_some_and(|pid| process::start_time(pid).is_none()) {
            optional(fs::remove_file(path))?;
        }
    }
    Ok(())
}

/// vfat cannot hold every mode and says so for some; its mount options are what protects the files there.
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    match file.set_permissions(Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// Makes a file that nobody else may read, for somebody to write into. It must not be there yet.
pub fn create_private(path: &Path) -> io::Result<File> {
    private().create_new(true).open(path)
}

/// For writing into a file that nobody else may read.
pub fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Makes a rename or a new entry beside `path` survive a power cut.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Makes the folder `path`, and those above it, unless they exist. A new one gets `mode`, whatever the umask; one that
/// exists keeps what it has.
pub fn ensure_folder(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o755);
    folders.create(path.parent().unwrap_or(Path::new("/")))?;
    folders.mode(0o700).create(path)?;
    set_mode(&File::open(path)?, mode)
}

/// Puts `bytes` after the first `kept` bytes of the file `path`, on disk when the call returns. What stood there goes:
/// the torn end of a write that a power cut interrupted. fdatasync(2) is enough: the length is on disk with it, and of the
/// times nothing depends.
///
/// # Errors
/// Those of open(2), write(2) and fdatasync(2); the file then ends at `kept`, as far as it can still be made to.
pub fn append_durably(path: &Path, kept: u64, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    // Only where it is due: many filesystems make a write of it even when nothing is cut.
    if file.metadata()?.len() != kept {
        file.set_len(kept)?;
    }
    let written = file.write_all_at(bytes, kept).and_then(|()| file.sync_data());
    written.inspect_err(|_| drop(file.set_len(kept)))
}

/// Gives the disk back what the first `bytes` of a file take, where the filesystem can do that: they read as zeros then.
pub fn give_back(file: &File, bytes: u64) {
    let kept = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    // vfat cannot.
    let _ = fallocate(file, kept, 0, bytes as i64);
}

/// The content of `path`; an error when it is larger than `most` bytes.
pub fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_bounded_from(File::open(path)?, path, most)
}

/// The last bytes of a file, at most so many.
pub fn read_end(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(io::SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is left to read of `file`, which was opened as `path`; an error when it is more than `most` bytes.
pub fn read_bounded_from(file: File, path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // Room for all of it, and for the byte that would be too much: one read instead of many small ones.
    let length = file.metadata()?.len().min(most);
    let mut content = Vec::with_capacity(length as usize + 1);
    file.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return Err(io::Error::other(format!(
            "{} is larger than {most} bytes",
            path.display()
        )));
    }
    Ok(content)
}

/// `Ok(None)` where a missing file is an answer and not a failure.
pub fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// `error` with what was being done to which file.
pub fn describe(error: &io::Error, doing: &str, path: &Path) -> String {
    format!("{doing} {}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_writers_left_is_taken_away_and_nothing_else() {
        let folder = std::env::temp_dir().join(format!("files-sweep-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        // Above the highest number that the kernel gives to a process (2^22, proc(5)).
        let dead = 4_194_305;
        let kept = [
            format!(".a.engram.{}.tmp", std::process::id()),
            format!(".a.{dead}.tmp"),
            format!("a.engram.{dead}.tmp"),
            format!(".a.engram.{dead}.bak"),
            ".a.engram.x.tmp".into(),
            "jti".into(),
        ];
        for name in kept.iter().chain(&[format!(".a.engram.{dead}.tmp")]) {
            fs::write(folder.join(name), "half").unwrap();
        }
        sweep(&folder).unwrap();
        let mut left: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let mut kept = kept.to_vec();
        left.sort();
        kept.sort();
        assert_eq!(left, kept);
        fs::remove_dir_all(&folder).unwrap();
        sweep(&folder).unwrap();
    }
}
