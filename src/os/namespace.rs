//! Namespaces of processes and of mounts, for the `jail` role: one system call a function.
//!
//! Nothing here decides what a tool may see. Every mount that is made after [`own_mounts`] is seen by this process and
//! its children alone, and is gone with them.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot, fchdir, pivot_root};

/// For calls that take no text there.
const NOTHING: Option<&str> = None;

/// The next child is the first process of a new PID namespace: when it ends, the kernel ends all the others.
pub fn own_processes() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID)?)
}

/// This process gets mounts, System V and POSIX queues and a host name of its own; no mount goes in or out any more.
pub fn own_mounts() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(NOTHING, "/", NOTHING, private, NOTHING)?)
}

/// Whether the last part of a path may be a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// It is followed.
    Followed,
    /// It is refused.
    Refused,
}

/// Takes hold of the file or folder `path`, so that it can be shown after it is covered. No right to read is needed.
pub fn hold(path: &Path, links: Links) -> io::Result<OwnedFd> {
    let refused = match links {
        Links::Followed => OFlag::empty(),
        Links::Refused => OFlag::O_NOFOLLOW,
    };
    Ok(open(
        path,
        OFlag::O_PATH | OFlag::O_CLOEXEC | refused,
        Mode::empty(),
    )?)
}

/// A new empty folder in memory at `at`, of at most `bytes`, with this octal mode.
pub fn memory(at: &Path, bytes: u64, mode: &str) -> io::Result<()> {
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

/// What `held` is, at `at` as well, with all that is mounted below it. `/proc` must be there.
pub fn show(held: &OwnedFd, at: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", held.as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(source.as_str()), at, NOTHING, flags, NOTHING)?)
}

/// A `/proc` of our own processes at `at`.
pub fn processes(at: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    Ok(mount(Some("proc"), at, Some("proc"), flags, NOTHING)?)
}

/// What may be done in a mount. Set-user-id bits count in none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether anything may be written.
    pub writing: Allowed,
    /// Whether device files work.
    pub devices: Allowed,
    /// Whether programs start.
    pub programs: Allowed,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// Puts `rules` on the mount at `at`, here and nowhere else it is mounted.
pub fn restrict(at: &Path, rules: Rules) -> io::Result<()> {
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_NOSUID;
    flags.set(MsFlags::MS_RDONLY, rules.writing == Allowed::No);
    flags.set(MsFlags::MS_NODEV, rules.devices == Allowed::No);
    flags.set(MsFlags::MS_NOEXEC, rules.programs == Allowed::No);
    Ok(mount(NOTHING, at, NOTHING, flags, NOTHING)?)
}

/// A mount that this process can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    /// Whether programs start from it.
    pub programs: Allowed,
}

/// Every mount that this process can reach, from its `/proc`.
pub fn mounts() -> io::Result<Vec<Mount>> {
    let text = fs::read("/proc/self/mountinfo")?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(line).collect())
}

/// Field 5 of proc(5)'s `mountinfo` is the place, with blanks and the like in octal; field 6 are the options.
fn line(line: &[u8]) -> Option<Mount> {
    use std::os::unix::ffi::OsStringExt;
    let mut fields = line.split(|byte| *byte == b' ').skip(4);
    let (at, options) = (fields.next()?, fields.next()?);
    let noexec = options.split(|byte| *byte == b',').any(|one| one == b"noexec");
    Some(Mount {
        at: PathBuf::from(std::ffi::OsString::from_vec(unescaped(at))),
        programs: if noexec { Allowed::No } else { Allowed::Yes },
    })
}

fn unescaped(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let digits = rest.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        text = match byte.filter(|_| *first == b'\\') {
            Some(byte) => {
                plain.push(byte);
                &rest[3..]
            }
            None => {
                plain.push(*first);
                rest
            }
        };
    }
    plain
}

/// A root folder that is being furnished: see [`enter`].
#[derive(Debug)]
pub struct Base {
    folder: OwnedFd,
    old: Old,
}

/// Where the host's tree is meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Old {
    /// Mounted on the folder `old`, to be taken away.
    Beside,
    /// Beneath the base, where nothing leads: the kernel lets nobody take the initial root away (Unraid runs from it).
    Beneath,
}

/// Makes a folder in memory at `over` the root of our mounts, and the folder `root` in it ours. What was held before can
/// still be shown, until [`Base::close`].
///
/// That our root is not that of our mounts is on purpose: the kernel refuses new user namespaces to such a process,
/// and so the capabilities that come with one.
pub fn enter(over: &Path, bytes: u64) -> io::Result<Base> {
    memory(over, bytes, "755")?;
    chdir(over)?;
    for folder in ["old", "root"] {
        fs::create_dir(folder)?;
    }
    let old = match pivot_root(".", "old") {
        Ok(()) => Old::Beside,
        Err(Errno::EINVAL) => {
            mount(Some("."), "/", NOTHING, MsFlags::MS_MOVE, NOTHING)?;
            chroot(".")?;
            Old::Beneath
        }
        Err(error) => return Err(error.into()),
    };
    let folder = open(
        ".",
        OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )?;
    chroot("root")?;
    chdir("/")?;
    Ok(Base { folder, old })
}

impl Base {
    /// Takes the host's tree away, and the right to write to the base.
    pub fn close(self) -> io::Result<()> {
        fchdir(&self.folder)?;
        if self.old == Old::Beside {
            umount2("old", MntFlags::MNT_DETACH)?;
        }
        let nothing = Rules {
            writing: Allowed::No,
            devices: Allowed::No,
            programs: Allowed::No,
        };
        restrict(Path::new("."), nothing)?;
        Ok(chdir("/")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_a_place_and_its_options() {
        let text = b"36 35 98:0 /m /a\\040b\\134c rw,noexec,nosuid master:1 - ext3 /dev/r rw,noexec";
        let mount = line(text).unwrap();
        assert_eq!(mount.at, Path::new("/a b\\c"));
        assert_eq!(mount.programs, Allowed::No);
        let mount = line(b"36 35 98:0 / /a\\04 rw,relatime - ext3 /dev/r noexec").unwrap();
        assert_eq!((mount.at, mount.programs), ("/a\\04".into(), Allowed::Yes));
        assert_eq!(line(b""), None);
        assert_eq!(line(b"36 35 98:0 /"), None);
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
