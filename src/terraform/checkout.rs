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
use crate::run::{Ended, Failure, RunContext};
use crate::secret::Secret;
use crate::terraform::command::Commands;
use crate::terraform::git::{self, Class, Git, PINNED, Remote, is_reference};
use crate::terraform::github_app::{self, Installation};
use crate::terraform::module_folder;
use crate::terraform::work::Work;

/// Which commits are good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Any that the repository has: for a plan, which trusts no line of it.
    Any,
    /// The pinned reference's, or one of its ancestors: for an apply.
    Merged,
}

/// What is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedOut {
    /// The commit.
    pub commit: Commit,
    /// The module's folder beneath [`Work::checkout`], without symlinks in it; empty for the checkout itself.
    pub folder: PathBuf,
}

/// Fetches `commit`, or that of the pinned reference, into the checkout of this run, which must not exist. [`Work::real`] and
/// the home in it must, and belong to whoever the tools run as.
///
/// # Errors
/// One sentence. What was fetched so far is left for the end of the run. A step that does this may take
/// [`crate::limits::CHECKOUT_DEADLINE`].
pub fn checkout(
    ctx: &mut RunContext,
    commands: &Commands<'_>,
    commit: Option<&Commit>,
    trust: Trust,
    module: &Module,
) -> Result<CheckedOut, Failure> {
    let Some(app) = &commands.terraform.app else {
        return checkout_with(ctx, commands, commit, trust, module, None);
    };
    let url = &commands.terraform.repo_url;
    let installation = Installation::new(commands.config, app, url).map_err(Failure::Failed)?;
    let token = installation.token(SystemTime::now(), &mut fetch::send);
    let token = token.map_err(Failure::Failed)?;
    for secret in github_app::spellings(&token) {
        ctx.hide(&secret);
    }
    let done = checkout_with(ctx, commands, commit, trust, module, Some(&token));
    // Whatever came of it, and whether or not there is time left: it opens something.
    if let Err(why) = installation.revoke(&token, &mut fetch::send) {
        let said =
            format!("warning: the token could not be revoked, it ends by itself within an hour: {why}");
        ctx.say(Phase::GitFetch, &said);
    }
    done
}

/// The same with a token that somebody else has got and takes back.
pub(super) fn checkout_with(
    ctx: &mut RunContext,
    commands: &Commands<'_>,
    commit: Option<&Commit>,
    trust: Trust,
    module: &Module,
    token: Option<&Secret>,
) -> Result<CheckedOut, Failure> {
    let place = Work::checkout(commands.work.real());
    must_be_new(&place)?;
    let reference = commands.terraform.reference.as_str();
    if !is_reference(reference) {
        return Err(Failure::Failed(format!(
            "{reference} is no whole reference like refs/heads/main, check DEPLOYER_TF_APPLY_REF"
        )));
    }
    let remote = Remote::new(&commands.terraform.repo_url)?;
    let credential = token.map(github_app::credential);
    let repository = Repository {
        git: Git {
            commands,
            remote,
            credential,
        },
        reference,
    };
    succeeded(&repository.git.init(ctx)?, "make an empty repository")?;
    let commit = match commit {
        Some(commit) => repository.fetch(ctx, commit, trust).map(|()| commit.clone())?,
        None => repository.fetch_reference(ctx)?,
    };
    repository.check_out(ctx, &commit)?;
    remove_repository(&place)?;
    let folder = module_folder::find(&place, &module.path).map_err(Failure::Failed)?;
    ctx.say(Phase::GitFetch, &format!("checked out {}", short(&commit)));
    for remark in module_folder::remarks(&place, &folder) {
        ctx.say(Phase::GitFetch, &remark);
    }
    Ok(CheckedOut { commit, folder })
}

/// The repository while there is one.
struct Repository<'a> {
    git: Git<'a>,
    reference: &'a str,
}

impl Repository<'_> {
    /// Fetches `commit`, and proves that it is good enough before a file of it is written.
    fn fetch(&self, ctx: &mut RunContext, commit: &Commit, trust: Trust) -> Result<(), Failure> {
        let remote = &self.git.remote;
        ctx.say(
            Phase::GitFetch,
            &format!("fetching {} of {remote}", short(commit)),
        );
        let ended = self.git.fetch(ctx, &["--depth=1"], &commit.to_string())?;
        let needs_history = git::class(&ended) == Some(Class::ReferencesOnly) && !ended.exit.is_success();
        if needs_history {
            self.fetch_whole_history(ctx, commit, &ended)?;
        } else {
            succeeded(&ended, &format!("fetch {commit} of {remote}"))?;
        }
        if trust == Trust::Any {
            return Ok(());
        }
        if !needs_history {
            // The commit is there, so the server sends what came after it: nothing, when it is the reference's own. Only
            // commits are asked for; a server that cannot leave out the rest sends it all.
            let ended = self.git.fetch(ctx, &["--filter=tree:0"], &self.pinned())?;
            let doing = format!("fetch the history of {} of {remote}", self.reference);
            succeeded(&ended, &doing)?;
        }
        self.must_be_merged(ctx, commit)
    }

    /// Fetches the commit of the pinned reference, whichever that is by now.
    fn fetch_reference(&self, ctx: &mut RunContext) -> Result<Commit, Failure> {
        let what = format!("{} of {}", self.reference, self.git.remote);
        ctx.say(Phase::GitFetch, &format!("fetching {what}"));
        let ended = self.git.fetch(ctx, &["--depth=1"], &self.pinned())?;
        succeeded(&ended, &format!("fetch {what}"))?;
        let tip = self.git.commit_of(ctx, PINNED)?;
        tip.ok_or_else(|| Failure::failed(format!("fetch {what}: it is no commit")))
    }

    /// A server that gives only what a reference names gives all of it. Without a filter: it could not be asked for what
    /// that leaves out.
    fn fetch_whole_history(
        &self,
        ctx: &mut RunContext,
        commit: &Commit,
        refused: &Ended,
    ) -> Result<(), Failure> {
        let (reference, remote) = (self.reference, &self.git.remote);
        let why = git::explain(refused);
        let said = format!("{why}; fetching all of {reference} instead, which takes longer");
        ctx.say(Phase::GitFetch, &said);
        let ended = self.git.fetch(ctx, &[], &self.pinned())?;
        succeeded(&ended, &format!("fetch {reference} of {remote}"))?;
        match self.git.commit_of(ctx, &commit.to_string())? {
            Some(_) => Ok(()),
            None => Err(Failure::failed(format!(
                "fetch {commit} of {remote}: the server gives no commit by its id alone, and the history of {reference} \
                 does not have it"
            ))),
        }
    }

    fn must_be_merged(&self, ctx: &mut RunContext, commit: &Commit) -> Result<(), Failure> {
        let ended = self.git.is_ancestor(ctx, commit)?;
        let said = match ended.exit {
            Exit::Code(0) => return Ok(()),
            Exit::Code(1) => String::new(),
            _ => format!(" ({})", git::explain(&ended)),
        };
        Err(Failure::Failed(format!(
            "{commit} is neither the commit of {} nor one of its ancestors, so it is not applied: merge it first; after a \
             force-push, apply what is there now{said}",
            self.reference
        )))
    }

    fn check_out(&self, ctx: &mut RunContext, commit: &Commit) -> Result<(), Failure> {
        succeeded(&self.git.check_out(ctx, commit)?, &format!("check out {commit}"))?;
        match self.git.commit_of(ctx, "HEAD")? {
            Some(there) if there == *commit => Ok(()),
            other => Err(Failure::failed(format!(
                "check out {commit}: the repository is at {} instead",
                other.map_or("no commit".into(), |there| there.to_string())
            ))),
        }
    }

    fn pinned(&self) -> String {
        format!("+{}:{PINNED}", self.reference)
    }
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

fn must_be_new(place: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::failed(format!("look at {}: {error}", place.display()))),
        Ok(_) => Err(Failure::failed(format!(
            "{} is there already, left by another run; remove it",
            place.display()
        ))),
    }
}

/// What stays is files. A repository would be read by the next git that is started there, settings and all.
fn remove_repository(place: &Path) -> Result<(), Failure> {
    let repository = place.join(".git");
    let removed = match fs::symlink_metadata(place) {
        // Its user may be another than ours: nothing beyond a link of theirs is touched.
        Ok(facts) if facts.is_dir() => fs::remove_dir_all(&repository),
        Ok(_) => Err(io::Error::other("it is no folder")),
        Err(error) => Err(error),
    };
    removed.map_err(|error| Failure::failed(format!("remove {}: {error}", repository.display())))
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
