//! Namespaces of processes and of mounts, for the sandbox: one system call a function.
//!
//! Nothing here decides what a tool may see. Every mount that is made after [`unshare_mounts`] is seen by this process and
//! its children alone, and is gone with them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::open;
use nix::mount::{MntFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

pub use nix::fcntl::OFlag;
pub use nix::mount::MsFlags;

/// For calls that take no text there.
const NOTHING: Option<&str> = None;

/// The next child is the first process of a new PID namespace: when it ends, the kernel ends all the others.
pub fn unshare_processes() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID)?)
}

/// This process gets mounts, System V and POSIX queues and a host name of its own; no mount goes in or out any more.
pub fn unshare_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(NOTHING, "/", NOTHING, private, NOTHING)?)
}

/// Opens the file or folder `path`, so that it can be bound after it is covered; `flags` may be `O_NOFOLLOW`. No right to
/// read is needed.
pub fn open_path(path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    Ok(open(
        path,
        OFlag::O_PATH | OFlag::O_CLOEXEC | flags,
        Mode::empty(),
    )?)
}

/// A new empty folder in memory at `at`, of at most `bytes`, with this octal mode.
pub fn mount_tmpfs(at: &Path, bytes: u64, mode: &str) -> io::Result<()> {
    let data = format!("size={bytes},mode={mode}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        flags,
        Some(data.as_str()),
    )?)
}

/// What `opened` is, at `at` as well, with all that is mounted below it. `/proc` must be there.
pub fn bind(opened: &OwnedFd, at: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", opened.as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(source.as_str()), at, NOTHING, flags, NOTHING)?)
}

/// A `/proc` of our own processes at `at`.
pub fn mount_proc(at: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), at, Some("proc"), flags, NOTHING)?)
}

/// Puts `flags` of `MS_RDONLY`, `MS_NODEV` and `MS_NOEXEC`, and no others of these, on the mount at `at`, here and nowhere
/// else it is mounted. Set-user-id bits count in none.
pub fn restrict(at: &Path, flags: MsFlags) -> io::Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID | flags;
    Ok(mount(NOTHING, at, NOTHING, flags, NOTHING)?)
}

/// A mount that this process can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub at: PathBuf,
    /// `MS_NOEXEC`, or nothing.
    pub noexec: MsFlags,
}

/// Every mount that this process can reach, from its `/proc`.
pub fn mounts() -> io::Result<Vec<Mount>> {
    let text = fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(mount_of).collect())
}

/// Field 5 of proc(5)'s `mountinfo` is the place, with blanks and the like in octal; field 6 are the options.
fn mount_of(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let (at, options) = (fields.next()?, fields.next()?);
    let noexec = options.split(|byte| *byte == b',').any(|one| one == b"noexec");
    Some(Mount {
        at: OsString::from_vec(unescaped(at)).into(),
        noexec: if noexec {
            MsFlags::MS_NOEXEC
        } else {
            MsFlags::empty()
        },
    })
}

fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let digits = rest.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(escaped.unwrap_or(*first));
        text = if escaped.is_some() { &rest[3..] } else { rest };
    }
    plain
}

/// A root folder that is being filled: see [`enter_new_root`].
#[derive(Debug)]
pub struct NewRoot {
    base: OwnedFd,
    /// The host's tree is mounted on the folder `old`. Else it is beneath the base, where nothing leads: the kernel lets
    /// nobody take the initial root away (Unraid runs from it).
    has_old: bool,
}

/// Makes a folder in memory at `over` the root of our mounts, and the folder `root` in it ours. What was opened before can
/// still be bound, until [`NewRoot::close`].
///
/// That our root is not that of our mounts is on purpose: the kernel refuses new user namespaces to such a process,
/// and so the capabilities that come with one.
pub fn enter_new_root(over: &Path, bytes: u64) -> io::Result<NewRoot> {
    mount_tmpfs(over, bytes, "755")?;
    chdir(over)?;
    for folder in ["old", "root"] {
        fs::create_dir(folder)?;
    }
    let has_old = match pivot_root(".", "old") {
        Ok(()) => true,
        Err(Errno::EINVAL) => {
            mount(Some("."), "/", NOTHING, MsFlags::MS_MOVE, NOTHING)?;
            chroot(".")?;
            false
        }
        Err(error) => return Err(error.into()),
    };
    let base = open_path(Path::new("."), OFlag::O_DIRECTORY)?;
    chroot("root")?;
    chdir("/")?;
    Ok(NewRoot { base, has_old })
}

impl NewRoot {
    /// Takes the host's tree away, and the right to write to the base.
    pub fn close(self) -> io::Result<()> {
        fchdir(&self.base)?;
        if self.has_old {
            umount2("old", MntFlags::MNT_DETACH)?;
        }
        restrict(
            Path::new("."),
            MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        )?;
        Ok(chdir("/")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_a_place_and_its_options() {
        let text = b"36 35 98:0 /m /a\\040b\\134c rw,noexec,nosuid master:1 - ext3 /dev/r rw,noexec";
        let mount = mount_of(text).unwrap();
        assert_eq!(mount.at, Path::new("/a b\\c"));
        assert_eq!(mount.noexec, MsFlags::MS_NOEXEC);
        let mount = mount_of(b"36 35 98:0 / /a\\04 rw,relatime - ext3 /dev/r noexec").unwrap();
        assert_eq!((mount.at, mount.noexec), ("/a\\04".into(), MsFlags::empty()));
        assert_eq!(mount_of(b""), None);
        assert_eq!(mount_of(b"36 35 98:0 /"), None);
    }

    #[test]
    fn our_own_mounts_can_be_read() {
        assert!(
            mounts()
                .unwrap()
                .iter()
                .any(|mount| mount.at == Path::new("/proc"))
        );
    }
}
