//! What a saved plan would do: how much it adds, changes and destroys, and its digest.

use std::fmt;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::limits::MAX_PLAN_JSON;
use crate::os::{files, trusted};

use super::digest::{Part, Plan, changes_value, digest_of};

/// How much a plan would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub add: usize,
    /// In place.
    pub change: usize,
    /// Gone, replaced ones included.
    pub destroy: usize,
}

/// A saved plan.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Resources.
    pub counts: Counts,
    /// Resources that are not as they were left.
    pub drifted: usize,
    /// Outputs that would be others.
    pub outputs: usize,
    /// Whether it is whole: an interrupted plan is saved as well, and must not be applied.
    pub complete: bool,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// What the digest is made of.
    pub parts: Vec<Part>,
}

impl Counts {
    /// As the outcome names them.
    pub fn value(self) -> Value {
        json!({"add": self.add, "change": self.change, "destroy": self.destroy})
    }
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
/// When it is not the JSON of a plan, or the plan no file of terraform's.
pub fn read(shown: &Path, plan: &Path, module: &Path) -> io::Result<Summary> {
    let shown = String::from_utf8(files::read_bounded(shown, MAX_PLAN_JSON)?);
    let shown = shown.map_err(io::Error::other)?;
    let mut document = Plan::new(&shown)?;
    let resources = document.changes("resource_changes")?;
    let count = |name: &str| {
        resources
            .iter()
            .flatten()
            .filter(|action| *action == name)
            .count()
    };
    let mut changed = |kind| -> io::Result<usize> {
        let all = document.changes(kind)?;
        Ok(all.iter().filter(|actions| changes_value(actions)).count())
    };
    let (drifted, outputs) = (changed("resource_drift")?, changed("output_changes")?);
    let complete = document.is_whole()?;
    // Whoever is planned for may have put anything in its place.
    let (plan_file, _) = trusted::open(plan)?;
    let parts = document.parts(&files::read_bounded_from(plan_file, plan, MAX_PLAN_JSON)?, module)?;
    Ok(Summary {
        counts: Counts {
            add: count("create"),
            change: count("update"),
            destroy: count("delete"),
        },
        drifted,
        outputs,
        complete,
        digest: digest_of(&parts),
        parts,
    })
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
