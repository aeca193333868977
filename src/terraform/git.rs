//! git, as a tool: its arguments, its environment, what its failures mean.
//!
//! Nothing that lies on the host or in a repository decides how git behaves: no configuration but ours is read, no hook
//! and no filter is run, no protocol but that of the one address is spoken, and no redirect is followed. A token comes to
//! it over a pipe, by a helper that answers for that one host alone, and stands in no argument and no variable.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::may_be_fetched;
use crate::gate::Commit;
use crate::limits::{GIT_FETCH_DEADLINE, GIT_LOCAL_DEADLINE, GIT_SILENCE, MAX_GIT_OUTPUT};
use crate::run::messages::{Row, classify};
use crate::run::{Ended, Failure, RunContext, Tool};
use crate::secret::Secret;
use crate::terraform::command::Commands;
use crate::terraform::work::Work;

/// Where the pinned reference is kept while there is a repository.
pub(super) const PINNED: &str = "refs/pinned/reference";

/// The helper reads the pipe once, and only when it is asked for a credential.
const HELPER: &str = r#"!f() { test "$1" = get && cat <&3; }; f"#;

/// git refuses a repository of somebody else's, and then there is no plan of a `file://` address: plans have a user of
/// their own. The address is the operator's word, and this part of git runs nothing that a repository names.
const ANY_OWNER: &str = "--upload-pack=git -c safe.directory=* upload-pack";

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    url: String,
    scheme: &'static str,
}

impl Remote {
    /// The repository at `url`: https, http to this machine, or `file:///`.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let local = url.starts_with("file:///") && url.bytes().all(|byte| byte.is_ascii_graphic());
        let scheme = match url.split(':').next() {
            Some("file") if local => "file",
            Some("https") if may_be_fetched(url) => "https",
            Some("http") if may_be_fetched(url) => "http",
            _ => {
                return Err(Failure::failed(format!(
                    "{url} is no address that is fetched from, check DEPLOYER_TF_APPLY_REPO_URL"
                )));
            }
        };
        let url = url.to_owned();
        Ok(Self { url, scheme })
    }

    /// Scheme and host: what a credential is for.
    fn scheme_and_host(&self) -> &str {
        let host = self.scheme.len() + "://".len();
        let end = self.url[host..].find('/').map_or(self.url.len(), |at| host + at);
        &self.url[..end]
    }
}

impl std::fmt::Display for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

/// A reference that names one thing and cannot be read as anything else (git-check-ref-format(1)).
pub(super) fn is_reference(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'+' | b'#');
    text.starts_with("refs/")
        && text.bytes().all(plain)
        && !text.contains("..")
        && !text.ends_with(['/', '.'])
}

/// What a failure changes about what is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The server gives what a reference names and nothing else: all of its history may hold the commit.
    ReferencesOnly,
    Fatal,
}

const fn row(words: &'static [&'static str], hint: &'static str) -> Row<Class> {
    Row {
        words,
        class: Class::Fatal,
        hint,
    }
}

/// What git means. It exits with 128 whatever happened; only its words, and those that the server sends through it, tell an
/// unknown commit from a refused token. They are those of git 2.30 to 2.47 in the C locale, of GitHub and of GitLab.
const MESSAGES: &[Row<Class>] = &[
    row(
        &["not our ref"],
        "the repository has no such commit (a fork's? gone with a force-push? not pushed yet?)",
    ),
    Row {
        words: &["unadvertised object"],
        class: Class::ReferencesOnly,
        hint: "the server gives no commit by its id alone",
    },
    row(
        &["couldn't find remote ref"],
        "the repository has no such reference, check DEPLOYER_TF_APPLY_REF",
    ),
    row(
        &[
            "no space left on device",
            "out of diskspace",
            "disk quota exceeded",
        ],
        "the disk is full, make room and try again",
    ),
    row(
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
        "the server refuses the credentials, or wants some: check the GitHub App (DEPLOYER_TF_APPLY_GH_APP_ID)",
    ),
    row(
        &["returned error: 30", "unable to update url base from redirection"],
        "the server sends us elsewhere, and that is not followed: set DEPLOYER_TF_APPLY_REPO_URL to its new address",
    ),
    row(
        &[
            "repository not found",
            "' not found",
            "returned error: 404",
            "does not appear to be a git repository",
        ],
        "there is no such repository, or these credentials may not see it: check DEPLOYER_TF_APPLY_REPO_URL",
    ),
    row(
        &["certificate", "ssl ", "gnutls", "tls "],
        "the server's certificate is not trusted here",
    ),
    row(
        &["returned error: 5", "returned error: 429"],
        "the server is in trouble, try again later",
    ),
    row(
        &[
            "could not resolve host",
            "couldn't resolve host",
            "failed to connect",
            "couldn't connect",
            "could not connect",
            "connection re",
            "timed out",
            "operation too slow",
            "early eof",
            "hung up",
            "curl ",
            "recv failure",
            "empty reply",
            "transfer closed",
        ],
        "the server could not be reached, or did not answer to the end",
    ),
    row(
        &["fsck", "bad object", "corrupt", "invalid index-pack"],
        "what the server sent is not well-formed, and is not used",
    ),
];

/// git in the checkout of one run.
pub(super) struct Git<'a> {
    pub(super) commands: &'a Commands<'a>,
    pub(super) remote: Remote,
    /// What a credential helper is to answer.
    pub(super) credential: Option<Secret>,
}

impl Git<'_> {
    /// Makes an empty repository.
    pub(super) fn init(&self, ctx: &mut RunContext) -> Result<Ended, Failure> {
        let mut arguments = os_strings(&["init", "--quiet", "--template=", "--"]);
        arguments.push(self.folder().into_os_string());
        let tool = self.tool(arguments, self.commands.work.seen().into(), GIT_LOCAL_DEADLINE);
        ctx.tool(&tool, &mut warning)
    }

    /// Fetches `what`.
    pub(super) fn fetch(&self, ctx: &mut RunContext, depth: &[&str], what: &str) -> Result<Ended, Failure> {
        let mut arguments = self.settings();
        arguments.extend(self.remote_settings());
        arguments.extend(os_strings(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ]));
        if self.remote.scheme == "file" {
            arguments.push(ANY_OWNER.into());
        }
        arguments.extend(os_strings(depth));
        arguments.extend(os_strings(&["--", &self.remote.url, what]));
        let mut tool = self.tool(arguments, self.folder(), GIT_FETCH_DEADLINE);
        tool.pipe.clone_from(&self.credential);
        ctx.tool(&tool, &mut warning)
    }

    /// Puts the files of `commit` into the folder.
    pub(super) fn check_out(&self, ctx: &mut RunContext, commit: &Commit) -> Result<Ended, Failure> {
        let tool = self.local(&["checkout", "--quiet", "--detach", &commit.to_string()]);
        ctx.tool(&tool, &mut warning)
    }

    /// Whether `commit` is what [`PINNED`] is, or one of its ancestors: git says yes with 0 and no with 1.
    pub(super) fn is_ancestor(&self, ctx: &mut RunContext, commit: &Commit) -> Result<Ended, Failure> {
        let tool = self.local(&["merge-base", "--is-ancestor", &commit.to_string(), PINNED]);
        ctx.tool(&tool, &mut warning)
    }

    /// The commit that `name` is.
    pub(super) fn commit_of(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Commit>, Failure> {
        let tool = self.local(&["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")]);
        let captured = ctx.capture(&tool, MAX_GIT_OUTPUT)?;
        let text = String::from_utf8_lossy(&captured.stdout).trim().to_owned();
        Ok(Commit::try_from(text).ok().filter(|_| captured.exit.is_success()))
    }

    /// The checkout, as git sees it.
    fn folder(&self) -> PathBuf {
        Work::checkout(self.commands.work.seen())
    }

    /// A command that needs no server.
    fn local(&self, arguments: &[&str]) -> Tool {
        let mut all = self.settings();
        all.extend(os_strings(arguments));
        self.tool(all, self.folder(), GIT_LOCAL_DEADLINE)
    }

    fn tool(&self, arguments: Vec<OsString>, directory: PathBuf, deadline: Duration) -> Tool {
        let home = Work::home(self.commands.work.seen());
        let environment = [
            (
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            ),
            ("HOME", &home.display().to_string()),
            // Its words are read.
            ("LC_ALL", "C"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            // A commit that was not fetched is no ancestor: nothing is to be asked of the server for it.
            ("GIT_NO_LAZY_FETCH", "1"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let git = &self.commands.terraform.git;
        let mut tool = self.commands.tool(git, arguments, environment.into(), directory);
        tool.deadline = deadline;
        tool
    }

    /// The settings of every command.
    fn settings(&self) -> Vec<OsString> {
        let allowed = format!("protocol.{}.allow=always", self.remote.scheme);
        let folder = self.folder();
        // Named, so that git never looks for a repository above: it would find another one and work there.
        let mut all = [("--git-dir", folder.join(".git")), ("--work-tree", folder)]
            .into_iter()
            .flat_map(|(option, path)| [option.into(), path.into_os_string()])
            .collect::<Vec<OsString>>();
        all.extend(settings(&[
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "protocol.allow=never",
            &allowed,
            "http.followRedirects=false",
            "maintenance.auto=false",
            "gc.auto=0",
            "transfer.fsckObjects=true",
            // The repository lives for seconds: nothing of it need survive a power cut.
            "core.fsync=none",
        ]));
        all
    }

    /// The settings of a command that speaks with the server.
    fn remote_settings(&self) -> Vec<OsString> {
        let silence = format!("http.lowSpeedTime={GIT_SILENCE}");
        let mut all = settings(&["http.lowSpeedLimit=1024", &silence]);
        if self.credential.is_some() {
            let origin = self.remote.scheme_and_host();
            // The second spares the request that would only be answered with a demand for a credential (git 2.46).
            let helper = format!("credential.{origin}.helper={HELPER}");
            let at_once = format!("http.{origin}.proactiveAuth=basic");
            all.extend(settings(&[&helper, &at_once]));
        }
        all
    }
}

/// What it says besides failing: that a server cannot leave out what was not asked for.
fn warning(line: &str) -> Option<String> {
    line.starts_with("warning: ").then(|| format!("git: {line}"))
}

fn settings(all: &[&str]) -> Vec<OsString> {
    all.iter().flat_map(|one| os_strings(&["-c", one])).collect()
}

fn os_strings(all: &[&str]) -> Vec<OsString> {
    all.iter().map(Into::into).collect()
}

/// What kind of failure git's last lines tell of.
pub(super) fn class(ended: &Ended) -> Option<Class> {
    classify(MESSAGES, &ended.tail.join("\n")).map(|row| row.class)
}

/// What git's last lines mean, with the one that says it.
pub(super) fn explain(ended: &Ended) -> String {
    let said = said(&ended.tail).map_or_else(|| ended.exit.to_string(), str::to_owned);
    match classify(MESSAGES, &ended.tail.join("\n")) {
        Some(row) => format!("{} ({said})", row.hint),
        None => said,
    }
}

/// The line that says what went wrong, the server's own before git's.
pub(super) fn said(tail: &[String]) -> Option<&str> {
    let lines = || {
        tail.iter()
            .map(|line| line.trim())
            .filter(|line| !line.is_empty())
    };
    let marked = ["remote: ", "fatal: ", "error: "];
    let marked = marked
        .iter()
        .find_map(|mark| lines().find(|line| line.starts_with(mark)));
    marked.or_else(|| lines().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_may_be_fetched_from_is_one() {
        for (url, origin) in [
            ("https://github.com/a/b.git", "https://github.com"),
            ("https://git.example:8443/a", "https://git.example:8443"),
            ("http://127.0.0.1:80/a", "http://127.0.0.1:80"),
            ("file:///srv/a.git", "file://"),
        ] {
            assert_eq!(Remote::new(url).unwrap().scheme_and_host(), origin);
        }
        for bad in [
            "--upload-pack=id",
            "-x",
            "ext::sh -c id",
            "git@github.com:a/b.git",
            "ssh://github.com/a",
            "http://github.com/a/b.git",
            "https://user:pw@github.com/a",
            "file://host/a",
            "file:///a b",
            "file:///a\n-x",
            "/srv/a.git",
            "",
        ] {
            assert!(Remote::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_reference_can_be_read_in_one_way_only() {
        for good in ["refs/heads/main", "refs/heads/release/1.2", "refs/tags/v1"] {
            assert!(is_reference(good), "{good}");
        }
        for bad in [
            "main",
            "refs/heads/*",
            "refs/heads/a:refs/heads/b",
            "+refs/heads/a",
            "^refs/heads/a",
            "refs/heads/a..b",
            "refs/heads/a b",
            "refs/heads/a/",
            "refs/heads/a@{1}",
            "refs/heads/\u{e9}",
            "-refs/x",
        ] {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    fn ended(text: &str) -> Ended {
        Ended {
            stdout: Vec::new(),
            exit: crate::os::child::Exit::Code(128),
            tail: text.lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn every_failure_is_told_by_what_to_do_about_it() {
        for (said, hint) in [
            (
                "fatal: remote error: upload-pack: not our ref 12",
                "no such commit",
            ),
            (
                "fatal: couldn't find remote ref refs/heads/nope",
                "no such reference",
            ),
            (
                "error: Server does not allow request for unadvertised object 17b5",
                "by its id alone",
            ),
            (
                "remote: Invalid username or token. Password authentication is not supported for Git operations.\n\
                 fatal: Authentication failed for 'https://github.com/a/b.git/'",
                "credentials, or wants",
            ),
            (
                "fatal: could not read Username for 'https://github.com': terminal prompts disabled",
                "credentials, or wants",
            ),
            (
                "fatal: unable to access 'https://github.com/a/b/': The requested URL returned error: 403",
                "credentials, or wants",
            ),
            (
                "remote: Repository not found.\nfatal: repository 'https://x/' not found",
                "no such repository",
            ),
            (
                "fatal: '/srv/x' does not appear to be a git repository",
                "no such repository",
            ),
            (
                "fatal: unable to access 'http://x/': The requested URL returned error: 302",
                "sends us elsewhere",
            ),
            (
                "fatal: unable to access 'http://x/': The requested URL returned error: 502",
                "in trouble",
            ),
            (
                "fatal: unable to access 'https://x/': Could not resolve host: x",
                "could not be reached",
            ),
            (
                "fatal: unable to access 'http://x/': Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server",
                "could not be reached",
            ),
            (
                "fatal: the remote end hung up unexpectedly",
                "could not be reached",
            ),
            (
                "fatal: unable to access 'https://x/': SSL certificate problem: self-signed certificate",
                "certificate is not trusted",
            ),
            (
                "error: object 1: treeNotSorted: not properly sorted\nfatal: fsck error in packed object",
                "not well-formed",
            ),
            ("fatal: write error: No space left on device", "disk is full"),
            (
                "fatal: sha1 file '/x/.git/index.lock' write error. Out of diskspace",
                "disk is full",
            ),
        ] {
            let explained = explain(&ended(said));
            assert!(explained.contains(hint), "{said}: {explained}");
        }
        assert_eq!(explain(&ended("something new")), "something new");
        assert_eq!(
            class(&ended("unadvertised object 1")),
            Some(Class::ReferencesOnly)
        );
    }

    #[test]
    fn the_servers_own_words_come_first() {
        let of = |text: &str| explain(&ended(text));
        let refused = of("remote: Repository not found.\nfatal: repository 'https://x/' not found\n");
        assert!(refused.ends_with("(remote: Repository not found.)"), "{refused}");
        assert_eq!(of("a\nb\n\n"), "b");
        assert_eq!(of(""), "exit status 128");
    }
}
