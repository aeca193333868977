//! Namespaces of processes and of mounts, for the sandbox: one system call a function.
//!
//! Nothing here decides what a tool may see. Every mount that is made after [`unshare_mounts`] is seen by this process and
//! its children alone, and is gone with them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::open;
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

pub use nix::fcntl::OFlag;
pub use nix::mount::MsFlags;

/// The next child is the first process of a new PID namespace: when it ends, the kernel ends all the others.
pub fn unshare_processes() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID)?)
}

/// This process gets mounts, System V and POSIX queues and a host name of its own; no mount goes in or out any more.
pub fn unshare_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?;
    mount("", "/", MsFlags::MS_REC | MsFlags::MS_PRIVATE, "")
}

/// mount(2). A new filesystem bears its type's name; the other calls take no type, and leave empty what they take not either.
fn mount(source: &str, at: impl AsRef<Path>, flags: MsFlags, data: &str) -> io::Result<()> {
    let at = at.as_ref();
    Ok(nix::mount::mount(
        Some(source),
        at,
        Some(source),
        flags,
        Some(data),
    )?)
}

/// Opens the file or folder `path`, so that it can be bound after it is covered; `flags` may be `O_NOFOLLOW`. No right to
/// read is needed.
pub fn open_path(path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC | flags;
    Ok(open(path, flags, Mode::empty())?)
}

/// A new empty folder in memory at `at`, of at most `bytes`, with this octal mode.
pub fn mount_tmpfs(at: &Path, bytes: u64, mode: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount("tmpfs", at, flags, &format!("size={bytes},mode={mode}"))
}

/// What `opened` is, at `at` as well, with all that is mounted below it. `/proc` must be there.
pub fn bind(opened: &OwnedFd, at: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", opened.as_raw_fd());
    mount(&source, at, MsFlags::MS_BIND | MsFlags::MS_REC, "")
}

/// A `/proc` of our own processes at `at`.
pub fn mount_proc(at: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount("proc", at, flags, "")
}

/// Puts `flags` of `MS_RDONLY`, `MS_NODEV` and `MS_NOEXEC`, and no others of these, on the mount at `at`, here and nowhere
/// else it is mounted. Set-user-id bits count in none.
pub fn restrict(at: &Path, flags: MsFlags) -> io::Result<()> {
    let ours = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID;
    mount("", at, ours | flags, "")
}

/// Every mount that this process can reach, from its `/proc`: where it is, and `MS_NOEXEC` or nothing.
pub fn mounts() -> io::Result<Vec<(PathBuf, MsFlags)>> {
    let text = String::from_utf8_lossy(&fs::read("/proc/self/mountinfo")?).into_owned();
    Ok(text.lines().filter_map(mount_of).collect())
}

/// Field 5 of proc(5)'s `mountinfo` is the place, with blanks and the like in octal; field 6 are the options.
fn mount_of(line: &str) -> Option<(PathBuf, MsFlags)> {
    let mut fields = line.split(' ').skip(4);
    let (mut at, options) = (fields.next()?.to_owned(), fields.next()?);
    for (octal, plain) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        at = at.replace(octal, plain);
    }
    let mut flags = MsFlags::empty();
    flags.set(MsFlags::MS_NOEXEC, options.split(',').any(|one| one == "noexec"));
    Some((at.into(), flags))
}

/// A root folder that is being filled: see [`enter_new_root`].
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
            mount(".", "/", MsFlags::MS_MOVE, "")?;
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
        let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        restrict(Path::new("."), flags)?;
        Ok(chdir("/")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_a_place_and_its_options() {
        let text = "36 35 98:0 /m /a\\040b\\134c rw,noexec,nosuid master:1 - ext3 /dev/r rw,noexec";
        assert_eq!(mount_of(text), Some(("/a b\\c".into(), MsFlags::MS_NOEXEC)));
        let text = "36 35 98:0 / /a\\04 rw,relatime - ext3 /dev/r noexec";
        assert_eq!(mount_of(text), Some(("/a\\04".into(), MsFlags::empty())));
        assert_eq!(mount_of(""), None);
        assert_eq!(mount_of("36 35 98:0 /"), None);
    }

    #[test]
    fn our_own_mounts_can_be_read() {
        assert!(mounts().unwrap().iter().any(|(at, _)| at == Path::new("/proc")));
    }
}
