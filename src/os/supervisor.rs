//! What the process that started us left: variables, descriptors, and standard streams that may be a stranger's connection.
//!
//! Only for the first lines of a process, before anything was opened or logged. The variables are trusted as far as they
//! go: whoever starts us is root. What a descriptor is, the kernel says.

use std::io::{self, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::limits::MAX_LISTENERS;
use crate::os::{descriptor, net, process, syslog};

/// Copies of standard streams start here, above whatever is passed.
const MOVED: RawFd = descriptor::FIRST + MAX_LISTENERS as RawFd;

/// Moves a connection or a listening socket away from the standard streams, which is where inetd puts it: what is written
/// to standard error would reach the stranger. Returns what standard input was, if that was a TCP socket.
///
/// Standard error becomes the host's syslog, or nothing where there is none. Streams that are no TCP socket stay as they
/// are: systemd leaves standard error to the journal.
///
/// # Errors
/// When a stream could not be moved: then nothing may be written at all.
pub fn clear_streams() -> io::Result<Option<OwnedFd>> {
    let is_tcp = |stream: BorrowedFd<'_>| net::is_listening(stream).is_some();
    let moved = match is_tcp(stdin().as_fd()) {
        true => Some(descriptor::duplicate_above(stdin().as_fd(), MOVED)?),
        false => None,
    };
    if is_tcp(stderr().as_fd()) {
        match syslog::connect(Path::new(syslog::PLACE)) {
            Ok(syslog) => dup2_stderr(syslog)?,
            Err(_) => dup2_stderr(descriptor::null()?)?,
        }
    }
    if is_tcp(stdout().as_fd()) {
        dup2_stdout(descriptor::null()?)?;
    }
    if moved.is_some() {
        dup2_stdin(descriptor::null()?)?;
    }
    Ok(moved)
}

/// The sockets that sd_listen_fds(3)'s variables announce to us; everything else that was left open from descriptor 3 on is
/// closed, but for `keep`.
///
/// # Errors
/// A sentence about an announcement that was for us and is invalid.
pub fn passed_sockets(keep: Option<&OwnedFd>) -> Result<Vec<OwnedFd>, String> {
    let variable = |name| std::env::var(name).unwrap_or_default();
    let count = announced(
        &variable("LISTEN_PID"),
        &variable("LISTEN_FDS"),
        process::own_pid(),
    )?;
    let numbers = descriptor::FIRST..descriptor::FIRST + count as RawFd;
    let kept: Vec<RawFd> = numbers.clone().chain(keep.map(AsRawFd::as_raw_fd)).collect();
    descriptor::close_inherited(&kept).map_err(|error| format!("close what was left open: {error}"))?;
    let adopt = |number: RawFd| {
        descriptor::adopt(number).map_err(|error| format!("take descriptor {number} of LISTEN_FDS: {error}"))
    };
    numbers.map(adopt).collect()
}

/// How many sockets were announced to the process `own`. An announcement to another one was meant for whoever started us.
fn announced(pid: &str, count: &str, own: i32) -> Result<usize, String> {
    if pid != own.to_string() {
        return Ok(0);
    }
    match count.parse() {
        Ok(count) if count <= MAX_LISTENERS => Ok(count),
        _ => Err(format!(
            "LISTEN_FDS is `{}`; it should be a number of sockets, at most {MAX_LISTENERS}",
            count.escape_debug()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_ours_only_when_they_were_announced_to_us() {
        for (pid, count, ours) in [
            ("", "", 0),
            ("7", "1", 1),
            ("7", "2", 2),
            ("7", "0", 0),
            ("8", "1", 0),
            ("8", "nonsense", 0),
            ("", "1", 0),
            ("7 ", "1", 0),
            ("nonsense", "1", 0),
        ] {
            assert_eq!(announced(pid, count, 7), Ok(ours), "{pid:?} {count:?}");
        }
    }

    #[test]
    fn an_announcement_that_makes_no_sense_is_quoted_and_refused() {
        for count in ["", "-1", "many", "1 ", "999999999999999999999", "17", "0x1"] {
            let error = announced("7", count, 7).expect_err(count);
            assert!(error.contains(&format!("LISTEN_FDS is `{count}`")), "{error}");
        }
    }
}
