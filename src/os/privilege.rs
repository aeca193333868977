//! Giving privileges up, for good.
//!
//! A role calls [`Confinement::enter`] once, before it touches the network. Where we are not root (a laptop) nothing
//! can be given up; the role goes on and says so.

use std::io;
use std::path::Path;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, User, chdir, chroot, setgroups, setresgid, setresuid};
use serde::{Deserialize, Serialize};

use crate::os::process::is_root;

/// Who to become.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What a role keeps.
pub struct Confinement<'a> {
    /// The folder that becomes its root, if any.
    pub root: Option<&'a Path>,
    /// Who it becomes.
    pub identity: Identity,
    /// Descriptors it may have open.
    pub descriptors: u64,
    /// Bytes of address space; a parser that runs wild ends here.
    pub address_space: u64,
    /// Seconds of processor time.
    pub processor_seconds: u64,
}

/// Looks `user` up in the host's user database, unless it is a number, which is uid and gid.
///
/// # Errors
/// When there is no such user, or when it is root.
pub fn identity(user: &str) -> io::Result<Identity> {
    let (uid, gid) = match user.parse() {
        Ok(id) => (id, id),
        Err(_) => {
            let found = User::from_name(user)?;
            let found = found.ok_or_else(|| io::Error::other(format!("no user named {user}")))?;
            (found.uid.as_raw(), found.gid.as_raw())
        }
    };
    if uid == 0 || gid == 0 {
        return Err(io::Error::other("a role without privileges cannot run as root"));
    }
    Ok(Identity { uid, gid })
}

/// Becomes `identity`, in these further groups and no others, and proves that there is no way back. On an error the
/// caller must exit: it may hold half of its privileges.
pub fn become_for_good(identity: Identity, groups: &[u32]) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups)?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    let root = Uid::from_raw(0);
    if setresuid(root, root, root).is_ok() {
        let text = "privileges could be taken back after they were given up";
        return Err(io::Error::other(text));
    }
    Ok(())
}

impl Confinement<'_> {
    /// Enters it: root folder, groups, gid, uid, no-new-privs, not dumpable, limits; then proves that there is no way
    /// back. Where we are not root, the root folder and the user stay. On an error the caller must exit: it may hold half
    /// of its privileges.
    pub fn enter(&self) -> io::Result<()> {
        if is_root() {
            if let Some(root) = self.root {
                chroot(root)?;
                chdir("/")?;
            }
            become_for_good(self.identity, &[])?;
        }
        prctl::set_no_new_privs()?;
        prctl::set_dumpable(false)?;
        // No new process, no file may grow, no core: what a taken-over role would try first.
        for (resource, most) in [
            (Resource::RLIMIT_NPROC, 0),
            (Resource::RLIMIT_FSIZE, 0),
            (Resource::RLIMIT_CORE, 0),
            (Resource::RLIMIT_NOFILE, self.descriptors),
            (Resource::RLIMIT_AS, self.address_space),
            (Resource::RLIMIT_CPU, self.processor_seconds),
        ] {
            setrlimit(resource, most, most)?;
        }
        Ok(())
    }
}
