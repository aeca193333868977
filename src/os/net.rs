//! Listening and accepting, and what kind of socket a descriptor is.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

use crate::config::Listen;

/// Binds `listen`.
pub fn listen(listen: &Listen) -> io::Result<TcpListener> {
    let has_no_v6 = |error: &io::Error| {
        let error = error.raw_os_error().map(Errno::from_raw);
        matches!(error, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL))
    };
    match *listen {
        Listen::At(address) => TcpListener::bind(address),
        // One dual-stack socket, as Go makes it; v4 alone where the kernel has no v6.
        Listen::Everywhere(port) => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
            Err(error) if has_no_v6(&error) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
            bound => bound,
        },
    }
}

/// The next connection; `None` when another process was quicker or the peer went away again.
pub fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    match listener.accept() {
        Ok(connection) => Ok(Some(connection)),
        Err(error) => match error.kind() {
            WouldBlock | Interrupted | ConnectionAborted | ConnectionReset => Ok(None),
            _ => Err(error),
        },
    }
}

/// Whether listen(2) was called on a stream socket of IPv4 or IPv6 (SO_ACCEPTCONN), which is one end of a connection else;
/// `None` for files, pipes and every other socket.
pub fn is_listening(descriptor: impl AsFd) -> Option<bool> {
    use AddressFamily::{Inet, Inet6};
    match kind(&descriptor)? {
        (Inet | Inet6, SockType::Stream) => getsockopt(&descriptor, sockopt::AcceptConn).ok(),
        _ => None,
    }
}

/// Family and type of a socket; `None` for anything else.
pub fn kind(descriptor: impl AsFd) -> Option<(AddressFamily, SockType)> {
    let kind = getsockopt(&descriptor, sockopt::SockType).ok()?;
    let address: SockaddrStorage = getsockname(descriptor.as_fd().as_raw_fd()).ok()?;
    Some((address.family()?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    #[test]
    fn only_stream_sockets_of_the_internet_are_of_use() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        assert_eq!(is_listening(&listener), Some(true));
        assert_eq!(is_listening(&ours), Some(false));
        assert_eq!(is_listening(&theirs), Some(false));
        if let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
            assert_eq!(is_listening(&v6), Some(true));
        }
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(is_listening(&one), None);
        assert_eq!(is_listening(UnixDatagram::unbound().unwrap()), None);
        assert_eq!(
            is_listening(std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap()),
            None
        );
        assert_eq!(is_listening(std::fs::File::open("/dev/null").unwrap()), None);
        assert_eq!(is_listening(io::pipe().unwrap().0), None);
        let path = std::env::temp_dir().join(format!("kind-{}.socket", std::process::id()));
        assert_eq!(is_listening(UnixListener::bind(&path).unwrap()), None);
        std::fs::remove_file(path).unwrap();
    }
}
