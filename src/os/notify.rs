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

#[derive(Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    /// How often to send `WATCHDOG=1`: twice as often as asked.
    pub watchdog: Option<Duration>,
}

impl Notifier {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub fn from_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Self::default();
        };
        let socket = connect(&name).inspect_err(|error| {
            log::warn!("NOTIFY_SOCKET is `{name}`: {error}; the service manager gets no messages");
        });
        let (usec, pid) = (variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        let watchdog = watchdog(usec, pid, process::own_pid());
        Self {
            watchdog: watchdog.filter(|_| socket.is_ok()),
            socket: socket.ok(),
        }
    }

    pub fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// `RELOADING=1`, which `READY=1` must follow. One that is lost is no harm. systemd 253 and newer compares the time with
    /// when it asked.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.as_micros()));
    }

    /// False when the socket has no room just now. With nobody to send it to, a message counts as sent.
    pub fn send(&self, message: &str) -> bool {
        let Some(socket) = &self.socket else { return true };
        match socket.send(message.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => log::debug!("send `{}` to NOTIFY_SOCKET: {error}", message.escape_debug()),
            Ok(_) => {}
        }
        true
    }
}

/// A path, or `@` and a name without a file (unix(7): abstract).
fn connect(name: &str) -> io::Result<UnixDatagram> {
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None if name.starts_with('/') => SocketAddr::from_pathname(name)?,
        None => return Err(io::Error::other("it should be an absolute path or `@NAME`")),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Half of what the watchdog waits, when it watches the process `own` (sd_watchdog_enabled(3)).
fn watchdog(usec: Option<String>, pid: Option<String>, own: i32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid == own.to_string());
    let usec = usec?.parse().ok().filter(|usec| is_ours && *usec > 0)?;
    Some(Duration::from_micros(usec) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram, notifier: &Notifier) {
        assert!(notifier.send("READY=1\nSTATUS=nothing runs"));
        assert!(notifier.send("STATUS=a run"));
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
        assert!(nobody.send("READY=1") && !nobody.is_connected());
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
            let text = |text: &str| Some(text.to_owned());
            let found = watchdog(every.and_then(text), pid.and_then(text), 7);
            assert_eq!(found, expected, "{every:?} {pid:?}");
        }
    }
}
