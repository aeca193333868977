//! What went wrong, from terraform's last lines: its exit status is 1 for everything. Pure. What is not recognised is told
//! in terraform's own words.

use serde::Serialize;

/// Why a command of terraform failed.
pub struct TerraformError {
    /// The rest of a sentence that says what failed, and what to do.
    pub sentence: String,
    /// Whether trying again may help.
    pub is_transient: bool,
    /// Who holds the state's lock, as the outcome names it.
    pub lock: Option<Lock>,
}

/// What terraform says of a lock.
#[derive(Serialize)]
pub struct Lock {
    id: String,
    who: String,
    created: String,
    operation: String,
}

/// What needs more than terraform's own words, by these.
const HINTS: [(&str, &str); 2] = [
    (
        "saved plan is stale",
        "the state has changed since it was planned; run it again",
    ),
    (
        "provider dependency changes detected",
        "the repository has no .terraform.lock.hcl that names every provider for this host: commit one (`terraform \
         providers lock`)",
    ),
];

/// What a network that fails is told by: Go's own words, and those of terraform's registry client. Answers that say "later"
/// are among them, answers that say "no" are not.
const TRANSIENT: [&str; 17] = [
    "connection refused",
    "connection reset",
    "timed out",
    "i/o timeout",
    "handshake timeout",
    "client.timeout",
    "deadline exceeded",
    "no such host",
    "name resolution",
    "server misbehaving",
    "unreachable",
    "no route to host",
    "unexpected eof",
    "502 bad gateway",
    "503 service unavailable",
    "504 gateway timeout",
    "429 too many requests",
];

impl TerraformError {
    /// Reads terraform's last lines, oldest first.
    pub fn read(tail: &[String]) -> Self {
        let said = tail.join("\n").to_ascii_lowercase();
        let lock = said
            .contains("error acquiring the state lock")
            .then(|| lock_in(tail));
        let hint = HINTS.iter().find(|(words, _)| said.contains(words));
        let sentence = match (&lock, hint) {
            (
                Some(Lock {
                    id,
                    who,
                    created,
                    operation,
                }),
                _,
            ) => format!(
                "the state is locked by {who} since {created} for {operation}; when that is certainly over: terraform \
                 force-unlock {id}"
            ),
            (None, Some((_, hint))) => (*hint).to_owned(),
            (None, None) => error_in(tail),
        };
        let is_known = lock.is_some() || hint.is_some();
        Self {
            sentence,
            is_transient: !is_known && TRANSIENT.iter().any(|words| said.contains(words)),
            lock,
        }
    }
}

fn lock_in(tail: &[String]) -> Lock {
    let field = |name: &str| {
        let found = tail.iter().rev().find_map(|line| bare(line).strip_prefix(name));
        let found = found.map(str::trim).filter(|value| !value.is_empty());
        found.unwrap_or("unknown").to_owned()
    };
    Lock {
        id: field("ID:"),
        who: field("Who:"),
        created: field("Created:"),
        operation: field("Operation:"),
    }
}

/// Terraform's first error among its last lines, with the line that explains it where there is one.
fn error_in(tail: &[String]) -> String {
    let mut lines = tail.iter().map(|line| bare(line)).filter(|line| !line.is_empty());
    let Some(error) = lines.find_map(|line| line.strip_prefix("Error: ")) else {
        return tail
            .last()
            .map_or("it said nothing", |last| bare(last))
            .to_owned();
    };
    // Behind the headline come the place, an excerpt, and then the sentence.
    let is_excerpt = |line: &&str| {
        line.starts_with("on ") || line.starts_with("with ") || line.starts_with(|c: char| c.is_ascii_digit())
    };
    match lines.find(|line| !is_excerpt(line)) {
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

    fn of(text: &str) -> TerraformError {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        TerraformError::read(&lines)
    }

    #[test]
    fn a_lock_names_who_holds_it_and_how_to_free_it() {
        let error = of(
            "Error: Error acquiring the state lock\nError message: operation error S3: PutObject, 412\nLock Info:\n  \
             ID:        9db590f1-b6fe\n  Path:      b/k\n  Operation: OperationTypeApply\n  Who:       root@ci-7\n  \
             Version:   1.11.4\n  Created:   2026-01-02 03:04:05 UTC\n  Info:\nTerraform acquires a state lock",
        );
        let said = &error.sentence;
        for part in [
            "9db590f1-b6fe",
            "root@ci-7",
            "2026-01-02 03:04:05 UTC",
            "OperationTypeApply",
            "force-unlock",
        ] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!error.is_transient && error.lock.is_some());
        assert!(
            of("Error: Error acquiring the state lock")
                .sentence
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
            assert_eq!(of(text).is_transient, transient, "{text}");
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
            assert_eq!(of(text).sentence, told, "{text}");
        }
    }
}
