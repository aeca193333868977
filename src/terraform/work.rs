//! Where a run of terraform works: one folder, made anew for each run and gone with it.
//!
//! A plan and an apply see it at the same path, so that paths in a plan agree; where the files of a plan really lie is
//! nobody's folder but the plan's. Plan files and terraform's data hold secrets: nobody else may enter.

use std::fs::{self, DirBuilder, Metadata};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::config::{Job, TerraformConfig};
use crate::os::privilege::Identity;
use crate::os::{files, tree, trusted};

/// In the folder: the checked-out commit.
pub const CHECKOUT: &str = "checkout";
/// `TF_DATA_DIR`.
pub const DATA: &str = "data";
/// An empty `HOME`.
pub const HOME: &str = "home";
/// The saved plan.
pub const PLAN_FILE: &str = "plan.bin";

/// Beside the folder, where only root writes: terraform's settings, if we write any.
pub const SETTINGS: &str = "terraform.rc";
/// What terraform shows of a plan, for as long as it is read: what a plan runs must not choose what we read. It holds
/// every secret of the plan.
pub const SHOWN: &str = "show.json";

/// The folder of a run.
#[derive(Clone)]
pub struct Work {
    /// As the tools see it.
    pub seen: PathBuf,
    /// Where it lies.
    pub real: PathBuf,
}

impl Work {
    /// The folder of a run of `job`; it need not exist.
    pub fn of(config: &TerraformConfig, job: Job) -> Self {
        let real = match job {
            Job::TfPlan => &config.plan_workdir,
            _ => &config.workdir,
        };
        Self {
            seen: config.workdir.join("work"),
            real: real.join("work"),
        }
    }

    /// Makes the folder anew with what is below it, all of it `owner`'s alone (root's without one).
    ///
    /// # Errors
    /// When somebody other than root could put another folder in its place, when `owner` could not get to it, and when
    /// it could not be made; each names the folder.
    pub fn make(&self, owner: Option<Identity>, job: Job) -> Result<(), String> {
        let described = |error, folder: &Path| files::describe(&error, "make the folder", folder);
        for folder in [parent(&self.real), parent(&self.seen)] {
            files::ensure_folder(folder, 0o711).map_err(|error| described(error, folder))?;
        }
        // In a sandbox nobody goes the real way.
        check_way(parent(&self.real), owner.filter(|_| job != Job::TfPlan))?;
        self.remove()?;
        let (uid, gid) = owner.map(|owner| (owner.uid, owner.gid)).unzip();
        // The outermost last: until then nobody but root is in it. The checkout is for git to make.
        for folder in [self.real.join(DATA), self.real.join(HOME), self.real.clone()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.and_then(|()| chown(&folder, uid, gid))
                .map_err(|error| described(error, &folder))?;
        }
        Ok(())
    }

    /// Removes the folder and all that is in it, whoever it belongs to, and what was shown of the plan; no link is
    /// followed.
    ///
    /// # Errors
    /// When something could not be removed.
    pub fn remove(&self) -> Result<(), String> {
        let both = [self.real.with_file_name(SHOWN), self.real.clone()];
        let remove =
            |path: PathBuf| tree::remove(&path).map_err(|error| files::describe(&error, "remove", &path));
        both.map(remove).into_iter().collect()
    }
}

fn parent(folder: &Path) -> &Path {
    folder.parent().unwrap_or(Path::new("/"))
}

/// Whether nobody but root can put another folder in the place of `folder`, and whether `walker` can enter it: as it is
/// written, and as it is when links are followed.
fn check_way(folder: &Path, walker: Option<Identity>) -> Result<(), String> {
    let real = fs::canonicalize(folder).map_err(|error| files::describe(&error, "find", folder))?;
    for part in folder.ancestors().chain(real.ancestors()) {
        let facts = part
            .metadata()
            .map_err(|error| files::describe(&error, "look at", part))?;
        // Above it others may write where what is root's stays root's, as in `/tmp`.
        let is_sticky = facts.uid() == 0 && facts.mode() & 0o1000 != 0 && part != folder && part != real;
        let fault = trusted::fault(&facts).filter(|_| !is_sticky);
        if let Some(fault) = fault.or_else(|| closed_to(walker?, &facts)) {
            let (folder, part) = (folder.display(), part.display());
            return Err(format!("refuse to work in {folder}: {part}: {fault}"));
        }
    }
    Ok(())
}

fn closed_to(walker: Identity, facts: &Metadata) -> Option<String> {
    let (uid, mode) = (walker.uid, facts.mode() & 0o7777);
    (mode & 0o001 == 0).then(|| {
        format!("uid {uid} cannot enter it (mode {mode:04o}): set DEPLOYER_TF_APPLY_WORKDIR elsewhere")
    })
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
