//! Waiting for the one connection: the warm part of a session's life, and who is let in at all.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use crate::config::Config;
use crate::os::net;
use crate::os::poll::{self, For};
use crate::session::slots::{self, Slot, Standing};

/// How a connection reaches this session.
#[derive(Debug)]
pub enum Arrival {
    /// `serve` shares its listener. The line to it carries `ready` and `accepted ADDRESS`; its end of file before a
    /// connection means that nobody wants this session any more.
    Shared {
        /// Accepts without waiting.
        listener: TcpListener,
        /// To `serve`.
        serve: UnixStream,
    },
    /// The starter accepted already (inetd `nowait`, systemd `Accept=yes`).
    Connected(TcpStream),
}

/// The connection, and what its address alone allows.
#[derive(Debug)]
pub struct Visitor {
    /// For front, unread.
    pub stream: TcpStream,
    /// The peer as the kernel knows it; a v4 peer of a dual-stack socket is v4.
    pub peer: IpAddr,
    /// Whether it may GET the open paths.
    pub open_paths: bool,
    /// Held until the request is admitted.
    pub slot: Slot,
}

impl Arrival {
    /// Waits for a connection that may be served. Others are closed at once, and the wait goes on: a flood costs
    /// one process and no starts. `None` when there will be none.
    pub fn wait(self, config: &Config, front: BorrowedFd<'_>) -> io::Result<Option<Visitor>> {
        match self {
            Arrival::Connected(stream) => {
                let peer = stream.peer_addr()?;
                let_in(config, stream, peer)
            }
            Arrival::Shared { listener, mut serve } => {
                match serve.write_all(b"ready\n") {
                    // Replaced before it was ready.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
                    other => other?,
                }
                let visitor = accept_one(config, front, &listener, &serve)?;
                if let Some(visitor) = &visitor {
                    serve.write_all(format!("accepted {}\n", visitor.peer).as_bytes())?;
                }
                // Listener and line close here: a session in its work keeps no port.
                Ok(visitor)
            }
        }
    }
}

fn accept_one(
    config: &Config,
    front: BorrowedFd<'_>,
    listener: &TcpListener,
    serve: &UnixStream,
) -> io::Result<Option<Visitor>> {
    loop {
        let [arrived, lifeline, front] = poll::wait(
            [
                (listener.as_fd(), For::Reading),
                (serve.as_fd(), For::Reading),
                (front, For::Reading),
            ],
            None,
        )?;
        if lifeline.any() {
            return Ok(None);
        }
        if front.any() {
            return Err(io::Error::other(
                "the front role ended while it waited for a connection",
            ));
        }
        if arrived.any()
            && let Some((stream, peer)) = net::accept(listener)?
            && let Some(visitor) = let_in(config, stream, peer)?
        {
            return Ok(Some(visitor));
        }
    }
}

/// Source policy and caps: both before a single byte is read.
fn let_in(config: &Config, stream: TcpStream, peer: SocketAddr) -> io::Result<Option<Visitor>> {
    let peer = net::canonical(peer);
    let may_post = config.allowed.contains(peer);
    let open_paths = config.status_allowed.contains(peer);
    if !may_post && !open_paths {
        log::debug!("{peer}: closed, its address is in neither list");
        return Ok(None);
    }
    let standing = if may_post {
        Standing::Allowed
    } else {
        Standing::Stranger
    };
    match slots::for_connection(&config.places.slots(), config.caps, peer, standing)? {
        Some(slot) => Ok(Some(Visitor {
            stream,
            peer,
            open_paths,
            slot,
        })),
        None => {
            log::debug!("{peer}: closed, too many connections are open");
            Ok(None)
        }
    }
}
