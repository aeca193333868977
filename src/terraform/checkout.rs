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

use super::command::Commands;
use super::git::{self, Git, PINNED};
use super::github_app::{self, Installation};
use super::module_folder;
use super::work::CHECKOUT;
use crate::config::{Job, Module};
use crate::event::Phase;
use crate::fetch;
use crate::gate::Commit;
use crate::os::files;
use crate::run::{Ended, Result, RunContext};
use crate::secret::Secret;

/// What is on the disk.
#[derive(Debug)]
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
) -> Result<CheckedOut> {
    let (job, url) = (commands.job, &commands.terraform.repo_url);
    let Some(app) = &commands.terraform.app else {
        return checkout_with(ctx, commands, commit, job, module, None);
    };
    let installation = Installation::new(commands.config, app, url);
    let token = installation.token(SystemTime::now(), &mut fetch::send)?;
    for secret in github_app::spellings(&token) {
        ctx.hide(&secret);
    }
    let done = checkout_with(ctx, commands, commit, job, module, Some(&token));
    // Whatever came of it, and whether or not there is time left: it opens something.
    if let Err(why) = installation.revoke(&token, &mut fetch::send) {
        let said = format!("warning: the token could not be revoked: {why}");
        ctx.say(Phase::GitFetch, &said);
    }
    done
}

/// The same with a token that somebody else has got and takes back.
pub fn checkout_with(
    ctx: &mut RunContext,
    commands: &Commands<'_>,
    commit: Option<&Commit>,
    job: Job,
    module: &Module,
    token: Option<&Secret>,
) -> Result<CheckedOut> {
    let place = commands.work.real.join(CHECKOUT);
    if place.symlink_metadata().is_ok() {
        return Err(format!("{} is there already", place.display()).into());
    }
    let credential = token.map(github_app::credential);
    let git = Git { commands, credential };
    succeeded(&git.init(ctx)?, "make an empty repository")?;
    let commit = match commit {
        Some(commit) => git.fetch_commit(ctx, commit, job).map(|()| commit.clone())?,
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
    fn fetch_commit(&self, ctx: &mut RunContext, commit: &Commit, job: Job) -> Result {
        let (url, reference, id) = (self.url(), self.reference(), commit.to_string());
        ctx.say(Phase::GitFetch, &format!("fetching {} of {url}", short(commit)));
        let ended = self.fetch(ctx, &["--depth=1"], &id)?;
        let needs_history = git::needs_a_reference(&ended);
        if needs_history {
            // Without a filter: the server could not be asked for what that leaves out.
            let said =
                format!("the server gives no commit by its id alone; fetching all of {reference} instead");
            ctx.say(Phase::GitFetch, &said);
            self.fetch_pinned(ctx, &[])?;
            let found = self.commit_of(ctx, &id)?;
            found.ok_or_else(|| format!("the history of {reference} of {url} does not have {id}"))?;
        } else {
            succeeded(&ended, &format!("fetch {id} of {url}"))?;
        }
        if job == Job::TfPlan {
            return Ok(());
        }
        if !needs_history {
            // The commit is there, so the server sends what came after it: nothing, when it is the reference's own. Only
            // commits are asked for; a server that cannot leave out the rest sends it all.
            self.fetch_pinned(ctx, &["--filter=tree:0"])?;
        }
        // 1 is a no, and anything else is no yes either.
        let ended = self.local(ctx, &["merge-base", "--is-ancestor", &id, PINNED])?;
        match ended.exit.is_success() {
            true => Ok(()),
            false => Err(format!(
                "{id} is neither the commit of {reference} nor one of its ancestors: merge it first"
            )
            .into()),
        }
    }

    /// Fetches the commit of the pinned reference, whichever that is by now.
    fn fetch_reference(&self, ctx: &mut RunContext) -> Result<Commit> {
        let what = format!("{} of {}", self.reference(), self.url());
        ctx.say(Phase::GitFetch, &format!("fetching {what}"));
        self.fetch_pinned(ctx, &["--depth=1"])?;
        let tip = self.commit_of(ctx, PINNED)?;
        Ok(tip.ok_or_else(|| format!("fetch {what}: it is no commit"))?)
    }

    fn fetch_pinned(&self, ctx: &mut RunContext, how: &[&str]) -> Result {
        let reference = self.reference();
        let ended = self.fetch(ctx, how, &format!("+{reference}:{PINNED}"))?;
        Ok(succeeded(
            &ended,
            &format!("fetch {reference} of {}", self.url()),
        )?)
    }

    fn check_out(&self, ctx: &mut RunContext, commit: &Commit) -> Result {
        let doing = format!("check out {commit}");
        let ended = self.local(ctx, &["checkout", "--quiet", "--detach", &commit.to_string()])?;
        succeeded(&ended, &doing)?;
        match self.commit_of(ctx, "HEAD")?.as_ref() == Some(commit) {
            true => Ok(()),
            false => Err(format!("{doing}: the repository is at another commit").into()),
        }
    }
}

fn short(commit: &Commit) -> String {
    commit.to_string().chars().take(7).collect()
}

fn succeeded(ended: &Ended, doing: &str) -> Result<(), String> {
    match ended.exit.is_success() {
        true => Ok(()),
        false => Err(format!("{doing}: {}", git::explain(ended))),
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
