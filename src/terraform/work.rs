//! Where a run of terraform works: one folder, made anew for each run and gone with it.
//!
//! A plan and an apply see it at the same path, so that paths in a plan agree; where the files of a plan really lie is
//! nobody's folder but the plan's. Plan files and terraform's data hold secrets: nobody else may enter.

use std::path::{Path, PathBuf};

use crate::config::TerraformConfig;

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of code that nobody has approved yet.
    Plan,
    /// Of code that was merged.
    Apply,
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

impl Work {
    /// Removes the folder with all that is in it.
    ///
    /// # Errors
    /// When it is still there.
    pub fn remove(&self) -> std::io::Result<()> {
        crate::os::files::optional(std::fs::remove_dir_all(&self.real)).map(drop)
    }
}
