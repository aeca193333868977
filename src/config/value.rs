//! One text -> one checked value: numbers, addresses, paths, users. What it should be stands in `contrib/settings.txt`.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

use log::LevelFilter;

use super::Listen;
use super::pins::is_word;
use super::url::port;

/// The kernel's PATH_MAX, with its NUL.
const LONGEST_PATH: usize = 4095;

/// A user's name longer than this no tool makes (useradd(8)).
const LONGEST_USER: usize = 32;

/// `:PORT` or `ADDRESS:PORT`. `localhost` is 127.0.0.1, as Go's listener has it first; other names are not looked up.
/// Port 0 lets the kernel choose.
pub fn listen(text: &str) -> Option<Listen> {
    let (host, digits) = text.rsplit_once(':')?;
    let port = if digits == "0" { 0 } else { port(digits)? };
    match host {
        "" => Some(Listen::Everywhere(port)),
        "localhost" => Some(Listen::At((Ipv4Addr::LOCALHOST, port).into())),
        _ => text.parse().ok().map(Listen::At),
    }
}

/// An absolute path without `.` and `..`: whoever reads the setting sees where it leads.
pub fn path(text: &str) -> Option<PathBuf> {
    let path = Path::new(text);
    let is_straight = |part| matches!(part, Component::RootDir | Component::Normal(_));
    let straight = path.is_absolute() && path.components().all(is_straight);
    let good = straight && path.parent().is_some() && text.len() <= LONGEST_PATH;
    good.then(|| path.components().collect())
}

/// A program: an absolute path, or a bare name that is looked up in PATH when it is needed.
pub fn program(text: &str) -> Option<PathBuf> {
    let bare = (1..=255).contains(&text.len()) && !text.starts_with(['-', '.']) && !text.contains(['/', ' ']);
    if bare { Some(text.into()) } else { path(text) }
}

/// A whole number within `bounds`.
pub fn count(bounds: RangeInclusive<u32>) -> impl Fn(&str) -> Option<u32> {
    move |text| {
        let number = text.parse().ok().filter(|_| !text.starts_with('+'));
        number.filter(|number| bounds.contains(number))
    }
}

/// A number of bytes: `0`, `1048576`, `500MiB`, `2GiB`. Powers of two alone, so that nobody has to ask.
pub fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let power = ["", "KiB", "MiB", "GiB", "TiB"]
        .iter()
        .position(|one| *one == unit)?;
    digits.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

/// A user that is not root. 4294967295 is no uid: setresuid(2) takes it for "leave it".
pub fn user(text: &str) -> Option<String> {
    if let Some(id) = count(1..=u32::MAX - 1)(text) {
        return Some(id.to_string());
    }
    let is_name = text.len() <= LONGEST_USER
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && is_word(text, b"_-.");
    (is_name && text != "root").then(|| text.to_owned())
}

/// What env_logger takes: LEVEL, TARGET=LEVEL or TARGET, separated by commas, and `/TEXT` for the lines that have it. But no
/// lone word that is neither a level nor a target of ours: all logging would be off after `warning`, and nobody told.
pub fn log_filter(text: &str) -> Option<String> {
    const OURS: &str = env!("CARGO_CRATE_NAME");
    let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
    // Targets are matched by how they begin.
    let is_ours = |word: &str| word.starts_with(OURS) || OURS.starts_with(word);
    let is_good = |one: &str| match one.split_once('=') {
        None => is_level(one) || is_ours(one),
        Some((target, "")) => is_ours(target),
        Some((_, level)) => is_level(level),
    };
    let (directives, lines) = text.split_once('/').unwrap_or((text, ""));
    let good = directives.split(',').map(str::trim).all(is_good) && !lines.contains('/');
    good.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_a_port_or_a_literal_address_with_one() {
        for (text, address) in [
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("0.0.0.0:443", "0.0.0.0:443"),
            ("[::1]:8443", "[::1]:8443"),
            ("[::]:8443", "[::]:8443"),
            ("localhost:0", "127.0.0.1:0"),
        ] {
            assert_eq!(
                listen(text),
                Some(Listen::At(address.parse().expect(address))),
                "{text}"
            );
        }
        assert_eq!(listen(":8443"), Some(Listen::Everywhere(8443)));
        assert_eq!(listen(":0"), Some(Listen::Everywhere(0)));
        for bad in [
            "",
            ":",
            "8443",
            ":65536",
            ":-1",
            ":+1",
            ":https",
            "::1:8443",
            "[::1]",
            "host:8443",
            "[localhost]:1",
            "127.0.0.1",
            "127.0.0.1:",
            " :8443",
            ":8443 ",
            "*:8443",
            "010.0.0.1:80",
            "[::1]:8443:1",
        ] {
            assert!(listen(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_is_absolute_and_leads_where_it_seems_to() {
        for (good, plain) in [
            ("/etc/x.pem", "/etc/x.pem"),
            ("/a//b/", "/a/b"),
            ("/a b/\u{e9}", "/a b/\u{e9}"),
            ("/a/./b", "/a/b"),
        ] {
            assert_eq!(path(good), Some(PathBuf::from(plain)), "{good}");
        }
        for bad in [
            "",
            "x.pem",
            "./x",
            "../x",
            "/etc/../x",
            "/",
            "//",
            "~/x",
            &format!("/{}", "x".repeat(4095)),
        ] {
            assert!(path(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_program_is_an_absolute_path_or_a_bare_name() {
        for good in ["docker", "/usr/bin/docker", "podman-docker", "docker.io"] {
            assert_eq!(program(good), Some(PathBuf::from(good)));
        }
        for bad in [
            "bin/docker",
            "./docker",
            ".",
            "..",
            "-x",
            "docker run",
            "/usr/../docker",
            "",
        ] {
            assert!(program(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn a_number_is_plain_digits_within_its_bounds() {
        for (text, number) in [
            ("1", Some(1)),
            ("64", Some(64)),
            ("007", Some(7)),
            ("65", None),
            ("0", None),
            ("", None),
            ("+5", None),
            ("-5", None),
            ("5.0", None),
            ("5k", None),
            (" 5", None),
            ("99999999999", None),
        ] {
            assert_eq!(count(1..=64)(text), number, "{text:?}");
        }
    }

    #[test]
    fn a_log_filter_is_what_env_logger_takes_and_no_slip_that_turns_all_off() {
        for good in [
            "warn",
            "OFF",
            " Debug ",
            "info,engram_deployer::run=trace",
            "warn, rustls = off ,",
            "engram_deployer",
            "engram_deployer::run=",
            "=info",
            ",",
            "info/accepted",
            "/accepted",
        ] {
            assert_eq!(log_filter(good).as_deref(), Some(good));
        }
        for bad in [
            "warning",
            "info,verbose",
            "info=",
            "engram-deployer",
            "engram_deployer=loud",
            "a=info=debug",
            "info debug",
            "5",
            "info/a/b",
        ] {
            assert!(log_filter(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn nobody_is_told_to_become_root() {
        for (text, name) in [
            ("65521", "65521"),
            ("065521", "65521"),
            ("4294967294", "4294967294"),
            ("deploy-front", "deploy-front"),
        ] {
            assert_eq!(user(text).as_deref(), Some(name));
        }
        for bad in [
            "0",
            "00",
            "4294967295",
            "4294967296",
            "root",
            "",
            "-1",
            "+5",
            "a b",
            "a:b",
            "1a",
            "-x",
            "\u{e9}",
            "abcdefghijklmnopqrstuvwxyz0123456",
        ] {
            assert!(user(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn bytes_are_counted_in_powers_of_two() {
        for (text, number) in [
            ("0", 0),
            ("7", 7),
            ("1KiB", 1024),
            ("500MiB", 500 << 20),
            ("2GiB", 2 << 30),
            ("1TiB", 1 << 40),
        ] {
            assert_eq!(bytes(text), Some(number), "{text}");
        }
        for bad in [
            "",
            "GiB",
            "1GB",
            "1.5GiB",
            "-1",
            "+1",
            "1 GiB",
            "1gib",
            "99999999999TiB",
            "1GiB1",
        ] {
            assert!(bytes(bad).is_none(), "{bad:?}");
        }
    }
}
