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
use crate::run::{Failure, RunContext};
use crate::secret::Secret;
use crate::terraform::app::{self, Installation};
use crate::terraform::folder;
use crate::terraform::git::{Git, PINNED, Refused, Remote, is_reference};
use crate::terraform::git_words::Why;
use crate::terraform::hands::Hands;
use crate::terraform::work::Work;

/// What is to be on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The commit; `None` is that of the pinned reference.
    pub commit: Option<&'a Commit>,
    /// Whether it must have been merged.
    pub trust: Trust,
    /// Where in it terraform runs.
    pub module: &'a Module,
}

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

/// Fetches what is `wanted` into the checkout of this run, which must not exist. [`Work::real`] and the home in it must,
/// and belong to whoever the tools run as.
///
/// # Errors
/// One sentence. What was fetched so far is left for the wipe. A step that does this may take
/// [`crate::limits::CHECKOUT_DEADLINE`].
pub fn checkout(ctx: &mut RunContext, hands: &Hands<'_>, wanted: Wanted<'_>) -> Result<CheckedOut, Failure> {
    let Some(app) = &hands.terraform.app else {
        return checkout_with(ctx, hands, wanted, None);
    };
    let installation =
        Installation::new(hands.config, app, &hands.terraform.repo_url).map_err(Failure::Failed)?;
    let token = installation
        .token(SystemTime::now(), &mut fetch::send)
        .map_err(Failure::Failed)?;
    for secret in app::spellings(&token) {
        ctx.hide(&secret);
    }
    let done = checkout_with(ctx, hands, wanted, Some(&token));
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
    hands: &Hands<'_>,
    wanted: Wanted<'_>,
    token: Option<&Secret>,
) -> Result<CheckedOut, Failure> {
    let place = Work::checkout(hands.work.real());
    must_be_new(&place)?;
    let fetching = Fetching::new(hands, token)?;
    succeeded(fetching.git.init(ctx)?, "make an empty repository")?;
    let commit = match wanted.commit {
        Some(commit) => fetching.commit(ctx, commit, wanted.trust)?,
        None => fetching.tip(ctx)?,
    };
    fetching.check_out(ctx, &commit)?;
    remove_repository(&place)?;
    let folder = folder::find(&place, &wanted.module.path).map_err(Failure::Failed)?;
    ctx.say(Phase::GitFetch, &format!("checked out {}", short(&commit)));
    for remark in folder::remarks(&place, &folder) {
        ctx.say(Phase::GitFetch, &remark);
    }
    Ok(CheckedOut { commit, folder })
}

struct Fetching<'a> {
    git: Git<'a>,
    reference: &'a str,
}

/// Whether the pinned reference's history is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum History {
    There,
    NotYet,
}

impl<'a> Fetching<'a> {
    fn new(hands: &'a Hands<'a>, token: Option<&Secret>) -> Result<Self, Failure> {
        let remote = Remote::new(&hands.terraform.repo_url)?;
        let reference = hands.terraform.reference.as_str();
        if !is_reference(reference) {
            let said = format!(
                "{reference} is no whole reference like refs/heads/main, check DEPLOYER_TF_APPLY_REF"
            );
            return Err(Failure::Failed(said));
        }
        let git = Git::new(hands, remote, token.map(app::credential));
        Ok(Self { git, reference })
    }

    /// Fetches `commit`, and proves that it is good enough before a file of it is written.
    fn commit(&self, ctx: &mut RunContext, commit: &Commit, trust: Trust) -> Result<Commit, Failure> {
        ctx.say(
            Phase::GitFetch,
            &format!("fetching {} of {}", short(commit), self.git.remote),
        );
        let doing = format!("fetch {commit} of {}", self.git.remote);
        let history = match self.git.fetch(ctx, &["--depth=1"], &commit.to_string())? {
            Err(refused) if refused.why == Why::ReferencesOnly => {
                self.whole_history(ctx, &refused)?;
                self.must_have(ctx, commit)?;
                History::There
            }
            other => {
                succeeded(other, &doing)?;
                History::NotYet
            }
        };
        if trust == Trust::Merged {
            self.must_be_merged(ctx, commit, history)?;
        }
        Ok(commit.clone())
    }

    /// Fetches the commit of the pinned reference, whichever that is by now.
    fn tip(&self, ctx: &mut RunContext) -> Result<Commit, Failure> {
        ctx.say(
            Phase::GitFetch,
            &format!("fetching {} of {}", self.reference, self.git.remote),
        );
        let doing = format!("fetch {} of {}", self.reference, self.git.remote);
        succeeded(self.git.fetch(ctx, &["--depth=1"], &self.pinned())?, &doing)?;
        let tip = self.git.commit_of(ctx, PINNED)?;
        tip.ok_or_else(|| Failure::failed(format!("{doing}: it is no commit")))
    }

    /// A server that gives only what a reference names gives all of it. Without a filter: it could not be asked for what
    /// that leaves out.
    fn whole_history(&self, ctx: &mut RunContext, refused: &Refused) -> Result<(), Failure> {
        let said = format!(
            "{} ({}); fetching all of {} instead, which takes longer",
            refused.why.says(),
            refused.said,
            self.reference
        );
        ctx.say(Phase::GitFetch, &said);
        let doing = format!("fetch {} of {}", self.reference, self.git.remote);
        succeeded(self.git.fetch(ctx, &[], &self.pinned())?, &doing)
    }

    fn must_have(&self, ctx: &mut RunContext, commit: &Commit) -> Result<(), Failure> {
        match self.git.commit_of(ctx, &commit.to_string())? {
            Some(_) => Ok(()),
            None => Err(Failure::failed(format!(
                "fetch {commit} of {}: the server gives no commit by its id alone, and the history of {} does not have it",
                self.git.remote, self.reference
            ))),
        }
    }

    /// The commit is fetched already, so the server sends what came after it: nothing, when it is the reference's own.
    /// Only commits are asked for; a server that cannot leave out the rest sends it all.
    fn must_be_merged(&self, ctx: &mut RunContext, commit: &Commit, history: History) -> Result<(), Failure> {
        if history == History::NotYet {
            let doing = format!("fetch the history of {} of {}", self.reference, self.git.remote);
            succeeded(self.git.fetch(ctx, &["--filter=tree:0"], &self.pinned())?, &doing)?;
        }
        match self.git.is_ancestor(ctx, commit)? {
            Ok(()) => Ok(()),
            Err(refused) => Err(self.not_merged(commit, &refused)),
        }
    }

    fn not_merged(&self, commit: &Commit, refused: &Refused) -> Failure {
        let said = match refused.exit {
            Exit::Code(1) => String::new(),
            _ => format!(" ({})", refused.said),
        };
        Failure::Failed(format!(
            "{commit} is neither the commit of {} nor one of its ancestors, so it is not applied: merge it first; after a \
             force-push, apply what is there now{said}",
            self.reference
        ))
    }

    fn check_out(&self, ctx: &mut RunContext, commit: &Commit) -> Result<(), Failure> {
        succeeded(self.git.check_out(ctx, commit)?, &format!("check out {commit}"))?;
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

fn succeeded(done: Result<(), Refused>, doing: &str) -> Result<(), Failure> {
    done.map_err(|refused| {
        Failure::Failed(match refused.why.says() {
            "" => format!("{doing}: {}", refused.said),
            says => format!("{doing}: {says} ({})", refused.said),
        })
    })
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
