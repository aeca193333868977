//! Names: what has such a type has been checked.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use super::Invalid;

fn is_token(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// A type around a checked string, with the traits that every one of them needs.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident) => {
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
    Hostname
);

impl FromStr for Hostname {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let reserved = text == "all" || text == "role" || text.starts_with('_');
        if reserved || !is_token(text, 63) {
            return Err(Invalid(format!(
                "hostname {text:?}: 1 to 63 of A-Z a-z 0-9 _ -, not `all`, not `role`, not beginning with `_`"
            )));
        }
        Ok(Hostname(text.to_owned()))
    }
}

checked_string!(
    /// A group of hosts within a tier, one token of a subject.
    Role
);

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !is_token(text, 63) {
            return Err(Invalid(format!("role {text:?}: 1 to 63 of A-Z a-z 0-9 _ -")));
        }
        Ok(Role(text.to_owned()))
    }
}

checked_string!(
    /// The id of one deploy: the name of a folder and of a unit, and the last token of `reply_to`.
    RunId
);

impl FromStr for RunId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Two tokens of a reply subject, joined.
        if !is_token(text, 129) {
            return Err(Invalid(format!("id {text:?}: 1 to 129 of A-Z a-z 0-9 _ -")));
        }
        Ok(RunId(text.to_owned()))
    }
}

impl RunId {
    /// A version 4 UUID from random bytes.
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        RunId(text)
    }
}

/// Hosts that break without harm, or those that matter. Each has its own keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    Test,
    Prod,
}

impl Tier {
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Test => "test",
            Tier::Prod => "prod",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Tier {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "test" => Ok(Tier::Test),
            "prod" => Ok(Tier::Prod),
            _ => Err(Invalid(format!("tier {text:?}: `test` or `prod`"))),
        }
    }
}

/// What nixos-rebuild is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    Switch,
    Boot,
    Test,
    DryActivate,
}

impl Action {
    pub const ALL: [Action; 4] = [Action::Switch, Action::Boot, Action::Test, Action::DryActivate];

    pub fn as_str(self) -> &'static str {
        match self {
            Action::Switch => "switch",
            Action::Boot => "boot",
            Action::Test => "test",
            Action::DryActivate => "dry-activate",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Action::ALL
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| Invalid(format!("action {text:?}: `switch`, `boot`, `test` or `dry-activate`")))
    }
}

checked_string!(
    /// A branch, a tag or a commit, fit to stand in the query of a flake URL.
    Revision
);

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

impl FromStr for Revision {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let allowed = |b: u8| plain(b) || matches!(b, b'.' | b'/' | b'+' | b'-');
        let shape = (1..=200).contains(&text.len()) && plain(text.as_bytes()[0]) && text.bytes().all(allowed);
        let never = ["..", "//", "/.", "@{"].iter().any(|part| text.contains(part));
        let end = ["/", ".", ".lock"].iter().any(|end| text.ends_with(end));
        if !shape || never || end {
            return Err(Invalid(format!(
                "revision {text:?}: 40 hexadecimal digits, or 1 to 200 of A-Z a-z 0-9 _ . / + - beginning with a letter, a digit or `_`, without `..`, `//`, `/.`, and not ending in `/`, `.`, `.lock`"
            )));
        }
        Ok(Revision(text.to_owned()))
    }
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
        assert!("staging".parse::<Tier>().is_err());
        assert!("reboot".parse::<Action>().is_err());
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
