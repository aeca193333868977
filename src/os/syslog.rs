//! The host's syslog: datagrams to `/dev/log`, in the form of RFC 3164 that syslog(3) writes there.
//!
//! There is no time in a line: it would have to be the host's local time, which nothing here can tell, and every syslog
//! daemon stamps a line that has none (RFC 3164, 4.3.2). Never waits for long: a syslog that hangs loses lines, and hangs
//! nobody else.

use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use log::Level;
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockType, send};

use crate::limits::{MAX_SYSLOG_LINE, SYSLOG_PATIENCE};
use crate::os::{net, process};

/// Where syslog listens.
pub const PLACE: &str = "/dev/log";

/// The facility of daemons (RFC 3164, 4.1.1), in its place in a priority.
const DAEMON: u8 = 3 << 3;

/// The socket of a process whose standard error is syslog.
pub struct Syslog {
    socket: UnixDatagram,
    place: PathBuf,
    /// Whether the line before this one found no room: once it was waited for, and not again.
    is_full: bool,
}

/// A socket that is connected to syslog, for standard error.
///
/// # Errors
/// When nobody listens.
pub fn connect(place: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(place)?;
    // Of the socket, and so of every role that inherits it.
    socket.set_write_timeout(Some(SYSLOG_PATIENCE))?;
    Ok(socket)
}

impl Syslog {
    fn new(socket: UnixDatagram, place: &Path) -> Self {
        Self {
            socket,
            place: place.to_owned(),
            is_full: false,
        }
    }

    /// Standard error, where [`connect`]'s socket was put there; `None` when it is something else.
    pub fn inherited() -> Option<Self> {
        let errors = io::stderr();
        let is_syslog = net::kind(&errors)? == (AddressFamily::Unix, SockType::Datagram);
        let socket = errors.as_fd().try_clone_to_owned().ok()?;
        is_syslog.then(|| Self::new(socket.into(), Path::new(PLACE)))
    }
}

/// A write is a line; it may be lost.
impl Write for Syslog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = bytes.trim_ascii_end();
        let line = &line[..line.len().min(MAX_SYSLOG_LINE)];
        let mut flags = MsgFlags::MSG_NOSIGNAL;
        flags.set(MsgFlags::MSG_DONTWAIT, self.is_full);
        match send(self.socket.as_raw_fd(), line, flags) {
            Ok(_) => self.is_full = false,
            Err(Errno::EAGAIN) => self.is_full = true,
            // It was restarted, and listens anew.
            Err(_) => {
                if let Ok(socket) = connect(&self.place) {
                    let _ = socket.send(line);
                    self.socket = socket;
                }
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What stands before the text of a line: `<27>engram-deployer[123]: `.
pub fn head(level: Level) -> String {
    let priority = DAEMON | severity(level);
    format!("<{priority}>engram-deployer[{}]: ", process::own_pid())
}

/// A level as syslog numbers it, and sd-daemon(3) as well.
pub fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Shutdown;
    use std::time::Duration;

    #[test]
    fn a_line_names_its_facility_its_level_and_us() {
        for (level, priority) in [
            (Level::Error, "<27>"),
            (Level::Warn, "<28>"),
            (Level::Info, "<30>"),
            (Level::Debug, "<31>"),
            (Level::Trace, "<31>"),
        ] {
            let pid = std::process::id();
            assert_eq!(head(level), format!("{priority}engram-deployer[{pid}]: "));
        }
    }

    #[test]
    fn every_write_is_one_line_also_after_syslog_was_restarted() {
        let place = std::env::temp_dir().join(format!("syslog-{}", process::own_pid()));
        let daemon = UnixDatagram::bind(&place).unwrap();
        let mut syslog = Syslog::new(connect(&place).unwrap(), &place);
        syslog.write_all(b"<30>one\n").unwrap();
        syslog.write_all(b"<30>two\n").unwrap();
        let received = |daemon: &UnixDatagram| {
            daemon.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut bytes = [0; 2 * MAX_SYSLOG_LINE];
            let count = daemon.recv(&mut bytes).unwrap();
            bytes[..count].to_vec()
        };
        assert_eq!(
            (received(&daemon), received(&daemon)),
            (b"<30>one".to_vec(), b"<30>two".to_vec())
        );
        // Shut down as well: a child that another test starts at this moment has a copy of it until its exec.
        daemon.shutdown(Shutdown::Both).unwrap();
        drop(daemon);
        std::fs::remove_file(&place).unwrap();
        syslog.write_all(b"<30>nobody hears this\n").unwrap();
        let daemon = UnixDatagram::bind(&place).unwrap();
        syslog.write_all(&[b'x'; 2 * MAX_SYSLOG_LINE]).unwrap();
        assert_eq!(received(&daemon).len(), MAX_SYSLOG_LINE);
        std::fs::remove_file(&place).unwrap();
    }

    #[test]
    fn a_syslog_that_reads_nothing_keeps_nobody_waiting_for_long() {
        let place = std::env::temp_dir().join(format!("syslog-full-{}", process::own_pid()));
        let _daemon = UnixDatagram::bind(&place).unwrap();
        let mut syslog = Syslog::new(connect(&place).unwrap(), &place);
        let begin = std::time::Instant::now();
        // Far more than any queue of datagrams holds.
        for _ in 0..10_000 {
            syslog.write_all(b"<30>again\n").unwrap();
        }
        assert!(begin.elapsed() < 10 * SYSLOG_PATIENCE, "{:?}", begin.elapsed());
        std::fs::remove_file(&place).unwrap();
    }
}
