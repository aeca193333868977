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

use super::{MountSpec, Mounts, with_path};
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

/// What programs look for besides.
const STANDARD_LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/var/tmp", "../tmp"),
];

/// Covered, in our own namespace, by the base of the new root.
const COVERED: &str = "/tmp";

/// Folders in memory that everybody within may write to, each with a bound of its own.
const SCRATCH: &[(&str, u64)] = &[("/tmp", JAIL_TEMPORARY), ("/dev/shm", JAIL_SHARED_MEMORY)];

/// Most links that one path may go through; the kernel's own bound.
const MOST_LINKS: usize = 40;

/// Something of the host that was opened, to be mounted at its place.
type Opened = (MountSpec, OwnedFd);

/// Gives this process a root folder with nothing in it but what `mounts` and this module's head say.
///
/// # Errors
/// Of what could not be taken, made or mounted, with its path; the caller must exit then.
pub fn enter(mounts: &Mounts) -> io::Result<()> {
    namespace::unshare_mounts()?;
    let (system, links) = system()?;
    let devices = DEVICES
        .iter()
        .map(|name| open(MountSpec::read_only(&Path::new("/dev").join(name))));
    let devices = devices.collect::<io::Result<Vec<_>>>()?;
    // In order, so that a folder comes before what is in it.
    let hidden = mounts
        .hidden
        .iter()
        .filter_map(|path| fs::canonicalize(path).ok());
    let hidden: BTreeSet<PathBuf> = hidden.collect();
    let is_seen = |path: &Path| is_system(path) && !hidden.iter().any(|folder| path.starts_with(folder));
    let linked = LINKED.iter().map(Path::new).filter(|path| path.exists());
    let mut shown = Vec::new();
    for one in linked
        .map(MountSpec::read_only)
        .chain(mounts.shown.iter().cloned())
    {
        shown.extend(open_unseen(one, &is_seen)?);
    }
    let base = namespace::enter_new_root(Path::new(COVERED), JAIL_ROOT)?;
    make_folder(Path::new("/proc"))?;
    namespace::mount_proc(Path::new("/proc"))?;
    devices.iter().try_for_each(place)?;
    for (folder, bytes) in SCRATCH {
        make_folder(Path::new(folder))?;
        namespace::mount_tmpfs(Path::new(folder), *bytes, "1777")?;
    }
    make_folder(Path::new("/var"))?;
    for (link, target) in STANDARD_LINKS {
        symlink(target, link)?;
    }
    for (link, target) in links {
        symlink(target, link)?;
    }
    system.iter().try_for_each(place)?;
    // Before anything is made at a place below them, which would be made on the host.
    make_read_only(&[])?;
    hidden.iter().try_for_each(|path| hide(path))?;
    shown.iter().try_for_each(place)?;
    let shown = shown.iter().map(|(one, _)| one);
    let writable = shown.filter(|one| one.writable).map(|one| one.at.as_path());
    make_read_only(&writable.collect::<Vec<_>>())?;
    base.close()
}

/// Links with their targets.
type Links = Vec<(&'static Path, PathBuf)>;

/// [`SYSTEM`], as the host has it.
fn system() -> io::Result<(Vec<Opened>, Links)> {
    let (mut folders, mut links) = (Vec::new(), Vec::new());
    for path in SYSTEM.iter().map(Path::new).filter(|path| path.is_dir()) {
        match fs::read_link(path) {
            Ok(target) if is_system(&fs::canonicalize(path)?) => links.push((path, target)),
            _ => folders.push(open(MountSpec::read_only(path))?),
        }
    }
    Ok((folders, links))
}

fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|folder| path.starts_with(folder))
}

/// What is to be mounted so that `one` is seen: nothing where it is already.
fn open_unseen(mut one: MountSpec, is_seen: &dyn Fn(&Path) -> bool) -> io::Result<Option<Opened>> {
    let at = match !one.writable && one.real == one.at {
        true => first_unseen(&one.at, is_seen, &|link| fs::read_link(link).ok())?,
        false => Some(plain(&one.at)?),
    };
    let Some(at) = at else { return Ok(None) };
    one.at = at;
    open(one).map(Some)
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
    Err(with_path(io::Error::other("too many links"), "show", path))
}

/// An absolute path without `.` and `..`, by its words alone.
fn plain(path: &Path) -> io::Result<PathBuf> {
    if !path.is_absolute() {
        return Err(with_path(
            io::Error::other("it is no absolute path"),
            "show",
            path,
        ));
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    Ok(plain)
}

fn open(one: MountSpec) -> io::Result<Opened> {
    // What may be written to belongs to somebody who could put a link there.
    let flags = match one.writable {
        true => OFlag::O_NOFOLLOW,
        false => OFlag::empty(),
    };
    let source = namespace::open_path(&one.real, flags);
    let source = source.map_err(|error| with_path(error, "show", &one.real))?;
    Ok((one, source))
}

fn place((MountSpec { at, .. }, source): &Opened) -> io::Result<()> {
    let shown = || {
        if fs::File::from(source.try_clone()?).metadata()?.is_dir() {
            make_folder(at)?;
        } else if at.symlink_metadata().is_err() {
            make_folder(at.parent().unwrap_or(Path::new("/")))?;
            fs::File::create(at)?;
        }
        namespace::bind(source, at)
    };
    shown().map_err(|error| with_path(error, "show", at))
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
    for (at, mut flags) in namespace::mounts()? {
        let is_scratch = SCRATCH.iter().any(|(folder, _)| at == Path::new(folder));
        let is_device = DEVICES.iter().any(|name| at == Path::new("/dev").join(name));
        flags.set(
            MsFlags::MS_RDONLY,
            !is_scratch && !writable.contains(&at.as_path()),
        );
        flags.set(MsFlags::MS_NODEV, !is_device);
        if at != Path::new("/proc") {
            namespace::restrict(&at, flags).map_err(|error| with_path(error, "protect", &at))?;
        }
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
