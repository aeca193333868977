//! What went wrong, from what terraform said last: its exit status is 1 for everything.
//!
//! Pure: lines in, a sentence and what to do out. What is not recognised is told in terraform's own words.

use std::fmt;

use serde_json::{Value, json};

/// Why a command of terraform failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Somebody holds the state's lock.
    Locked(LockInfo),
    /// The state has changed since it was planned.
    Stale,
    /// The repository has no lock file for its providers, or not for all.
    NoLockFile,
    /// The network failed; it may do so no longer in a while.
    Network(String),
    /// In terraform's words.
    Other(String),
}

/// Who holds a state's lock, as terraform names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockInfo {
    /// For `terraform force-unlock`.
    pub id: String,
    /// `USER@HOST`.
    pub who: String,
    /// When, as terraform writes it.
    pub created: String,
    /// What it was taken for.
    pub operation: String,
}

/// What is said where the network failed, in lower case: Go's own words, and those of terraform's registry client. Answers
/// that say "later" are among them, answers that say "no" are not.
const NETWORK: [&str; 17] = [
    "connection refused",
    "connection reset by peer",
    "connection timed out",
    "i/o timeout",
    "tls handshake timeout",
    "client.timeout exceeded",
    "context deadline exceeded",
    "no such host",
    "temporary failure in name resolution",
    "server misbehaving",
    "network is unreachable",
    "no route to host",
    "unexpected eof",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway timeout",
    "429 too many requests",
];

impl Fault {
    /// Reads terraform's last lines, oldest first.
    pub fn of(tail: &[String]) -> Self {
        let all = tail.join("\n").to_lowercase();
        let error = error_in(tail);
        if all.contains("error acquiring the state lock") {
            return Fault::Locked(LockInfo::of(tail));
        }
        if all.contains("saved plan is stale") {
            return Fault::Stale;
        }
        if all.contains("provider dependency changes detected") {
            return Fault::NoLockFile;
        }
        if NETWORK.iter().any(|word| all.contains(word)) {
            return Fault::Network(error);
        }
        Fault::Other(error)
    }

    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Fault::Network(_))
    }
}

/// The rest of a sentence that says what failed.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Locked(lock) => write!(
                f,
                "the state is locked by {} since {} for {}; when that is certainly over: terraform force-unlock {}",
                lock.who, lock.created, lock.operation, lock.id
            ),
            Fault::Stale => f.write_str("the state has changed since it was planned; run it again"),
            Fault::NoLockFile => f.write_str(
                "the repository has no .terraform.lock.hcl that names every provider, and so no checksums: run \
                 `terraform init` (for this host's platform, too) and commit the file, or set DEPLOYER_TF_LOCKFILE=update",
            ),
            Fault::Network(error) | Fault::Other(error) => f.write_str(error),
        }
    }
}

impl LockInfo {
    fn of(tail: &[String]) -> Self {
        let field = |name: &str| {
            let found = tail.iter().rev().find_map(|line| bare(line).strip_prefix(name));
            match found.map(str::trim) {
                None | Some("") => "unknown".to_owned(),
                Some(value) => value.to_owned(),
            }
        };
        Self {
            id: field("ID:"),
            who: field("Who:"),
            created: field("Created:"),
            operation: field("Operation:"),
        }
    }

    /// As the outcome names it.
    pub fn value(&self) -> Value {
        json!({"id": self.id, "who": self.who, "created": self.created, "operation": self.operation})
    }
}

/// Terraform's first error among its last lines, with the line that explains it where there is one.
fn error_in(tail: &[String]) -> String {
    let mut lines = tail.iter().map(|line| bare(line)).filter(|line| !line.is_empty());
    let Some(error) = lines.find_map(|line| line.strip_prefix("Error: ")) else {
        return tail
            .last()
            .map_or("it said nothing".to_owned(), |last| bare(last).to_owned());
    };
    // Behind the headline come the place, an excerpt, and then the sentence.
    let excerpt = |line: &&str| {
        line.starts_with("on ") || line.starts_with("with ") || line.starts_with(|c: char| c.is_ascii_digit())
    };
    match lines.find(|line| !excerpt(line)) {
        Some(sentence) if !sentence.starts_with("Error: ") => format!("{error}: {sentence}"),
        _ => error.to_owned(),
    }
}

/// A line without the frame that terraform draws around errors.
fn bare(line: &str) -> &str {
    line.trim_start_matches(['\u{2577}', '\u{2502}', '\u{2575}', ' '])
        .trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Fault {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Fault::of(&lines)
    }

    #[test]
    fn a_lock_names_who_holds_it_and_how_to_free_it() {
        let fault = of(
            "Error: Error acquiring the state lock\nError message: operation error S3: PutObject, 412\nLock Info:\n  \
             ID:        9db590f1-b6fe\n  Path:      b/k\n  Operation: OperationTypeApply\n  Who:       root@ci-7\n  \
             Version:   1.11.4\n  Created:   2026-01-02 03:04:05 UTC\n  Info:\nTerraform acquires a state lock",
        );
        let said = fault.to_string();
        for part in [
            "9db590f1-b6fe",
            "root@ci-7",
            "2026-01-02 03:04:05 UTC",
            "OperationTypeApply",
            "force-unlock",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!fault.is_transient());
        assert!(
            of("Error: Error acquiring the state lock")
                .to_string()
                .contains("unknown")
        );
    }

    #[test]
    fn the_network_is_worth_another_try_and_a_no_is_not() {
        for (text, transient) in [
            (
                "Error: Failed to query available provider packages\ncould not connect to registry.terraform.io: dial tcp: lookup registry.terraform.io: no such host",
                true,
            ),
            (
                "Error: Failed to download module\nGet \"https://x\": dial tcp 127.0.0.1:1: connect: connection refused",
                true,
            ),
            (
                "Error: Failed to install provider\nnet/http: TLS handshake timeout",
                true,
            ),
            (
                "Error: Failed to install provider\nunsuccessful request: 503 Service Unavailable",
                true,
            ),
            (
                "Error: Failed to query available provider packages\nprovider registry does not have a provider named x/y",
                false,
            ),
            ("Error: Invalid expression", false),
            (
                "Error: Provider dependency changes detected\nconnection refused",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(of(text).is_transient(), transient, "{text}");
        }
    }

    #[test]
    fn the_first_error_is_told_with_its_sentence() {
        for (text, told) in [
            (
                "Error: Unsupported argument\n  on main.tf line 3, in resource \"x\" \"y\":\n   3:   foo = 1\nAn argument named \"foo\" is not expected here.",
                "Unsupported argument: An argument named \"foo\" is not expected here.",
            ),
            (
                "\u{2577}\n\u{2502} Error: No value\n\u{2502} \n\u{2575}",
                "No value",
            ),
            ("Error: one\nError: two", "one"),
            ("killed", "killed"),
            ("", "it said nothing"),
        ] {
            assert_eq!(of(text).to_string(), told, "{text}");
        }
    }
}
