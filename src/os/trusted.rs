//! Files that decide something: opened first, then judged by what was opened, so that nothing can be put in between.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::os::files;

/// The content of `path`, at most `most` bytes of it, unless `fault` finds one.
///
/// # Errors
/// When it is no plain file, when it is longer, and those of open(2) and read(2); each names the file.
pub fn read(path: &Path, most: u64, fault: Fault) -> Result<Vec<u8>, String> {
    let file = opened(path, fault)?;
    files::read_bounded_from(file, path, most).map_err(|error| files::describe(&error, "read", path))
}

/// The file `path`, opened.
///
/// # Errors
/// Those of [`read`], but for what is in it.
pub fn opened(path: &Path, fault: Fault) -> Result<File, String> {
    let (file, facts) = open(path).map_err(|error| files::describe(&error, "open", path))?;
    match fault(&facts) {
        Some(fault) => Err(format!("refuse to read {}: {fault}", path.display())),
        None => Ok(file),
    }
}

/// Why a file or folder cannot be used, if it cannot.
pub type Fault = fn(&Metadata) -> Option<String>;

/// Opens a plain file without waiting: a FIFO in its place must not stop us. With what the kernel says of what was
/// opened.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    Ok((file, facts))
}

/// Why a file or folder cannot be trusted, if it cannot: whoever may write to it decides what root does.
pub fn fault(facts: &Metadata) -> Option<String> {
    let (uid, mode) = (facts.uid(), facts.mode() & 0o7777);
    if uid != 0 && uid != nix::unistd::geteuid().as_raw() {
        return Some(format!("it belongs to uid {uid}; it must be root's (chown root)"));
    }
    let text = || format!("others may write to it (mode {mode:04o}); take that away (chmod go-w)");
    (mode & 0o022 != 0).then(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    /// Why `change` makes a file of ours one that is not read, if it does.
    fn refusal(name: &str, change: impl FnOnce(&Path)) -> Option<String> {
        let path = std::env::temp_dir().join(format!("trusted-{name}-{}", std::process::id()));
        std::fs::write(&path, "content").unwrap();
        set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        change(&path);
        let refusal = read(&path, 7, fault).err();
        std::fs::remove_file(&path).unwrap();
        refusal
    }

    #[test]
    fn a_file_that_others_may_write_is_not_read() {
        assert_eq!(refusal("good", |_| ()), None);
        for mode in [0o664, 0o646, 0o666] {
            let mode_of = |path: &Path| set_permissions(path, Permissions::from_mode(mode)).unwrap();
            let refusal = refusal("mode", mode_of).unwrap();
            assert!(
                refusal.contains(&format!("{mode:04o}")) && refusal.contains("chmod"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn somebody_elses_file_is_not_read() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let refusal = refusal("owner", |path| chown(path, Some(65521), None).unwrap()).unwrap();
        assert!(refusal.contains("65521"), "{refusal}");
    }

    #[test]
    fn what_is_no_plain_file_or_too_long_is_not_read() {
        let error = read(&std::env::temp_dir(), 10, fault).unwrap_err();
        assert!(error.contains("plain file"), "{error}");
        let fifo = |path: &Path| {
            std::fs::remove_file(path).unwrap();
            nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        };
        assert!(refusal("fifo", fifo).unwrap().contains("plain file"));
        let long = |path: &Path| std::fs::write(path, "8 bytes!").unwrap();
        assert!(refusal("long", long).unwrap().contains("larger than 7"));
    }
}
