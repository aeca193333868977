//! Listening and accepting.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

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
