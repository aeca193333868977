//! Where a run of terraform works: one folder, made anew for each run and gone with it.
//!
//! A plan and an apply see it at the same path, so that paths in a plan agree; where the files of a plan really lie is
//! nobody's folder but the plan's. Plan files and terraform's data hold secrets: nobody else may enter.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};

use crate::config::{Job, TerraformConfig};
use crate::os::privilege::Identity;
use crate::os::{files, tree, trusted};

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of code that nobody has approved yet.
    Plan,
    /// Of code that was merged.
    Apply,
}

impl Kind {
    pub fn of(job: Job) -> Self {
        match job {
            Job::TfPlan => Kind::Plan,
            _ => Kind::Apply,
        }
    }
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct Work {
    seen: PathBuf,
    real: PathBuf,
}

impl Work {
    /// The folder of a run of this kind; it need not exist.
    pub fn of(config: &TerraformConfig, kind: Kind) -> Self {
        let real = match kind {
            Kind::Plan => &config.plan_workdir,
            Kind::Apply => &config.workdir,
        };
        Self {
            seen: config.workdir.join("work"),
            real: real.join("work"),
        }
    }

    /// As the tools see it.
    pub fn seen(&self) -> &Path {
        &self.seen
    }

    /// As we see it: where it lies.
    pub fn real(&self) -> &Path {
        &self.real
    }

    /// Terraform's settings that we write, if we do: beside the folder, where only root writes. As we see it.
    pub fn real_settings(&self) -> PathBuf {
        self.real.with_file_name("terraform.rc")
    }

    /// The same as the tools see it, read-only: `TF_CLI_CONFIG_FILE`.
    pub fn seen_settings(&self) -> PathBuf {
        self.seen.with_file_name("terraform.rc")
    }

    /// What terraform shows of a plan, for as long as it is read: beside the folder, where only we write, because what a
    /// plan runs must not choose what we read. It holds every secret of the plan. As we see it.
    pub fn real_shown(&self) -> PathBuf {
        self.real.with_file_name("show.json")
    }

    /// Makes the folder anew with what is below it, all of it `owner`'s alone (root's without one).
    ///
    /// # Errors
    /// When somebody other than root could put another folder in its place, when `owner` could not get to it, and when
    /// it could not be made; each names the folder.
    pub fn make(&self, owner: Option<Identity>, kind: Kind) -> Result<(), String> {
        for folder in [&self.real, &self.seen].map(|folder| parent(folder)) {
            files::ensure_folder(folder, 0o711)
                .map_err(|error| files::describe(&error, "make the folder", folder))?;
        }
        // In a sandbox nobody goes the real way.
        let walker = owner.filter(|_| kind == Kind::Apply);
        check_way(parent(&self.real), walker)?;
        self.remove()?;
        // The checkout is for git to make.
        let below = [Self::data(&self.real), Self::home(&self.real)];
        for folder in std::iter::once(&self.real).chain(&below) {
            make_folder(folder).map_err(|error| files::describe(&error, "make the folder", folder))?;
        }
        // The outermost last: until then nobody but root is in it.
        for folder in below.iter().chain([&self.real]) {
            give(folder, owner).map_err(|error| files::describe(&error, "give away the folder", folder))?;
        }
        Ok(())
    }

    /// Removes the folder and all that is in it, whoever it belongs to, and what was shown of the plan; no link is
    /// followed.
    ///
    /// # Errors
    /// When something could not be removed.
    pub fn remove(&self) -> Result<(), String> {
        let both = [self.real_shown(), self.real.clone()];
        let removed =
            both.map(|path| tree::remove(&path).map_err(|error| files::describe(&error, "remove", &path)));
        removed.into_iter().collect()
    }

    /// The checked-out commit, beneath [`Work::seen`] or [`Work::real`].
    pub fn checkout(root: &Path) -> PathBuf {
        root.join("checkout")
    }

    /// `TF_DATA_DIR`.
    pub fn data(root: &Path) -> PathBuf {
        root.join("data")
    }

    /// An empty `HOME`.
    pub fn home(root: &Path) -> PathBuf {
        root.join("home")
    }

    /// The saved plan.
    pub fn plan_file(root: &Path) -> PathBuf {
        root.join("plan.bin")
    }
}

fn parent(folder: &Path) -> &Path {
    folder.parent().unwrap_or(Path::new("/"))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(folder)
}

fn give(folder: &Path, owner: Option<Identity>) -> io::Result<()> {
    match owner {
        Some(owner) => fchown(File::open(folder)?, Some(owner.uid), Some(owner.gid)),
        None => Ok(()),
    }
}

/// Whether nobody but root can put another folder in the place of `folder`, and whether `walker` can enter it: as it is
/// written, and as it is when links are followed.
fn check_way(folder: &Path, walker: Option<Identity>) -> Result<(), String> {
    let real = fs::canonicalize(folder).map_err(|error| files::describe(&error, "find", folder))?;
    for way in [folder, real.as_path()] {
        for part in way.ancestors() {
            let facts = part.metadata();
            let facts = facts.map_err(|error| files::describe(&error, "look at", part))?;
            let shared = if part == way { Shared::No } else { Shared::Sticky };
            if let Some(fault) = fault(&facts, shared, walker) {
                return Err(format!(
                    "refuse to work in {}: {}: {fault}",
                    folder.display(),
                    part.display()
                ));
            }
        }
    }
    Ok(())
}

/// Whether others may write to a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    /// Not at all.
    No,
    /// Where what is root's stays root's, as in `/tmp`.
    Sticky,
}

fn fault(facts: &Metadata, shared: Shared, walker: Option<Identity>) -> Option<String> {
    let is_sticky = facts.uid() == 0 && facts.mode() & 0o1000 != 0;
    let written = trusted::fault(facts).filter(|_| !(shared == Shared::Sticky && is_sticky));
    written.or_else(|| {
        let walker = walker.filter(|_| facts.mode() & 0o001 == 0)?;
        Some(format!(
            "uid {} cannot enter it (mode {:04o}); allow that (chmod o+x), or set DEPLOYER_TF_APPLY_WORKDIR elsewhere",
            walker.uid,
            facts.mode() & 0o7777
        ))
    })
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
