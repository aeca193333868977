//! Telling a service manager how we are: sd_notify(3), one datagram a message.
//!
//! Where nobody asked to be told, every call does nothing. Never waits: whoever has a message that must arrive says it
//! again when there was no room. Trusts the two words of the environment that name the socket and the watchdog.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::os::process;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Heard {
    /// It is on its way, or there is nobody to tell.
    Yes,
    /// Whoever wants to know is too busy just now.
    NoRoom,
}

/// The way to whoever wants to know.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say.
    pub fn from_environment() -> Self {
        let word = |name| std::env::var(name).ok();
        let socket = word("NOTIFY_SOCKET").and_then(|name| {
            connect(&name)
                .map_err(|error| log::warn!("NOTIFY_SOCKET is {name:?}: {error}; nobody is told how we are"))
                .ok()
        });
        let (every, pid) = (word("WATCHDOG_USEC"), word("WATCHDOG_PID"));
        Self {
            watchdog: socket
                .as_ref()
                .and_then(|_| watchdog(every.as_deref(), pid.as_deref(), process::own_pid())),
            socket,
        }
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.socket.is_some()
    }

    /// How often [`Notifier::alive`] is to be said, with room to spare.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// We answer requests, and what we do, in one line of ours.
    pub fn ready(&self, text: &str) -> Heard {
        self.say(&format!("READY=1\nSTATUS={text}"))
    }

    /// What we do.
    pub fn status(&self, text: &str) -> Heard {
        self.say(&format!("STATUS={text}"))
    }

    /// We take in new settings; [`Notifier::ready`] follows when that is over, whatever came of it.
    pub fn reloading(&self) {
        // One that is lost is no harm: `ready` follows. systemd 253 and newer compares it with when it asked.
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        let _ = self.say(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}",
            now.unwrap_or_default().as_micros()
        ));
    }

    /// We are about to end.
    pub fn stopping(&self) {
        let _ = self.say("STOPPING=1");
    }

    /// We still turn round.
    pub fn alive(&self) -> Heard {
        self.say("WATCHDOG=1")
    }

    fn say(&self, message: &str) -> Heard {
        let sent = self
            .socket
            .as_ref()
            .map_or(Ok(0), |socket| socket.send(message.as_bytes()));
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Heard::NoRoom,
            Err(error) => log::debug!("tell our starter {message:?}: {error}"),
            Ok(_) => {}
        }
        Heard::Yes
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
fn watchdog(every: Option<&str>, pid: Option<&str>, own: i32) -> Option<Duration> {
    let ours = pid.is_none_or(|pid| pid == own.to_string());
    let every = every?.parse().ok().filter(|every| ours && *every > 0)?;
    Some(Duration::from_micros(every) / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram, notifier: &Notifier) {
        assert_eq!(notifier.ready("nothing runs"), Heard::Yes);
        assert_eq!(notifier.status("a run"), Heard::Yes);
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
        assert_eq!(nobody.ready("nothing runs"), Heard::Yes);
        assert!(!nobody.is_heard());
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
