//! git, as a tool: what it is told, what it finds around itself, what its failures mean.
//!
//! Nothing that lies on the host or in a repository decides how git behaves: no configuration but ours is read, no hook
//! and no filter is run, no protocol but that of the one address is spoken, and no redirect is followed. A token reaches
//! it over a pipe, by a helper that answers for that one host alone, and stands in no argument and no variable.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::may_be_fetched;
use crate::gate::Commit;
use crate::limits::{GIT_FETCH_DEADLINE, GIT_LOCAL_DEADLINE, GIT_SILENCE, MAX_GIT_OUTPUT};
use crate::os::child::Exit;
use crate::run::{EndPolicy, Failure, RunContext};
use crate::secret::Secret;
use crate::terraform::git_words;
use crate::terraform::hands::{Errand, Hands};
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
    fn origin(&self) -> &str {
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

/// How a git command ended that did not do what it was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// What kind of failure it is.
    pub(super) why: git_words::Why,
    /// Its last words.
    pub(super) said: String,
    /// How it ended.
    pub(super) exit: Exit,
}

/// git in the checkout of one run.
pub(super) struct Git<'a> {
    hands: &'a Hands<'a>,
    pub(super) remote: Remote,
    token: Option<Secret>,
}

impl<'a> Git<'a> {
    /// git for `remote`, with what a credential helper is to answer.
    pub(super) fn new(hands: &'a Hands<'a>, remote: Remote, token: Option<Secret>) -> Self {
        Self { hands, remote, token }
    }

    /// Makes an empty repository.
    pub(super) fn init(&self, ctx: &mut RunContext) -> Result<Result<(), Refused>, Failure> {
        let folder = self.folder().into_os_string();
        let mut arguments = words(&["init", "--quiet", "--template=", "--"]);
        arguments.push(folder);
        self.carry(
            ctx,
            self.errand(arguments, self.hands.work.seen().into(), GIT_LOCAL_DEADLINE),
        )
    }

    /// Fetches what `arguments` name.
    pub(super) fn fetch(
        &self,
        ctx: &mut RunContext,
        depth: &[&str],
        what: &str,
    ) -> Result<Result<(), Refused>, Failure> {
        let mut arguments = self.settings();
        arguments.extend(self.remote_settings());
        arguments.extend(words(&[
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ]));
        if self.remote.scheme == "file" {
            arguments.push(ANY_OWNER.into());
        }
        arguments.extend(words(depth));
        arguments.extend(words(&["--", &self.remote.url, what]));
        let errand = Errand {
            pipe: self.token.clone(),
            ..self.errand(arguments, self.folder(), GIT_FETCH_DEADLINE)
        };
        self.carry(ctx, errand)
    }

    /// Puts the files of `commit` into the folder.
    pub(super) fn check_out(
        &self,
        ctx: &mut RunContext,
        commit: &Commit,
    ) -> Result<Result<(), Refused>, Failure> {
        let mut arguments = self.settings();
        arguments.extend(words(&["checkout", "--quiet", "--detach", &commit.to_string()]));
        self.carry(ctx, self.errand(arguments, self.folder(), GIT_LOCAL_DEADLINE))
    }

    /// Whether `commit` is what [`PINNED`] is, or one of its ancestors. git says yes with 0 and no with 1.
    pub(super) fn is_ancestor(
        &self,
        ctx: &mut RunContext,
        commit: &Commit,
    ) -> Result<Result<(), Refused>, Failure> {
        let mut arguments = self.settings();
        arguments.extend(words(&[
            "merge-base",
            "--is-ancestor",
            &commit.to_string(),
            PINNED,
        ]));
        self.carry(ctx, self.errand(arguments, self.folder(), GIT_LOCAL_DEADLINE))
    }

    /// The commit that `name` is.
    pub(super) fn commit_of(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Commit>, Failure> {
        let mut arguments = self.settings();
        arguments.extend(words(&[
            "rev-parse",
            "--verify",
            "--quiet",
            &format!("{name}^{{commit}}"),
        ]));
        let errand = self.errand(arguments, self.folder(), GIT_LOCAL_DEADLINE);
        let captured = ctx.capture(&self.hands.tool(errand), MAX_GIT_OUTPUT)?;
        let text = String::from_utf8_lossy(&captured.stdout).trim().to_owned();
        Ok(Commit::try_from(text).ok().filter(|_| captured.exit.is_success()))
    }

    /// The checkout, as git sees it.
    fn folder(&self) -> PathBuf {
        Work::checkout(self.hands.work.seen())
    }

    fn carry(&self, ctx: &mut RunContext, errand: Errand) -> Result<Result<(), Refused>, Failure> {
        let tool = self.hands.tool(errand);
        let ended = ctx.tool(&tool, &mut warning)?;
        if ended.exit.is_success() {
            return Ok(Ok(()));
        }
        Ok(Err(Refused {
            why: git_words::why(&ended.tail),
            said: git_words::last_words(&ended.tail, &ended.exit.to_string()),
            exit: ended.exit,
        }))
    }

    fn errand(&self, arguments: Vec<OsString>, directory: PathBuf, deadline: Duration) -> Errand {
        let home = Work::home(self.hands.work.seen());
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
        let owned = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Errand {
            program: self.hands.terraform.git.clone(),
            arguments,
            environment: owned.into(),
            directory,
            deadline,
            ending: EndPolicy::Terminate,
            pipe: None,
        }
    }

    /// What every command is told.
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

    /// What a command is told that speaks with the server.
    fn remote_settings(&self) -> Vec<OsString> {
        let silence = format!("http.lowSpeedTime={GIT_SILENCE}");
        let mut all = settings(&["http.lowSpeedLimit=1024", &silence]);
        if self.token.is_some() {
            let origin = self.remote.origin();
            // The second spares the request that would only be told to come again with a credential (git 2.46).
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
    all.iter().flat_map(|one| words(&["-c", one])).collect()
}

fn words(all: &[&str]) -> Vec<OsString> {
    all.iter().map(Into::into).collect()
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
            assert_eq!(Remote::new(url).unwrap().origin(), origin);
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
}
