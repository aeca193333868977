//! What a tool in a sandbox sees of the host, and nothing else: its root folder is a new one in memory.
//!
//! What nobody has thought of is not there (homes, other services' sockets and data, the flash drive, the
//! shares). Programs and `/etc` are shown read-only, for whoever can read them by their modes; `/proc` has
//! the tool's own processes, `/dev` five devices that hold nothing, `/tmp` is new.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use crate::jail::{MountSpec, Mounts, with_path};
use crate::limits::{JAIL_ROOT, JAIL_SHARED_MEMORY, JAIL_TEMPORARY};
use crate::os::namespace::{self, MsFlags, OFlag};

/// Where programs, their libraries and their settings are, on every kind of host that we know. Of `/nix` (NixOS) not all:
/// beside the store is the socket of a daemon that builds for everybody who can connect to it.
const SYSTEM: &[&str] = &[
    "/bin",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/opt",
    "/sbin",
    "/usr",
];

/// What `/etc` may only have a link to: names, authorities, time. Where one leads out of [`SYSTEM`], that is shown too.
const LINKED: &[&str] = &[
    "/etc/hosts",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/resolv.conf",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/certs/ca-certificates.crt",
];

/// Devices that hold nothing.
const DEVICES: &[&str] = &["full", "null", "random", "urandom", "zero"];

/// What programs look for in `/dev` besides.
const STREAMS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Covered, in our own namespace, by the base of the new root.
const COVERED: &str = "/tmp";

/// Folders in memory that everybody within may write to, each with a bound of its own.
const SCRATCH: &[(&str, u64)] = &[("/tmp", JAIL_TEMPORARY), ("/dev/shm", JAIL_SHARED_MEMORY)];

/// Most links that one path may go through; the kernel's own bound.
const MOST_LINKS: usize = 40;

/// Something of the host that was opened, to be mounted at its place.
struct Opened {
    at: PathBuf,
    source: OwnedFd,
    writable: bool,
}

/// Gives this process a root folder with nothing in it but what `mounts` and this module's head say.
///
/// # Errors
/// Of what could not be taken, made or mounted, with its path; the caller must exit then.
pub(super) fn enter(mounts: &Mounts) -> io::Result<()> {
    namespace::unshare_mounts()?;
    let system = system()?;
    let devices = DEVICES.iter().map(|name| open(&Path::new("/dev").join(name)));
    let devices = devices.collect::<io::Result<Vec<_>>>()?;
    // In order, so that a folder comes before what is in it.
    let hidden: BTreeSet<PathBuf> = mounts
        .hidden
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok())
        .collect();
    let is_seen = |path: &Path| is_system(path) && !hidden.iter().any(|folder| path.starts_with(folder));
    let linked = LINKED
        .iter()
        .map(Path::new)
        .filter(|path| path.exists())
        .map(MountSpec::read_only);
    let mut shown = Vec::new();
    for one in linked.chain(mounts.shown.iter().cloned()) {
        shown.extend(open_unseen(&one, &is_seen)?);
    }
    let base = namespace::enter_new_root(Path::new(COVERED), JAIL_ROOT)?;
    make_folder(Path::new("/proc"))?;
    namespace::mount_proc(Path::new("/proc"))?;
    devices.iter().try_for_each(place)?;
    for (link, target) in STREAMS {
        symlink(target, link)?;
    }
    for (folder, bytes) in SCRATCH {
        make_folder(Path::new(folder))?;
        namespace::mount_tmpfs(Path::new(folder), *bytes, "1777")?;
    }
    make_folder(Path::new("/var"))?;
    symlink("../tmp", "/var/tmp")?;
    for (link, target) in &system.links {
        symlink(target, link)?;
    }
    system.folders.iter().try_for_each(place)?;
    // Before anything is made at a place below them, which would be made on the host.
    make_read_only(&[])?;
    hidden.iter().try_for_each(|path| hide(path))?;
    shown.iter().try_for_each(place)?;
    let writable = shown
        .iter()
        .filter(|one| one.writable)
        .map(|one| one.at.as_path());
    make_read_only(&writable.collect::<Vec<_>>())?;
    base.close()
}

/// [`SYSTEM`], as the host has it.
struct System {
    folders: Vec<Opened>,
    links: Vec<(PathBuf, PathBuf)>,
}

fn system() -> io::Result<System> {
    let (mut folders, mut links) = (Vec::new(), Vec::new());
    for path in SYSTEM.iter().map(Path::new).filter(|path| path.is_dir()) {
        let inside = fs::canonicalize(path)?;
        match fs::read_link(path) {
            Ok(target) if is_system(&inside) => links.push((path.to_owned(), target)),
            _ => folders.push(open(path)?),
        }
    }
    Ok(System { folders, links })
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

/// What is to be mounted so that `one` is seen: nothing where it is already.
fn open_unseen(one: &MountSpec, is_seen: &dyn Fn(&Path) -> bool) -> io::Result<Option<Opened>> {
    let at = match !one.writable && one.real == one.at {
        true => first_unseen(&one.at, is_seen, &|link| fs::read_link(link).ok())?,
        false => Some(plain(&one.at)?),
    };
    let Some(at) = at else { return Ok(None) };
    // What may be written to belongs to somebody who could put a link there.
    let flags = if one.writable {
        OFlag::O_NOFOLLOW
    } else {
        OFlag::empty()
    };
    let source = namespace::open_path(&one.real, flags);
    let source = source.map_err(|error| with_path(error, "show", &one.real))?;
    Ok(Some(Opened {
        at,
        source,
        writable: one.writable,
    }))
}

/// The first path that is not seen, on the way of links from `path` to what it names.
fn first_unseen(
    path: &Path,
    is_seen: &dyn Fn(&Path) -> bool,
    link: &dyn Fn(&Path) -> Option<PathBuf>,
) -> io::Result<Option<PathBuf>> {
    let mut at = plain(path)?;
    for _ in 0..MOST_LINKS {
        if !is_seen(&at) {
            return Ok(Some(at));
        }
        match link(&at) {
            Some(target) => at = plain(&at.parent().unwrap_or(Path::new("/")).join(target))?,
            None => return Ok(None),
        }
    }
    Err(io::Error::other(format!(
        "show {}: too many links",
        path.display()
    )))
}

/// An absolute path without `.` and `..`, by its words alone.
fn plain(path: &Path) -> io::Result<PathBuf> {
    if !path.is_absolute() {
        return Err(io::Error::other(format!(
            "show {}: it is no absolute path",
            path.display()
        )));
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir | Component::Prefix(_) => {}
            part => plain.push(part),
        }
    }
    Ok(plain)
}

fn open(path: &Path) -> io::Result<Opened> {
    let source = namespace::open_path(path, OFlag::empty());
    let source = source.map_err(|error| with_path(error, "show", path))?;
    Ok(Opened {
        at: path.to_owned(),
        source,
        writable: false,
    })
}

fn place(one: &Opened) -> io::Result<()> {
    let shown = || {
        if fs::File::from(one.source.try_clone()?).metadata()?.is_dir() {
            make_folder(&one.at)?;
        } else if one.at.symlink_metadata().is_err() {
            make_folder(one.at.parent().unwrap_or(Path::new("/")))?;
            fs::File::create(&one.at)?;
        }
        namespace::bind(&one.source, &one.at)
    };
    shown().map_err(|error| with_path(error, "show", &one.at))
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path).map_err(|error| with_path(error, "make", path))
}

/// Covers `path`, where it is seen at all.
fn hide(path: &Path) -> io::Result<()> {
    let covered = match path.symlink_metadata() {
        Ok(facts) if facts.is_dir() => namespace::mount_tmpfs(path, JAIL_ROOT, "755"),
        Ok(_) => namespace::open_path(Path::new("/dev/null"), OFlag::O_NOFOLLOW)
            .and_then(|null| namespace::bind(&null, path)),
        Err(_) => Ok(()),
    };
    covered.map_err(|error| with_path(error, "hide", path))
}

/// Every mount becomes read-only but [`SCRATCH`] and those at `writable` and below.
fn make_read_only(writable: &[&Path]) -> io::Result<()> {
    let scratch = SCRATCH.iter().map(|(folder, _)| Path::new(folder));
    let writable: Vec<&Path> = scratch.chain(writable.iter().copied()).collect();
    for (at, mut flags) in namespace::mounts()? {
        if at == Path::new("/proc") {
            continue;
        }
        let is_writable = writable.iter().any(|folder| at == *folder);
        let is_device = DEVICES.iter().any(|name| at == Path::new("/dev").join(name));
        flags.set(MsFlags::MS_RDONLY, !is_writable);
        flags.set(MsFlags::MS_NODEV, !is_device);
        namespace::restrict(&at, flags).map_err(|error| with_path(error, "protect", &at))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(path: &str, links: &[(&str, &str)]) -> io::Result<Option<PathBuf>> {
        let link = |path: &Path| {
            let found = links.iter().find(|(link, _)| Path::new(link) == path);
            found.map(|(_, target)| PathBuf::from(target))
        };
        first_unseen(Path::new(path), &is_system, &link)
    }

    #[test]
    fn what_the_system_has_is_not_shown_again_and_what_its_links_lead_to_is() {
        let resolved = ("/etc/resolv.conf", "../run/resolve/stub.conf");
        for (path, links, at) in [
            ("/usr/bin/git", &[][..], None),
            ("/usr/bin/git", &[("/usr/bin/git", "../lib/git/git")], None),
            ("/opt/../srv/x", &[], Some("/srv/x")),
            ("/etc/resolv.conf", &[resolved], Some("/run/resolve/stub.conf")),
            (
                "/bin/terraform",
                &[
                    ("/bin/terraform", "/etc/alternatives/terraform"),
                    ("/etc/alternatives/terraform", "/mnt/tools/terraform"),
                    ("/mnt/tools/terraform", "/mnt/other"),
                ],
                Some("/mnt/tools/terraform"),
            ),
            ("/mnt/cache", &[], Some("/mnt/cache")),
            ("/etcetera/x", &[], Some("/etcetera/x")),
        ] {
            assert_eq!(way(path, links).unwrap(), at.map(PathBuf::from), "{path}");
        }
    }

    #[test]
    fn a_circle_of_links_and_a_relative_path_are_errors() {
        assert!(way("/etc/a", &[("/etc/a", "b"), ("/etc/b", "a")]).is_err());
        assert!(way("etc/a", &[]).is_err());
    }
}
