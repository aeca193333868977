//! What the process that started us left: variables, descriptors, and standard streams that may be a stranger's connection.
//!
//! Only for the first lines of a process, before anything was opened or logged. The variables are trusted as far as they
//! go: whoever starts us is root. What a descriptor is, the kernel says.

use std::io::{self, stderr, stdin, stdout};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

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
    let moved = match net::tcp(stdin()) {
        Some(_) => Some(descriptor::duplicate_above(stdin().as_fd(), MOVED)?),
        None => None,
    };
    if net::tcp(stderr()).is_some() {
        match syslog::connect() {
            Ok(syslog) => dup2_stderr(syslog)?,
            Err(_) => dup2_stderr(descriptor::null()?)?,
        }
    }
    if net::tcp(stdout()).is_some() {
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
    let variable = |name| std::env::var(name).ok();
    let count = announced(
        variable("LISTEN_PID").as_deref(),
        variable("LISTEN_FDS").as_deref(),
        process::own_pid(),
    )?;
    let numbers: Vec<RawFd> = (descriptor::FIRST..).take(count).collect();
    let kept: Vec<RawFd> = numbers
        .iter()
        .copied()
        .chain(keep.map(AsRawFd::as_raw_fd))
        .collect();
    descriptor::close_inherited(&kept).map_err(|error| format!("close what was left open: {error}"))?;
    let adopt = |number: RawFd| {
        descriptor::adopt(number).map_err(|error| format!("take descriptor {number} of LISTEN_FDS: {error}"))
    };
    numbers.into_iter().map(adopt).collect()
}

/// How many sockets were announced to the process `own`. An announcement to another one was meant for whoever started us.
fn announced(pid: Option<&str>, count: Option<&str>, own: i32) -> Result<usize, String> {
    if pid != Some(own.to_string().as_str()) {
        return Ok(0);
    }
    let count = count.unwrap_or_default();
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
            (None, None, 0),
            (None, Some("1"), 0),
            (Some("7"), Some("1"), 1),
            (Some("7"), Some("2"), 2),
            (Some("7"), Some("0"), 0),
            (Some("8"), Some("1"), 0),
            (Some("8"), Some("nonsense"), 0),
            (Some(""), Some("1"), 0),
            (Some("7 "), Some("1"), 0),
            (Some("nonsense"), Some("1"), 0),
        ] {
            assert_eq!(announced(pid, count, 7), Ok(ours), "{pid:?} {count:?}");
        }
    }

    #[test]
    fn an_announcement_that_makes_no_sense_is_quoted_and_refused() {
        for count in ["", "-1", "many", "1 ", "999999999999999999999", "17", "0x1"] {
            let error = announced(Some("7"), Some(count), 7).expect_err(count);
            assert!(error.contains(&format!("LISTEN_FDS is `{count}`")), "{error}");
        }
        assert!(announced(Some("7"), None, 7).is_err());
    }
}
