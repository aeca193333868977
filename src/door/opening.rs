//! How a connection reaches us: one decision, made from what our starter left, before anything else.
//!
//! In this order: sockets that were announced to us (systemd); a TCP socket on standard input (inetd, xinetd, systemd's
//! `StandardInput=socket`); else we bind one ourselves. Trusts the kernel for what a socket is, and no name or address
//! in the environment.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use crate::os::net::{self, Tcp};
use crate::os::{descriptor, starter};

/// How a connection reaches us.
#[derive(Debug)]
pub enum Door {
    /// Nobody handed us a socket.
    Bind,
    /// Listening sockets, which stay with our starter when we end.
    Listening(Vec<TcpListener>),
    /// The one connection.
    Connected(TcpStream),
}

/// Why there is no door.
#[derive(Debug)]
pub enum NoDoor {
    /// A sentence for whoever configured our starter.
    Senseless(String),
    /// Standard error may be a stranger's connection: nothing may be said.
    Unspeakable,
}

/// Looks at what our starter left. Afterwards no standard stream is a connection, and nothing is open that is not in the
/// answer.
///
/// # Errors
/// [`NoDoor`]; in no case has anything been said.
pub fn find() -> Result<Door, NoDoor> {
    let input = starter::clear_streams().map_err(|_| NoDoor::Unspeakable)?;
    let passed = starter::passed_sockets(input.as_ref()).map_err(NoDoor::Senseless)?;
    decide(passed, input).map_err(NoDoor::Senseless)
}

/// The decision. `input` is a TCP socket, if it is anything.
fn decide(passed: Vec<OwnedFd>, input: Option<OwnedFd>) -> Result<Door, String> {
    if passed.is_empty() {
        return match input {
            None => Ok(Door::Bind),
            Some(socket) => open(vec![socket], "standard input"),
        };
    }
    open(passed, "LISTEN_FDS")
}

fn open(sockets: Vec<OwnedFd>, origin: &str) -> Result<Door, String> {
    let kinds: Vec<Option<Tcp>> = sockets.iter().map(net::tcp).collect();
    if kinds.iter().all(|kind| *kind == Some(Tcp::Listening)) {
        let listeners: io::Result<Vec<_>> = sockets.into_iter().map(listener).collect();
        return listeners
            .map(Door::Listening)
            .map_err(|error| format!("use the listening socket of {origin}: {error}"));
    }
    let mut sockets = sockets.into_iter();
    match (kinds.as_slice(), sockets.next()) {
        ([Some(Tcp::Connected)], Some(socket)) => Ok(Door::Connected(TcpStream::from(socket))),
        _ => Err(senseless(&kinds, origin)),
    }
}

/// It comes in the state that its maker left it in.
fn listener(socket: OwnedFd) -> io::Result<TcpListener> {
    descriptor::set_nonblocking(socket.as_fd())?;
    Ok(TcpListener::from(socket))
}

fn senseless(kinds: &[Option<Tcp>], origin: &str) -> String {
    let words: Vec<&str> = kinds
        .iter()
        .map(|kind| match kind {
            Some(Tcp::Listening) => "a listening TCP socket",
            Some(Tcp::Connected) => "a TCP connection",
            None => "no TCP socket",
        })
        .collect();
    format!(
        "{origin} has {}; it should have listening TCP sockets, or one TCP connection",
        words.join(", ")
    )
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
        assert!(matches!(decide(vec![], None), Ok(Door::Bind)));
    }

    #[test]
    fn a_listening_socket_is_served_and_a_connected_one_is_one_session() {
        for (passed, input) in [(vec![listening()], None), (vec![], Some(listening()))] {
            let Ok(Door::Listening(listeners)) = decide(passed, input) else {
                panic!("not served");
            };
            assert_eq!(listeners.len(), 1);
            let flags = OFlag::from_bits_retain(fcntl(&listeners[0], FcntlArg::F_GETFL).unwrap());
            assert!(flags.contains(OFlag::O_NONBLOCK));
        }
        let (one, peer) = connected();
        let Ok(Door::Connected(stream)) = decide(vec![one], None) else {
            panic!("no session");
        };
        assert_eq!(stream.peer_addr().unwrap(), peer.local_addr().unwrap());
        let (one, _peer) = connected();
        assert!(matches!(decide(vec![], Some(one)), Ok(Door::Connected(_))));
    }

    #[test]
    fn what_was_announced_comes_before_standard_input() {
        let (input, _peer) = connected();
        assert!(matches!(
            decide(vec![listening()], Some(input)),
            Ok(Door::Listening(_))
        ));
    }

    #[test]
    fn all_of_several_listening_sockets_are_served() {
        let passed = vec![listening(), listening(), listening()];
        assert!(matches!(decide(passed, None), Ok(Door::Listening(all)) if all.len() == 3));
    }

    #[test]
    fn announced_sockets_that_cannot_all_be_served_are_refused_with_what_they_are() {
        let path = std::env::temp_dir().join(format!("opening-{}.socket", std::process::id()));
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
