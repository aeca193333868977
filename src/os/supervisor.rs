//! What the process that started us left: variables, descriptors, and standard streams that may be a stranger's connection.
//!
//! Only for the first lines of a process, before anything was opened or logged. Taken are, in this order: sockets that were
//! announced to us (sd_listen_fds(3), systemd); a TCP socket on standard input (inetd, xinetd, systemd's
//! `StandardInput=socket`); else we bind one ourselves. The variables are trusted as far as they go: whoever starts us is
//! root. What a descriptor is, the kernel says.

use std::io::{self, stderr, stdin, stdout};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use crate::limits::MAX_LISTENERS;
use crate::os::{descriptor, net, process, syslog};

/// Copies of standard streams start here, above whatever is passed.
const MOVED: RawFd = descriptor::FIRST + MAX_LISTENERS as RawFd;

/// What was passed to us.
#[derive(Debug)]
pub enum Inherited {
    /// No socket: we bind one.
    Nothing,
    /// Listening sockets, which the supervisor keeps when we end.
    Listening(Vec<TcpListener>),
    /// The one connection.
    Connected(TcpStream),
}

/// Takes what the supervisor left open. Afterwards no standard stream is a connection, and nothing is open that is not in
/// the answer.
///
/// # Errors
/// A sentence for whoever configured the supervisor; `None` where standard error may be a stranger's connection: nothing may
/// be written to it. In no case has anything been written.
pub fn inherited() -> Result<Inherited, Option<String>> {
    let stdin = clear_streams().map_err(|_| None)?;
    let passed = passed_sockets(stdin.as_ref())?;
    Ok(decide(passed, stdin)?)
}

/// `stdin` is a TCP socket, if it is anything.
fn decide(passed: Vec<OwnedFd>, stdin: Option<OwnedFd>) -> Result<Inherited, String> {
    let (mut sockets, origin) = match stdin {
        Some(socket) if passed.is_empty() => (vec![socket], "standard input"),
        _ => (passed, "LISTEN_FDS"),
    };
    let kinds: Vec<_> = sockets.iter().map(net::is_listening).collect();
    let words = |is_listening: &Option<bool>| match is_listening {
        Some(true) => "a listening TCP socket",
        Some(false) => "a TCP connection",
        None => "no TCP socket",
    };
    match &*kinds {
        [] => Ok(Inherited::Nothing),
        [Some(false)] => Ok(Inherited::Connected(sockets.remove(0).into())),
        all if all.iter().all(|one| *one == Some(true)) => Ok(Inherited::Listening(
            sockets.into_iter().map(TcpListener::from).collect(),
        )),
        all => Err(format!(
            "{origin} has {}; it should have listening TCP sockets, or one TCP connection",
            all.iter().map(words).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Moves a connection or a listening socket away from the standard streams, which is where inetd puts it: what is written
/// to standard error would reach the stranger. Returns what standard input was, if that was a TCP socket.
///
/// Standard error becomes the host's syslog, or nothing where there is none. Streams that are no TCP socket stay as they
/// are: systemd leaves standard error to the journal.
///
/// # Errors
/// When a stream could not be moved: then nothing may be written at all.
fn clear_streams() -> io::Result<Option<OwnedFd>> {
    let moved = match is_tcp(stdin()) {
        true => Some(descriptor::duplicate_above(stdin().as_fd(), MOVED)?),
        false => None,
    };
    if is_tcp(stderr()) {
        match syslog::connect(Path::new(syslog::PLACE)) {
            Ok(syslog) => dup2_stderr(syslog)?,
            Err(_) => dup2_stderr(descriptor::null()?)?,
        }
    }
    if is_tcp(stdout()) {
        dup2_stdout(descriptor::null()?)?;
    }
    if moved.is_some() {
        dup2_stdin(descriptor::null()?)?;
    }
    Ok(moved)
}

fn is_tcp(stream: impl AsFd) -> bool {
    net::is_listening(stream).is_some()
}

/// The sockets that sd_listen_fds(3)'s variables announce to us; everything else that was left open from descriptor 3 on is
/// closed, but for `keep`.
///
/// # Errors
/// A sentence about an announcement that was for us and is invalid.
fn passed_sockets(keep: Option<&OwnedFd>) -> Result<Vec<OwnedFd>, String> {
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
    use std::os::unix::net::{UnixListener, UnixStream};

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

    fn listening() -> OwnedFd {
        TcpListener::bind(("127.0.0.1", 0)).unwrap().into()
    }

    /// Both ends.
    fn connected() -> (OwnedFd, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0.into(), peer)
    }

    #[test]
    fn without_a_socket_we_bind_one() {
        assert!(matches!(decide(vec![], None), Ok(Inherited::Nothing)));
    }

    #[test]
    fn a_listening_socket_is_served_and_a_connected_one_is_one_session() {
        for (passed, input) in [(vec![listening()], None), (vec![], Some(listening()))] {
            let Ok(Inherited::Listening(listeners)) = decide(passed, input) else {
                panic!("not served");
            };
            assert_eq!(listeners.len(), 1);
        }
        let (one, peer) = connected();
        let Ok(Inherited::Connected(stream)) = decide(vec![one], None) else {
            panic!("no session");
        };
        assert_eq!(stream.peer_addr().unwrap(), peer.local_addr().unwrap());
        let (one, _peer) = connected();
        assert!(matches!(decide(vec![], Some(one)), Ok(Inherited::Connected(_))));
    }

    #[test]
    fn what_was_announced_comes_before_standard_input() {
        let (input, _peer) = connected();
        assert!(matches!(
            decide(vec![listening()], Some(input)),
            Ok(Inherited::Listening(_))
        ));
    }

    #[test]
    fn all_of_several_listening_sockets_are_served() {
        let passed = vec![listening(), listening(), listening()];
        assert!(matches!(decide(passed, None), Ok(Inherited::Listening(all)) if all.len() == 3));
    }

    #[test]
    fn announced_sockets_that_cannot_all_be_served_are_refused_with_what_they_are() {
        let path = std::env::temp_dir().join(format!("listen-fds-{}.socket", std::process::id()));
        let unix: OwnedFd = UnixListener::bind(&path).unwrap().into();
        std::fs::remove_file(path).unwrap();
        let pair: OwnedFd = UnixStream::pair().unwrap().0.into();
        let file: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
        let udp: OwnedFd = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap().into();
        let (one, _peer) = connected();
        let (other, _other) = connected();
        for (passed, words) in [
            (vec![unix], "LISTEN_FDS has no TCP socket;"),
            (vec![pair], "LISTEN_FDS has no TCP socket;"),
            (vec![file], "LISTEN_FDS has no TCP socket;"),
            (vec![listening(), udp], "a listening TCP socket, no TCP socket;"),
            (
                vec![one, listening()],
                "a TCP connection, a listening TCP socket;",
            ),
            (vec![other, connected().0], "a TCP connection, a TCP connection;"),
        ] {
            let error = decide(passed, None).unwrap_err();
            assert!(error.contains(words), "{error}");
            assert!(error.ends_with("it should have listening TCP sockets, or one TCP connection"));
        }
    }
}
