//! Waiting for the one connection: the warm part of a session's life, and who is let in at all.

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::SystemTime;

use crate::config::{Config, slot_key};
use crate::limits::{MAX_STRANGERS, STATE_LOCK_WAIT};
use crate::os::poll::{self, For};
use crate::os::{clock, files, lock, net};
use crate::session::slots::{self, Slot};

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

/// Who is at the other end of a connection that is here already; `None` when it is let go.
pub fn judge(config: &Config, stream: TcpStream) -> io::Result<Option<Visitor>> {
    match stream.peer_addr() {
        Ok(peer) => let_in(config, stream, peer),
        Err(error) if error.kind() == ErrorKind::NotConnected => {
            log::debug!("the peer went before we came");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Waits at listeners that accept without waiting, until there is a connection that may be served. Others are closed at
/// once, and the wait goes on: a flood costs one process and no starts. The line to `serve` carries `ready` and
/// `accepted ADDRESS`; its end of file before a connection means that nobody wants this session any more: `None`.
///
/// Listeners and line close here: a session in its work keeps no port.
pub fn wait(
    config: &Config,
    front: BorrowedFd<'_>,
    listeners: Vec<TcpListener>,
    mut serve: UnixStream,
) -> io::Result<Option<Visitor>> {
    match serve.write_all(b"ready\n") {
        // Replaced before it was ready.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(None),
        other => other?,
    }
    let visitor = accept_one(config, front, &listeners, &serve)?;
    if let Some(Visitor { peer, .. }) = &visitor {
        // It may have ended just now. The connection is ours all the same.
        let told = serve.write_all(format!("accepted {peer}\n").as_bytes());
        told.unwrap_or_else(|error| log::debug!("tell serve of a connection: {error}"));
    }
    Ok(visitor)
}

fn accept_one(
    config: &Config,
    front: BorrowedFd<'_>,
    listeners: &[TcpListener],
    serve: &UnixStream,
) -> io::Result<Option<Visitor>> {
    let mut sources = vec![(serve.as_fd(), For::Reading), (front, For::Reading)];
    sources.extend(listeners.iter().map(|one| (one.as_fd(), For::Reading)));
    loop {
        let ready = poll::wait_for_any(&sources, None)?;
        // First: what arrives after that stays in the queue of the listener, for our starter's next one.
        if ready[0].any() {
            return Ok(None);
        }
        if ready[1].any() {
            return Err(io::Error::other(
                "the front role ended while it waited for a connection",
            ));
        }
        for (listener, ready) in listeners.iter().zip(&ready[2..]) {
            if ready.any()
                && let Some((stream, peer)) = net::accept(listener).map_err(not_accepted)?
                && let Some(visitor) = let_in(config, stream, peer)?
            {
                return Ok(Some(visitor));
            }
        }
    }
}

fn not_accepted(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("accept a connection: {error}"))
}

/// Source policy and caps: both before a single byte is read.
fn let_in(config: &Config, stream: TcpStream, peer: SocketAddr) -> io::Result<Option<Visitor>> {
    // As the source lists write it: a v4 client of a dual-stack socket is v4.
    let peer = peer.ip().to_canonical();
    let may_post = config.allowed.contains(peer);
    let open_paths = config.status_allowed.contains(peer);
    if !may_post && !open_paths {
        name_stranger(&config.places.slots(), peer, SystemTime::now())
            .unwrap_or_else(|error| log::debug!("{peer}: closed, its address is in neither list ({error})"));
        return Ok(None);
    }
    let slot = slots::for_connection(&config.places.slots(), config.caps, peer, may_post)?;
    if slot.is_none() {
        log::debug!("{peer}: closed, too many connections are open");
    }
    Ok(slot.map(|slot| Visitor {
        stream,
        peer,
        open_paths,
        slot,
    }))
}

/// Says in the log that a connection was closed, once an address and hour: an operator who has forgotten an address must
/// find it, and a scan must not fill the log. What was said this hour stands in a file that all sessions share.
fn name_stranger(slots: &Path, peer: IpAddr, now: SystemTime) -> io::Result<()> {
    let path = slots.join("strangers");
    let mut file = lock::exclusive_within(&path, STATE_LOCK_WAIT)?;
    let text = files::read_bounded(&path, MAX_STRANGERS)?;
    let (hour, source) = (clock::unix_seconds(now) / 3600, slot_key(peer));
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if text.lines().next() != Some(&hour.to_string()) {
        file.set_len(0)?;
        text = format!("{hour}\n");
    }
    // With room for the longest line, so that what is written can be read.
    if text.lines().skip(1).any(|line| line == source) || text.len() as u64 + 17 > MAX_STRANGERS {
        return Ok(());
    }
    log::info!("{peer}: closed, its address is in neither list (said once an hour)");
    text += &format!("{source}\n");
    file.write_all(text.as_bytes())
}
