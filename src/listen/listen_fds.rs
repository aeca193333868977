//! The sockets that a supervisor passes, looked at before anything else is done.
//!
//! In this order: sockets that were announced to us (sd_listen_fds(3), systemd); a TCP socket on standard input (inetd,
//! xinetd, systemd's `StandardInput=socket`); else we bind one ourselves. Trusts the kernel for what a socket is, and no
//! name or address in the environment.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use crate::os::{descriptor, net, supervisor};

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
    let stdin = supervisor::clear_streams().map_err(|_| None)?;
    let passed = supervisor::passed_sockets(stdin.as_ref())?;
    Ok(decide(passed, stdin)?)
}

/// `stdin` is a TCP socket, if it is anything.
fn decide(passed: Vec<OwnedFd>, stdin: Option<OwnedFd>) -> Result<Inherited, String> {
    match stdin {
        None if passed.is_empty() => Ok(Inherited::Nothing),
        Some(socket) if passed.is_empty() => by_kind(vec![socket], "standard input"),
        _ => by_kind(passed, "LISTEN_FDS"),
    }
}

fn by_kind(mut sockets: Vec<OwnedFd>, origin: &str) -> Result<Inherited, String> {
    let kinds: Vec<_> = sockets.iter().map(net::is_listening).collect();
    if kinds.iter().all(|is_listening| *is_listening == Some(true)) {
        let listeners: io::Result<Vec<_>> = sockets.into_iter().map(listener).collect();
        return listeners
            .map(Inherited::Listening)
            .map_err(|error| format!("use the listening socket of {origin}: {error}"));
    }
    if let ([Some(false)], Some(socket)) = (kinds.as_slice(), sockets.pop()) {
        return Ok(Inherited::Connected(TcpStream::from(socket)));
    }
    let words = kinds.iter().map(|is_listening| match is_listening {
        Some(true) => "a listening TCP socket",
        Some(false) => "a TCP connection",
        None => "no TCP socket",
    });
    Err(format!(
        "{origin} has {}; it should have listening TCP sockets, or one TCP connection",
        words.collect::<Vec<_>>().join(", ")
    ))
}

/// Its maker may have left it in blocking mode.
fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    descriptor::set_nonblocking(&socket)?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use std::os::unix::net::{UnixListener, UnixStream};

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
            let flags = OFlag::from_bits_retain(fcntl(&listeners[0], FcntlArg::F_GETFL).unwrap());
            assert!(flags.contains(OFlag::O_NONBLOCK));
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
