//! sd_notify(3): messages to the service manager, one datagram each.
//!
//! Without `NOTIFY_SOCKET` every call does nothing. Never waits: a message that must arrive is sent again when there was no
//! room. Trusts the variables that name the socket and the watchdog.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::os::process;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Delivery {
    /// It was sent, or there is nobody to send it to.
    Done,
    /// The socket's queue is full just now.
    NoRoom,
}

#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Self::default();
        };
        match connect(&name) {
            Err(error) => {
                log::warn!("NOTIFY_SOCKET is `{name}`: {error}; the service manager gets no messages");
                Self::default()
            }
            Ok(socket) => Self {
                socket: Some(socket),
                watchdog: watchdog(
                    variable("WATCHDOG_USEC").as_deref(),
                    variable("WATCHDOG_PID").as_deref(),
                    process::own_pid(),
                ),
            },
        }
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// How often to send `WATCHDOG=1`: twice as often as asked.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// `RELOADING=1`, which `READY=1` must follow. One that is lost is no harm. systemd 253 and newer compares the time with
    /// when it asked.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        let _ = self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    pub fn send(&self, message: &str) -> Delivery {
        let Some(socket) = &self.socket else {
            return Delivery::Done;
        };
        match socket.send(message.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Delivery::NoRoom,
            Err(error) => log::debug!("send `{}` to NOTIFY_SOCKET: {error}", message.escape_debug()),
            Ok(_) => {}
        }
        Delivery::Done
    }
}

/// A path, or `@` and a name without a file (unix(7): abstract).
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match (name.strip_prefix('@'), name.starts_with('/')) {
        (Some(name), _) => SocketAddr::from_abstract_name(name)?,
        (None, true) => SocketAddr::from_pathname(name)?,
        (None, false) => {
            return Err(io::Error::other(
                "it should be an absolute path, or a name after `@`",
            ));
        }
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Half of what the watchdog waits, when it watches the process `own` (sd_watchdog_enabled(3)).
fn watchdog(usec: Option<&str>, pid: Option<&str>, own: i32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid == own.to_string());
    let usec = usec?.parse().ok().filter(|usec| is_ours && *usec > 0)?;
    Some(Duration::from_micros(usec) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram, notifier: &Notifier) {
        assert_eq!(notifier.send("READY=1\nSTATUS=nothing runs"), Delivery::Done);
        assert_eq!(notifier.send("STATUS=a run"), Delivery::Done);
        notifier.reloading();
        let mut said = Vec::new();
        for _ in 0..3 {
            let mut bytes = [0; 256];
            let count = listener.recv(&mut bytes).unwrap();
            said.push(String::from_utf8(bytes[..count].to_vec()).unwrap());
        }
        assert_eq!(said[..2], ["READY=1\nSTATUS=nothing runs", "STATUS=a run"]);
        let usec = said[2].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(usec.parse::<u64>().unwrap() > 0);
    }

    fn to(name: &str) -> Notifier {
        Notifier {
            socket: Some(connect(name).unwrap()),
            watchdog: None,
        }
    }

    #[test]
    fn a_message_reaches_a_path_and_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("notify-{}", process::own_pid()));
        heard(&UnixDatagram::bind(&path).unwrap(), &to(path.to_str().unwrap()));
        std::fs::remove_file(&path).unwrap();
        let name = format!("engram-notify-{}", process::own_pid());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        heard(
            &UnixDatagram::bind_addr(&address).unwrap(),
            &to(&format!("@{name}")),
        );
    }

    #[test]
    fn a_name_that_is_no_socket_is_refused_and_silence_is_allowed() {
        for name in [
            "",
            "relative",
            "vsock:2:1234",
            "/nonexistent/notify",
            "@nobody-listens-here",
        ] {
            assert!(connect(name).is_err(), "{name}");
        }
        let nobody = Notifier::default();
        assert_eq!(nobody.send("READY=1"), Delivery::Done);
        assert!(!nobody.is_connected());
    }

    #[test]
    fn the_watchdog_is_fed_twice_as_often_as_it_asks_and_only_by_whom_it_watches() {
        let half = Some(Duration::from_secs(5));
        for (every, pid, expected) in [
            (Some("10000000"), Some("7"), half),
            (Some("10000000"), None, half),
            (Some("10000000"), Some("8"), None),
            (Some("10000000"), Some("nonsense"), None),
            (Some("0"), Some("7"), None),
            (Some("often"), Some("7"), None),
            (None, Some("7"), None),
        ] {
            assert_eq!(watchdog(every, pid, 7), expected, "{every:?} {pid:?}");
        }
    }
}
