//! What a saved plan would do: how much it adds, changes and destroys, and its digest.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::limits::MAX_PLAN_FILE;
use crate::os::{files, trusted};

use super::digest::{Part, Plan, changes_value, digest_of};

/// How much a plan would do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// New ones.
    pub add: usize,
    /// In place.
    pub change: usize,
    /// Gone, replaced ones included.
    pub destroy: usize,
}

/// A saved plan.
#[derive(Debug)]
pub struct Summary {
    /// Resources.
    pub counts: Counts,
    /// Resources that are not as they were left.
    pub drifted: usize,
    /// Outputs that would be others.
    pub outputs: usize,
    /// Whether there is anything to do; a change of an output alone counts. Terraform's exit status tells it.
    pub has_changes: bool,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// What the digest is made of.
    pub(super) parts: Vec<Part>,
}

/// As a person reads it.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to add, {} to change, {} to destroy",
            self.add, self.change, self.destroy
        )
    }
}

/// Reads what `terraform show -json` printed of `plan` into `shown`; it is a plan of the module in the folder `module`.
///
/// # Errors
/// When it is not the JSON of a plan, or the plan no file of terraform's; and of an interrupted plan, which is saved as
/// well, and must not be applied.
pub fn read(shown: &Path, plan: &Path, module: &Path) -> io::Result<Summary> {
    let shown = File::open(shown)?;
    let mut document = Plan::new(&shown)?;
    if !document.is_whole()? {
        return Err(io::Error::other("it is not whole"));
    }
    let actions = document.changes("resource_changes")?.concat();
    let count = |name: &str| actions.iter().filter(|action| *action == name).count();
    let mut changed = |kind| -> io::Result<usize> {
        let all = document.changes(kind)?;
        Ok(all.iter().filter(|actions| changes_value(actions)).count())
    };
    let (drifted, outputs) = (changed("resource_drift")?, changed("output_changes")?);
    // Whoever is planned for may have put anything in its place.
    let (plan_file, _) = trusted::open(plan)?;
    let parts = document.parts(&files::read_bounded_from(plan_file, plan, MAX_PLAN_FILE)?, module)?;
    Ok(Summary {
        counts: Counts {
            add: count("create"),
            change: count("update"),
            destroy: count("delete"),
        },
        drifted,
        outputs,
        has_changes: false,
        digest: digest_of(&parts),
        parts,
    })
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
