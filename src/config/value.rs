//! One text -> one checked value: numbers, addresses, paths, users. An error is the sentence of what it should be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};

use log::LevelFilter;

use super::pins::is_word;
use super::url::port;
use super::{Account, Listen};

/// The kernel's PATH_MAX, with its NUL.
const LONGEST_PATH: usize = 4095;

/// A user's name longer than this no tool makes (useradd(8)).
const LONGEST_USER: usize = 32;

/// `:PORT` or `ADDRESS:PORT`. `localhost` is 127.0.0.1, as Go's listener has it first; other names are not looked up.
/// Port 0 lets the kernel choose.
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    let should = || {
        "`:PORT`, `ADDRESS:PORT` or `[V6-ADDRESS]:PORT`, such as `:8443`, with a literal address".to_owned()
    };
    let (host, digits) = text.rsplit_once(':').ok_or_else(should)?;
    let port = if digits == "0" { Some(0) } else { port(digits) };
    let port = port.ok_or_else(should)?;
    match host {
        "" => Ok(Listen::Everywhere(port)),
        "localhost" => Ok(Listen::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))),
        _ => text.parse().map(Listen::At).map_err(|_| should()),
    }
}

/// An absolute path without `.` and `..`: whoever reads the setting sees where it leads.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let straight = path
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !path.is_absolute() || !straight || path.parent().is_none() || text.len() > LONGEST_PATH {
        return Err("an absolute path below `/`, without `..`".into());
    }
    Ok(path.components().collect())
}

/// A program: an absolute path, or a bare name that is looked up in PATH when it is needed.
pub(super) fn program(text: &str) -> Result<PathBuf, String> {
    let bare = (1..=255).contains(&text.len()) && !text.starts_with(['-', '.']) && !text.contains(['/', ' ']);
    if bare {
        return Ok(PathBuf::from(text));
    }
    path(text).map_err(|_| "an absolute path, or a program's bare name to look up in PATH".into())
}

/// A whole number within `bounds`.
pub(super) fn count(bounds: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, String> {
    move |text| {
        let number = text.parse().ok().filter(|_| !text.starts_with('+'));
        number
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| format!("a whole number from {} to {}", bounds.start(), bounds.end()))
    }
}

/// A number of bytes: `0`, `1048576`, `500MiB`, `2GiB`. Powers of two alone, so that nobody has to ask.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let power = ["", "KiB", "MiB", "GiB", "TiB"].map(|one| one == unit);
    let power = power.iter().position(|is_it| *is_it);
    let number = digits.parse::<u64>().ok().zip(power);
    number
        .and_then(|(number, power)| number.checked_mul(1 << (10 * power)))
        .ok_or_else(|| "a number of bytes such as `500MiB` or `2GiB` (KiB, MiB, GiB, TiB), or `0`".into())
}

/// A user that is not root. 4294967295 is no uid: setresuid(2) takes it for "leave it".
pub(super) fn account(text: &str) -> Result<Account, String> {
    const LAST: u32 = u32::MAX - 1;
    let name = text.len() <= LONGEST_USER
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && is_word(text, b"_-.");
    match count(1..=LAST)(text) {
        Ok(id) => Ok(Account::Id(id)),
        Err(_) if name && text != "root" => Ok(Account::Name(text.to_owned())),
        Err(_) => Err(format!(
            "the name of a user other than root, or a number from 1 to {LAST} that is uid and gid"
        )),
    }
}

/// What env_logger takes: LEVEL, TARGET=LEVEL or TARGET, separated by commas, and `/TEXT` for the lines that have it. But no
/// lone word that is neither a level nor a target of ours: all logging would be off after `warning`, and nobody told.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    const OURS: &str = env!("CARGO_CRATE_NAME");
    let is_level = |word: &str| word.trim().parse::<LevelFilter>().is_ok();
    // Targets are matched by how they begin.
    let is_ours = |word: &str| word.starts_with(OURS) || OURS.starts_with(word);
    let is_good = |one: &&str| match one.split_once('=') {
        None => is_level(one) || is_ours(one),
        Some((target, "")) => is_ours(target),
        Some((_, level)) => is_level(level),
    };
    let (directives, lines) = text.split_once('/').unwrap_or((text, ""));
    let bad = directives.split(',').map(str::trim).find(|one| !is_good(one));
    match bad.or(lines.contains('/').then_some(lines)) {
        None => Ok(text.to_owned()),
        Some(bad) => Err(format!(
            "off, error, warn, info, debug or trace, or TARGET=LEVEL, separated by commas (`{bad}` is not)"
        )),
    }
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
                Ok(Listen::At(address.parse().expect(address))),
                "{text}"
            );
        }
        assert_eq!(listen(":8443"), Ok(Listen::Everywhere(8443)));
        assert_eq!(listen(":0"), Ok(Listen::Everywhere(0)));
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
            assert!(listen(bad).is_err(), "{bad:?}");
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
            assert_eq!(path(good), Ok(PathBuf::from(plain)), "{good}");
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
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_program_is_an_absolute_path_or_a_bare_name() {
        for good in ["docker", "/usr/bin/docker", "podman-docker", "docker.io"] {
            assert_eq!(program(good), Ok(PathBuf::from(good)));
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
            assert!(program(bad).is_err(), "{bad:?}");
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
            assert_eq!(count(1..=64)(text).ok(), number, "{text:?}");
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
            assert_eq!(log_filter(good).as_deref(), Ok(good));
        }
        for (text, bad) in [
            ("warning", "warning"),
            ("info,verbose", "verbose"),
            ("info=", "info="),
            ("engram-deployer", "engram-deployer"),
            ("engram_deployer=loud", "engram_deployer=loud"),
            ("a=info=debug", "a=info=debug"),
            ("info debug", "info debug"),
            ("5", "5"),
            ("info/a/b", "a/b"),
        ] {
            let should = log_filter(text).expect_err(text);
            assert!(should.ends_with(&format!("(`{bad}` is not)")), "{text}: {should}");
        }
    }

    #[test]
    fn nobody_is_told_to_become_root() {
        assert_eq!(account("65521"), Ok(Account::Id(65521)));
        assert_eq!(account("4294967294"), Ok(Account::Id(u32::MAX - 1)));
        assert_eq!(account("deploy-front"), Ok(Account::Name("deploy-front".into())));
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
            assert!(account(bad).is_err(), "{bad:?}");
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
            assert_eq!(bytes(text), Ok(number), "{text}");
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
            assert!(bytes(bad).is_err(), "{bad:?}");
        }
    }
}
