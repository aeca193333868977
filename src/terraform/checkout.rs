//! One commit of the configured repository onto the disk, and nothing else of it.
//!
//! The commit is fetched by its whole id into a folder that did not exist. What is applied must moreover have been
//! merged: a forge gives a fork's commits, and those of pull requests, as if they were the repository's own. Afterwards
//! there are files and no repository. It trusts the configuration, and of what it fetched nothing but the ids, which git
//! has checked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::Module;
use crate::event::Phase;
use crate::fetch;
use crate::gate::Commit;
use crate::os::child::Exit;
use crate::os::files;
use crate::run::{Ended, Failure, RunContext};
use crate::secret::Secret;
use crate::terraform::command::Commands;
use crate::terraform::git::{self, Git, PINNED};
use crate::terraform::github_app::{self, Installation};
use crate::terraform::module_folder;
use crate::terraform::work::{CHECKOUT, Kind};

/// What is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    /// The commit.
    pub commit: Commit,
    /// The module's folder beneath the checkout, without symlinks in it; empty for the checkout itself.
    pub folder: PathBuf,
}

/// Fetches `commit`, or that of the pinned reference, into the checkout of this run, which must not exist. The work folder
/// and the home in it must, and belong to whoever the tools run as.
///
/// # Errors
/// One sentence. What was fetched so far is left for the end of the run. A step that does this may take
/// [`crate::limits::CHECKOUT_DEADLINE`].
pub fn checkout(
    ctx: &mut RunContext,
    commands: &Commands<'_>,
    commit: Option<&Commit>,
    module: &Module,
) -> Result<CheckedOut, Failure> {
    let (kind, url) = (commands.kind, &commands.terraform.repo_url);
    let Some(app) = &commands.terraform.app else {
        return checkout_with(ctx, commands, commit, kind, module, None);
    };
    let installation = Installation::new(commands.config, app, url)?;
    let token = installation.token(SystemTime::now(), &mut fetch::send)?;
    for secret in github_app::spellings(&token) {
        ctx.hide(&secret);
    }
    let done = checkout_with(ctx, commands, commit, kind, module, Some(&token));
    // Whatever came of it, and whether or not there is time left: it opens something.
    if let Err(why) = installation.revoke(&token, &mut fetch::send) {
        let said = format!("warning: the token could not be revoked, it ends within an hour: {why}");
        ctx.say(Phase::GitFetch, &said);
    }
    done
}

/// The same with a token that somebody else has got and takes back.
pub(super) fn checkout_with(
    ctx: &mut RunContext,
    commands: &Commands<'_>,
    commit: Option<&Commit>,
    kind: Kind,
    module: &Module,
    token: Option<&Secret>,
) -> Result<CheckedOut, Failure> {
    let place = commands.work.real.join(CHECKOUT);
    if place.symlink_metadata().is_ok() {
        return Err(Failure::Failed(format!("{} is there already", place.display())));
    }
    let credential = token.map(github_app::credential);
    let git = Git { commands, credential };
    succeeded(&git.init(ctx)?, "make an empty repository")?;
    let commit = match commit {
        Some(commit) => git.fetch_commit(ctx, commit, kind).map(|()| commit.clone())?,
        None => git.fetch_reference(ctx)?,
    };
    git.check_out(ctx, &commit)?;
    remove_repository(&place)?;
    let folder = module_folder::find(&place, &module.path)?;
    ctx.say(Phase::GitFetch, &format!("checked out {}", short(&commit)));
    for remark in module_folder::remarks(&place, &folder) {
        ctx.say(Phase::GitFetch, remark);
    }
    Ok(CheckedOut { commit, folder })
}

impl Git<'_> {
    /// Fetches `commit`, and proves that it is good enough before a file of it is written.
    fn fetch_commit(&self, ctx: &mut RunContext, commit: &Commit, kind: Kind) -> Result<(), Failure> {
        let (url, reference) = (self.url(), self.reference());
        ctx.say(Phase::GitFetch, &format!("fetching {} of {url}", short(commit)));
        let ended = self.fetch(ctx, &["--depth=1"], &commit.to_string())?;
        let needs_history = git::needs_a_reference(&ended);
        if needs_history {
            self.fetch_whole_history(ctx, commit)?;
        } else {
            succeeded(&ended, &format!("fetch {commit} of {url}"))?;
        }
        if kind == Kind::Plan {
            return Ok(());
        }
        if !needs_history {
            // The commit is there, so the server sends what came after it: nothing, when it is the reference's own. Only
            // commits are asked for; a server that cannot leave out the rest sends it all.
            let ended = self.fetch(ctx, &["--filter=tree:0"], &self.pinned())?;
            succeeded(&ended, &format!("fetch the history of {reference} of {url}"))?;
        }
        let ended = self.local(ctx, &["merge-base", "--is-ancestor", &commit.to_string(), PINNED])?;
        match ended.exit {
            Exit::Code(0) => Ok(()),
            // That it is none. Anything else is no yes either.
            Exit::Code(1) => Err(not_merged(commit, reference, "")),
            _ => Err(not_merged(
                commit,
                reference,
                &format!(" ({})", git::explain(&ended)),
            )),
        }
    }

    /// Fetches the commit of the pinned reference, whichever that is by now.
    fn fetch_reference(&self, ctx: &mut RunContext) -> Result<Commit, Failure> {
        let what = format!("{} of {}", self.reference(), self.url());
        ctx.say(Phase::GitFetch, &format!("fetching {what}"));
        let ended = self.fetch(ctx, &["--depth=1"], &self.pinned())?;
        succeeded(&ended, &format!("fetch {what}"))?;
        let tip = self.commit_of(ctx, PINNED)?;
        tip.ok_or_else(|| Failure::Failed(format!("fetch {what}: it is no commit")))
    }

    /// A server that gives only what a reference names gives all of it. Without a filter: it could not be asked for what
    /// that leaves out.
    fn fetch_whole_history(&self, ctx: &mut RunContext, commit: &Commit) -> Result<(), Failure> {
        let (reference, url) = (self.reference(), self.url());
        let said = format!("the server gives no commit by its id alone; fetching all of {reference} instead");
        ctx.say(Phase::GitFetch, &said);
        let ended = self.fetch(ctx, &[], &self.pinned())?;
        succeeded(&ended, &format!("fetch {reference} of {url}"))?;
        let found = self.commit_of(ctx, &commit.to_string())?;
        let missing = || {
            Failure::Failed(format!(
                "the history of {reference} of {url} does not have {commit}"
            ))
        };
        found.map(drop).ok_or_else(missing)
    }

    fn check_out(&self, ctx: &mut RunContext, commit: &Commit) -> Result<(), Failure> {
        let ended = self.local(ctx, &["checkout", "--quiet", "--detach", &commit.to_string()])?;
        succeeded(&ended, &format!("check out {commit}"))?;
        match self.commit_of(ctx, "HEAD")? {
            Some(there) if there == *commit => Ok(()),
            _ => Err(Failure::Failed(format!(
                "check out {commit}: the repository is at another commit"
            ))),
        }
    }

    fn reference(&self) -> &str {
        &self.commands.terraform.reference
    }

    fn pinned(&self) -> String {
        format!("+{}:{PINNED}", self.reference())
    }
}

fn not_merged(commit: &Commit, reference: &str, said: &str) -> Failure {
    Failure::Failed(format!(
        "{commit} is neither the commit of {reference} nor one of its ancestors, so it is not applied: merge it first{said}"
    ))
}

fn short(commit: &Commit) -> String {
    commit.to_string().chars().take(7).collect()
}

fn succeeded(ended: &Ended, doing: &str) -> Result<(), Failure> {
    match ended.exit.is_success() {
        true => Ok(()),
        false => Err(Failure::Failed(format!("{doing}: {}", git::explain(ended)))),
    }
}

/// What stays is files. A repository would be read by the next git that is started there, settings and all.
fn remove_repository(place: &Path) -> Result<(), String> {
    let removed = match place.symlink_metadata() {
        // Its user may be another than ours: nothing beyond a link of theirs is touched.
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(place.join(".git")),
        Ok(_) => Err(io::ErrorKind::NotADirectory.into()),
        Err(error) => Err(error),
    };
    removed.map_err(|error| files::describe(&error, "remove .git in", place))
}

#[cfg(test)]
#[path = "checkout_bench_tests.rs"]
mod bench;
#[cfg(test)]
#[path = "checkout_hostile_tests.rs"]
mod hostile;
#[cfg(test)]
#[path = "checkout_tests.rs"]
mod tests;
