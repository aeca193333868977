//! What git means when it fails. Pure.
//!
//! It exits with 128 whatever happened; only its words, and those that the server sends through it, tell an unknown
//! commit from a refused token. The words are those of git 2.30 to 2.47 in the C locale, of GitHub and of GitLab.

/// A kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The server has no such commit.
    NoCommit,
    /// The server has no such reference.
    NoReference,
    /// The server gives what a reference names and nothing else.
    ReferencesOnly,
    /// It wants other credentials, or any.
    Credentials,
    /// It has no such repository, or will not say so.
    NoRepository,
    /// It sends git elsewhere.
    Redirect,
    /// Its certificate is not trusted.
    Certificate,
    /// It does not answer, or not to the end.
    Network,
    /// It is in trouble itself.
    Server,
    /// There is no room.
    Disk,
    /// What it sent is not well-formed.
    Objects,
    /// Anything else.
    Other,
}

/// In order, because one text may hold several of these. Lower case.
const WORDS: &[(&[&str], Why)] = &[
    (&["not our ref"], Why::NoCommit),
    (&["unadvertised object"], Why::ReferencesOnly),
    (&["couldn't find remote ref"], Why::NoReference),
    (
        &[
            "no space left on device",
            "out of diskspace",
            "disk quota exceeded",
        ],
        Why::Disk,
    ),
    (
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "invalid username or",
            "terminal prompts disabled",
            "access denied",
            "returned error: 401",
            "returned error: 403",
            "write access to repository not granted",
        ],
        Why::Credentials,
    ),
    (
        &["returned error: 30", "unable to update url base from redirection"],
        Why::Redirect,
    ),
    (
        &[
            "repository not found",
            "' not found",
            "returned error: 404",
            "does not appear to be a git repository",
        ],
        Why::NoRepository,
    ),
    (&["certificate", "ssl ", "gnutls", "tls "], Why::Certificate),
    (&["returned error: 5", "returned error: 429"], Why::Server),
    (
        &[
            "could not resolve host",
            "couldn't resolve host",
            "failed to connect",
            "couldn't connect",
            "could not connect",
            "connection refused",
            "connection reset",
            "connection timed out",
            "operation timed out",
            "operation too slow",
            "early eof",
            "hung up",
            "curl ",
            "recv failure",
            "empty reply",
            "transfer closed",
        ],
        Why::Network,
    ),
    (
        &["fsck", "bad object", "corrupt", "invalid index-pack"],
        Why::Objects,
    ),
];

impl Why {
    /// What it means and what to do, for a person. Empty where only git's own words tell anything.
    pub(super) fn says(self) -> &'static str {
        match self {
            Why::NoCommit => {
                "the repository has no such commit (a fork's? gone with a force-push? not pushed yet?)"
            }
            Why::NoReference => "the repository has no such reference, check DEPLOYER_TF_APPLY_REF",
            Why::ReferencesOnly => "the server gives no commit by its id alone",
            Why::Credentials => {
                "the server refuses the credentials, or wants some: check the GitHub App (DEPLOYER_TF_APPLY_GH_APP_ID)"
            }
            Why::NoRepository => {
                "there is no such repository, or these credentials may not see it: check DEPLOYER_TF_APPLY_REPO_URL"
            }
            Why::Redirect => {
                "the server sends us elsewhere, and that is not followed: set DEPLOYER_TF_APPLY_REPO_URL to its new address"
            }
            Why::Certificate => "the server's certificate is not trusted here",
            Why::Network => "the server could not be reached, or did not answer to the end",
            Why::Server => "the server is in trouble, try again later",
            Why::Disk => "the disk is full, make room and try again",
            Why::Objects => "what the server sent is not well-formed, and is not used",
            Why::Other => "",
        }
    }
}

/// What kind of failure these last lines tell of.
pub(super) fn why(tail: &[String]) -> Why {
    let said = tail.join("\n").to_ascii_lowercase();
    let found = WORDS
        .iter()
        .find(|(words, _)| words.iter().any(|word| said.contains(word)));
    found.map_or(Why::Other, |(_, why)| *why)
}

/// The line that says what went wrong; `or` when there is none.
pub(super) fn last_words(tail: &[String], or: &str) -> String {
    let said = || {
        tail.iter()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty())
    };
    let begins = |mark: &'static str| said().find(move |line| line.starts_with(mark));
    let told = begins("remote: ")
        .or_else(|| begins("fatal: "))
        .or_else(|| begins("error: "));
    told.or_else(|| said().next_back()).unwrap_or(or).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_failure_is_told_by_its_kind() {
        for (said, expected) in [
            ("fatal: remote error: upload-pack: not our ref 12", Why::NoCommit),
            (
                "fatal: couldn't find remote ref refs/heads/nope",
                Why::NoReference,
            ),
            (
                "error: Server does not allow request for unadvertised object 17b5",
                Why::ReferencesOnly,
            ),
            (
                "remote: Invalid username or token. Password authentication is not supported for Git operations.\n\
                 fatal: Authentication failed for 'https://github.com/a/b.git/'",
                Why::Credentials,
            ),
            (
                "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
                Why::Credentials,
            ),
            (
                "fatal: unable to access 'https://github.com/a/b/': The requested URL returned error: 403",
                Why::Credentials,
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://x/' not found",
                Why::NoRepository,
            ),
            (
                "fatal: '/srv/x' does not appear to be a git repository",
                Why::NoRepository,
            ),
            (
                "fatal: unable to access 'http://x/': The requested URL returned error: 302",
                Why::Redirect,
            ),
            (
                "fatal: unable to access 'http://x/': The requested URL returned error: 502",
                Why::Server,
            ),
            (
                "fatal: unable to access 'https://x/': Could not resolve host: x",
                Why::Network,
            ),
            (
                "fatal: unable to access 'http://x/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
                Why::Network,
            ),
            ("fatal: the remote end hung up unexpectedly", Why::Network),
            (
                "fatal: unable to access 'https://x/': SSL certificate problem: self-signed certificate",
                Why::Certificate,
            ),
            (
                "error: object 1: treeNotSorted: not properly sorted\nfatal: fsck error in packed object",
                Why::Objects,
            ),
            ("fatal: write error: No space left on device", Why::Disk),
            (
                "fatal: sha1 file '/x/.git/index.lock' write error. Out of diskspace",
                Why::Disk,
            ),
            ("something new", Why::Other),
            ("", Why::Other),
        ] {
            assert_eq!(why(&lines(said)), expected, "{said}");
        }
    }

    #[test]
    fn the_table_is_in_lower_case() {
        for word in WORDS.iter().flat_map(|(words, _)| *words) {
            assert_eq!(*word, word.to_ascii_lowercase());
        }
    }

    #[test]
    fn the_servers_own_words_come_first() {
        let tail = lines("remote: Repository not found.\nfatal: repository 'https://x/' not found\n");
        assert_eq!(last_words(&tail, "x"), "remote: Repository not found.");
        assert_eq!(last_words(&lines("a\nb\n\n"), "x"), "b");
        assert_eq!(last_words(&[], "exit status 1"), "exit status 1");
    }
}
