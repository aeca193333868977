//! The daemon's own log: one line an entry, control characters made harmless.
//!
//! It goes to standard error, in the form that is read there: with a time of its own for a file or a terminal, with a
//! level that journald and syslog understand for those two, which stamp lines themselves. The roles inherit standard
//! error, and by it the form.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::SystemTime;

use env_logger::{Builder, Target};
use log::Level;
use nix::sys::stat::fstat;

use crate::event::harmless;
use crate::os::syslog::{self, Syslog};
use crate::os::{clock, process};

/// Names the journal's stream (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A file, a terminal, nobody.
    Anyone,
    /// journald.
    Journal,
    /// syslog, to which it is connected.
    Syslog,
}

/// Starts logging with `filter` (env_logger's syntax). A second call changes nothing.
pub fn start(role: &'static str, filter: &str) {
    let (reader, mut builder) = (reader(), Builder::new());
    if let Some(syslog) = Syslog::inherited().filter(|_| reader == Reader::Syslog) {
        // One write a line: a datagram each.
        builder.target(Target::Pipe(Box::new(syslog)));
    }
    builder.parse_filters(filter).format(move |out, record| {
        let head = head(reader, role, record.level(), SystemTime::now());
        writeln!(out, "{head}{}", harmless(&record.args().to_string()))
    });
    let _ = builder.try_init();
}

/// Writes a line to standard error outside the log: why a command could not be done. A closed pipe is no reason to panic.
pub fn complain(text: &str) {
    let head = match reader() {
        Reader::Anyone => "engram-deployer: ".to_owned(),
        Reader::Journal => format!("<{}>", syslog::severity(Level::Error)),
        Reader::Syslog => syslog::head(Level::Error),
    };
    // At once: a part of it would be a line of its own to syslog.
    let _ = io::stderr().write_all(format!("{head}{}\n", harmless(text)).as_bytes());
}

/// The variable by which a role that logs knows who reads.
pub fn for_roles() -> Option<(String, String)> {
    let stream = std::env::var(JOURNAL_STREAM).ok()?;
    (reader() == Reader::Journal).then(|| (JOURNAL_STREAM.to_owned(), stream))
}

fn reader() -> Reader {
    let stream = std::env::var(JOURNAL_STREAM);
    match stream.is_ok_and(|stream| is_the_journal(&stream, io::stderr())) {
        true => Reader::Journal,
        false if Syslog::inherited().is_some() => Reader::Syslog,
        false => Reader::Anyone,
    }
}

/// Whether `stream`, as `DEVICE:INODE`, names what `errors` is: a unit may have sent it elsewhere since.
fn is_the_journal(stream: &str, errors: impl AsFd) -> bool {
    fstat(errors).is_ok_and(|errors| stream == format!("{}:{}", errors.st_dev, errors.st_ino))
}

fn head(reader: Reader, role: &str, level: Level, now: SystemTime) -> String {
    let pid = process::own_pid();
    match reader {
        Reader::Anyone => format!("{} {level:<5} {role}[{pid}] ", clock::rfc3339(now)),
        Reader::Journal => format!("<{}>{role}[{pid}] ", syslog::severity(level)),
        Reader::Syslog => format!("{}{role}: ", syslog::head(level)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn each_reader_gets_the_head_that_it_understands() {
        let pid = process::own_pid();
        let head = |reader, level| head(reader, "serve", level, SystemTime::UNIX_EPOCH);
        assert_eq!(
            head(Reader::Anyone, Level::Info),
            format!("1970-01-01T00:00:00.000Z INFO  serve[{pid}] ")
        );
        for (level, severity) in [
            (Level::Error, 3),
            (Level::Warn, 4),
            (Level::Info, 6),
            (Level::Debug, 7),
        ] {
            assert_eq!(head(Reader::Journal, level), format!("<{severity}>serve[{pid}] "));
        }
        assert_eq!(
            head(Reader::Syslog, Level::Warn),
            format!("<28>engram-deployer[{pid}]: serve: ")
        );
    }

    #[test]
    fn the_journal_is_known_by_its_device_and_inode_alone() {
        let (errors, other) = UnixStream::pair().unwrap();
        let seen = fstat(&errors).unwrap();
        let stream = format!("{}:{}", seen.st_dev, seen.st_ino);
        assert!(is_the_journal(&stream, &errors));
        assert!(!is_the_journal(&stream, &other));
        for wrong in ["", ":", "0:0", &format!("{stream}0"), &seen.st_ino.to_string()] {
            assert!(!is_the_journal(wrong, &errors), "{wrong}");
        }
    }
}
