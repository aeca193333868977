//! Names: what has such a type has been checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::Invalid;

pub(super) fn is_token(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A type around a string that keeps a rule: its name, what a person calls it, the rule, and the rule in words.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:expr, $words:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let rule: fn(&str) -> bool = $rule;
                if !rule(text) {
                    return Err(Invalid(format!("{} {text:?}: {}", $what, $words)));
                }
                Ok($name(text.to_owned()))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use checked_string;

checked_string!(
    /// The name of a host, one token of a subject. `all`, `role` and names that begin with `_` have meanings of their own.
    Hostname,
    "hostname",
    |text| is_token(text, 63) && text != "all" && text != "role" && !text.starts_with('_'),
    "1 to 63 of A-Z a-z 0-9 _ -, not `all`, not `role`, not beginning with `_`"
);

checked_string!(
    /// A group of hosts within a tier, one token of a subject.
    Role,
    "role",
    |text| is_token(text, 63),
    "1 to 63 of A-Z a-z 0-9 _ -"
);

checked_string!(
    /// The id of one deploy: the name of a folder and of a unit, and the last token of `reply_to`, or both of its tokens.
    RunId,
    "id",
    |text| is_token(text, 129),
    "1 to 129 of A-Z a-z 0-9 _ -"
);

impl RunId {
    /// A version 4 UUID from random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        let bits = u128::from_be_bytes(bytes);
        let (a, b, c) = (bits >> 96, bits >> 80 & 0xffff, bits >> 64 & 0xfff);
        let (d, e) = (bits >> 48 & 0x3fff | 0x8000, bits & 0xffff_ffff_ffff);
        RunId(format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}"))
    }
}

/// Hosts that break without harm, or those that matter. Each has its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Test,
    Prod,
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What nixos-rebuild is asked to do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Switch,
    Boot,
    Test,
    DryActivate,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

checked_string!(
    /// A branch, a tag or a commit, fit to stand in the query of a flake URL.
    Revision,
    "revision",
    is_revision,
    "40 hexadecimal digits, or 1 to 200 of A-Z a-z 0-9 _ . / + - beginning with a letter, a digit or `_`, without `..`, `//`, `/.`, and not ending in `/`, `.`, `.lock`"
);

fn is_revision(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=200).contains(&text.len())
        && plain(text.as_bytes()[0])
        && text.bytes().all(|b| plain(b) || b"./+-".contains(&b))
        && !["..", "//", "/."].iter().any(|part| text.contains(part))
        && !["/", ".", ".lock"].iter().any(|end| text.ends_with(end))
}

impl Revision {
    /// A commit: 40 hexadecimal digits. Nix takes it as `rev=`, everything else as `ref=`.
    pub fn is_commit(&self) -> bool {
        is_commit(&self.0)
    }
}

/// Whether a text is a full commit hash.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_input_names_outside_the_rules_are_refused() {
        for bad in ["", "all", "role", "_x", "a.b", "a b", "é", "a*", &"x".repeat(64)] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad}");
        }
        for good in ["a", "dns-1", "Web_2", &"x".repeat(63)] {
            assert!(good.parse::<Hostname>().is_ok(), "{good}");
        }
        assert!(super::super::word::<Tier>("tier", "staging").is_err());
        assert!(super::super::word::<Action>("action", "reboot").is_err());
    }

    #[test]
    fn bad_input_revisions_that_git_or_a_url_would_read_otherwise_are_refused() {
        for bad in [
            "",
            "-b",
            "a..b",
            "a//b",
            "a/.b",
            "a@{1}",
            "a/",
            "a.",
            "a.lock",
            "a&dir=..",
            "a#b",
            "a b",
            "a\nb",
            ".a",
            "/a",
            "a%2f",
            "a?b",
            &"x".repeat(201),
        ] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
        for good in ["main", "feature/x", "v1.0+2", "refs/tags/v1.0", "_x", &"a".repeat(40)] {
            assert!(good.parse::<Revision>().is_ok(), "{good}");
        }
        assert!("a".repeat(40).parse::<Revision>().unwrap().is_commit());
        assert!(!"A".repeat(40).parse::<Revision>().unwrap().is_commit());
    }
}
