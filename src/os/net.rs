//! Listening and accepting, and what kind of socket a descriptor is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike, SockaddrStorage, getsockname, getsockopt, sockopt,
};

use crate::config::Listen;
use crate::os::descriptor;

/// Binds `listen`; connections are accepted without waiting.
pub fn listen(listen: &Listen) -> io::Result<TcpListener> {
    let listener = match listen {
        Listen::At(address) => TcpListener::bind(address)?,
        // One dual-stack socket, as Go makes it; v4 alone where the kernel has no v6.
        Listen::Everywhere(port) => TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).or_else(|error| {
            let no_v6 = matches!(error.raw_os_error(), Some(code) if code == nix::errno::Errno::EAFNOSUPPORT as i32
                || code == nix::errno::Errno::EADDRNOTAVAIL as i32);
            if no_v6 { TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)) } else { Err(error) }
        })?,
    };
    descriptor::set_nonblocking(&listener)?;
    Ok(listener)
}

/// The next connection; `None` when another process was quicker or the peer went away again.
pub fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    match listener.accept() {
        Ok(connection) => Ok(Some(connection)),
        Err(error) if is_passing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(
        error.kind(),
        WouldBlock | Interrupted | ConnectionAborted | ConnectionReset
    )
}

/// The address as the source lists write it: a v4 client of a dual-stack socket is v4.
pub fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

/// What a socket of ours can be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// listen(2) was called on it (SO_ACCEPTCONN).
    Listening,
    /// One end of a connection.
    Connected,
}

/// What `descriptor` is, if it is a stream socket of IPv4 or IPv6; `None` for files, pipes and every other socket.
pub fn tcp(descriptor: impl AsFd) -> Option<Tcp> {
    use AddressFamily::{Inet, Inet6};
    if !matches!(kind(&descriptor)?, (Inet | Inet6, SockType::Stream)) {
        return None;
    }
    Some(match getsockopt(&descriptor, sockopt::AcceptConn).ok()? {
        true => Tcp::Listening,
        false => Tcp::Connected,
    })
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
        assert_eq!(tcp(&listener), Some(Tcp::Listening));
        assert_eq!(
            (tcp(&ours), tcp(&theirs)),
            (Some(Tcp::Connected), Some(Tcp::Connected))
        );
        if let Ok(v6) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
            assert_eq!(tcp(&v6), Some(Tcp::Listening));
        }
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(tcp(&one), None);
        assert_eq!(tcp(UnixDatagram::unbound().unwrap()), None);
        assert_eq!(tcp(std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap()), None);
        assert_eq!(tcp(std::fs::File::open("/dev/null").unwrap()), None);
        assert_eq!(tcp(descriptor::pipe().unwrap().0), None);
        let path = std::env::temp_dir().join(format!("kind-{}.socket", std::process::id()));
        assert_eq!(tcp(UnixListener::bind(&path).unwrap()), None);
        std::fs::remove_file(path).unwrap();
    }
}
