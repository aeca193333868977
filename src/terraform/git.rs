//! git, as a tool: its arguments, its environment, what its failures mean.
//!
//! Nothing that lies on the host or in a repository decides how git behaves: no configuration but ours is read, no hook
//! and no filter is run, no protocol but that of the one address is spoken, and no redirect is followed. A token comes to
//! it over a pipe, by a helper that answers for that one host alone, and stands in no argument and no variable.

use std::path::Path;

use super::command::Commands;
use super::work::CHECKOUT;
use crate::gate::Commit;
use crate::limits::{GIT_FETCH_DEADLINE, GIT_LOCAL_DEADLINE, GIT_SILENCE, MAX_GIT_OUTPUT};
use crate::run::{Ended, Result, RunContext, Tool};
use crate::secret::Secret;

/// Where the pinned reference is kept while there is a repository.
pub const PINNED: &str = "refs/pinned/reference";

/// The helper reads the pipe once, and only when it is asked for a credential.
const HELPER: &str = r#"!f() { test "$1" = get && cat <&3; }; f"#;

/// git refuses a repository of somebody else's, and then there is no plan of a `file://` address: plans have a user of
/// their own. The address is the operator's word, and this part of git runs nothing that a repository names.
const ANY_OWNER: &str = "--upload-pack=git -c safe.directory=* upload-pack";

/// Of git's environment what is not of every tool.
const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    // Its words are read.
    ("LC_ALL", "C"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    // A commit that was not fetched is no ancestor: nothing is to be asked of the server for it.
    ("GIT_NO_LAZY_FETCH", "1"),
];

/// The settings of every command in a repository.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.allow=never",
    "http.followRedirects=false",
    "maintenance.auto=false",
    "gc.auto=0",
    "transfer.fsckObjects=true",
    // The repository lives for seconds: nothing of it need survive a power cut.
    "core.fsync=none",
];

/// What a server says that gives what a reference names and nothing else.
const REFERENCES_ONLY: &str = "unadvertised object";

/// What git means. It exits with 128 whatever happened; only its words, and those that the server sends through it, tell an
/// unknown commit from a refused token. They are those of git 2.30 to 2.47 in the C locale, of GitHub and of GitLab.
const MESSAGES: &[(&[&str], &str)] = &[
    (&["not our ref"], "the repository has no such commit"),
    (
        &["couldn't find remote ref"],
        "the repository has no such reference, check DEPLOYER_TF_APPLY_REF",
    ),
    (
        &[
            "no space left on device",
            "out of diskspace",
            "disk quota exceeded",
        ],
        "the disk is full",
    ),
    (
        &[
            "authentication failed",
            "could not read username",
            "returned error: 401",
            "returned error: 403",
        ],
        "the server refuses the credentials, or wants some: check DEPLOYER_TF_APPLY_GH_APP_ID",
    ),
    (
        &["returned error: 30"],
        "the server sends us elsewhere: check DEPLOYER_TF_APPLY_REPO_URL",
    ),
    (
        &[
            "not found",
            "returned error: 404",
            "does not appear to be a git repository",
        ],
        "there is no such repository, or it may not be seen: check DEPLOYER_TF_APPLY_REPO_URL",
    ),
    (
        &["certificate", "ssl ", "gnutls", "tls "],
        "the server's certificate is not trusted here",
    ),
    (
        &["returned error: 5", "returned error: 429"],
        "the server is in trouble, try again later",
    ),
    (
        &[
            "resolve host",
            "connect",
            "timed out",
            "too slow",
            "early eof",
            "hung up",
            "curl ",
            "empty reply",
        ],
        "the server could not be reached, or did not answer to the end",
    ),
    (
        &["fsck", "bad object", "corrupt", "invalid index-pack"],
        "what the server sent is not well-formed",
    ),
];

/// git in the checkout of one run.
pub struct Git<'a> {
    pub commands: &'a Commands<'a>,
    /// What a credential helper is to answer.
    pub credential: Option<Secret>,
}

impl Git<'_> {
    pub fn url(&self) -> &str {
        &self.commands.terraform.repo_url
    }

    pub fn reference(&self) -> &str {
        &self.commands.terraform.reference
    }

    /// Makes an empty repository.
    pub fn init(&self, ctx: &mut RunContext) -> Result<Ended> {
        let arguments = [
            "init",
            "--quiet",
            "--template=",
            "--",
            &self.commands.seen(CHECKOUT),
        ];
        let tool = self.tool(arguments.map(str::to_owned).into(), &self.commands.work.seen);
        ctx.tool(&tool, &mut warning)
    }

    /// Fetches `what`.
    pub fn fetch(&self, ctx: &mut RunContext, how: &[&str], what: &str) -> Result<Ended> {
        let url = self.url();
        let silence = format!("http.lowSpeedTime={GIT_SILENCE}");
        let mut settings = vec!["http.lowSpeedLimit=1024".to_owned(), silence];
        if self.credential.is_some() {
            let origin = scheme_and_host(url);
            settings.push(format!("credential.{origin}.helper={HELPER}"));
            // Spares the request that would only be answered with a demand for a credential (git 2.46).
            settings.push(format!("http.{origin}.proactiveAuth=basic"));
        }
        let mut arguments = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ];
        arguments.extend(url.starts_with("file:").then_some(ANY_OWNER));
        arguments.extend(how.iter().chain(&["--", url, what]));
        let mut tool = self.in_repository(&settings, &arguments);
        tool.deadline = GIT_FETCH_DEADLINE;
        tool.pipe.clone_from(&self.credential);
        ctx.tool(&tool, &mut warning)
    }

    /// Runs a command that needs no server.
    pub fn local(&self, ctx: &mut RunContext, arguments: &[&str]) -> Result<Ended> {
        ctx.tool(&self.in_repository(&[], arguments), &mut warning)
    }

    /// The commit that `name` is.
    pub fn commit_of(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Commit>> {
        let name = format!("{name}^{{commit}}");
        let tool = self.in_repository(&[], &["rev-parse", "--verify", "--quiet", &name]);
        let captured = ctx.capture(&tool, MAX_GIT_OUTPUT)?;
        let text = String::from_utf8_lossy(&captured.stdout).trim().to_owned();
        Ok(Commit::try_from(text).ok().filter(|_| captured.exit.is_success()))
    }

    fn in_repository(&self, settings: &[String], arguments: &[&str]) -> Tool {
        let folder = self.commands.work.seen.join(CHECKOUT);
        let scheme = self.url().split(':').next().unwrap_or_default();
        let allowed = format!("protocol.{scheme}.allow=always");
        let settings = settings.iter().chain([&allowed]).map(String::as_str);
        let settings = SETTINGS.iter().copied().chain(settings);
        // Named, so that git never looks for a repository above: it would find another one and work there.
        let mut all = vec![
            format!("--git-dir={}", folder.join(".git").display()),
            format!("--work-tree={}", folder.display()),
        ];
        all.extend(settings.flat_map(|setting| ["-c", setting]).map(str::to_owned));
        all.extend(arguments.iter().map(ToString::to_string));
        self.tool(all, &folder)
    }

    fn tool(&self, arguments: Vec<String>, directory: &Path) -> Tool {
        let environment = ENVIRONMENT.map(|(name, value)| (name, value.to_owned()));
        let git = &self.commands.terraform.git;
        let mut tool = self
            .commands
            .tool(git, arguments, environment.into(), directory.to_owned());
        tool.deadline = GIT_LOCAL_DEADLINE;
        tool
    }
}

/// What a credential is for.
fn scheme_and_host(url: &str) -> &str {
    let path = url.match_indices('/').nth(2);
    path.map_or(url, |(at, _)| &url[..at])
}

/// What it says besides failing: that a server cannot leave out what was not asked for.
fn warning(line: &str) -> Option<String> {
    line.starts_with("warning: ").then(|| format!("git: {line}"))
}

/// Whether it failed because the server gives what a reference names and nothing else.
pub fn needs_a_reference(ended: &Ended) -> bool {
    !ended.exit.is_success() && ended.tail.iter().any(|line| line.contains(REFERENCES_ONLY))
}

/// What git's last lines mean, with the one that says it: the server's own before git's.
pub fn explain(ended: &Ended) -> String {
    let lines: Vec<&str> = ended
        .tail
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .collect();
    let marked = |mark: &&str| lines.iter().find(|line| line.starts_with(mark));
    let said = ["remote: ", "fatal: ", "error: "]
        .iter()
        .find_map(marked)
        .or(lines.last());
    let said = said.map_or_else(|| ended.exit.to_string(), ToString::to_string);
    let all = lines.join("\n").to_ascii_lowercase();
    let is_said = |words: &[&str]| words.iter().any(|word| all.contains(word));
    match MESSAGES.iter().find(|(words, _)| is_said(words)) {
        Some((_, hint)) => format!("{hint} ({said})"),
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_for_one_scheme_and_host() {
        for (url, origin) in [
            ("https://github.com/a/b.git", "https://github.com"),
            ("https://git.example:8443/a", "https://git.example:8443"),
            ("http://127.0.0.1:80/a", "http://127.0.0.1:80"),
            ("https://github.com", "https://github.com"),
        ] {
            assert_eq!(scheme_and_host(url), origin);
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
        assert!(needs_a_reference(&ended("unadvertised object 1")));
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
