//! What a saved plan would do: how much it adds, changes and destroys, and its digest.
//!
//! The documents are read in pieces: a plan may be larger than our memory, and there are secrets in it.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::digest::{Part, Plan, digest_of};

/// How much a plan would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New ones.
    pub add: u64,
    /// In place.
    pub change: u64,
    /// Gone, replaced ones included.
    pub destroy: u64,
}

/// A saved plan.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Resources.
    pub counts: Counts,
    /// Resources that are not as they were left.
    pub drifted: u64,
    /// Outputs that would be others.
    pub outputs: u64,
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

/// Reads what `terraform show -json` printed of `plan`, a plan of the module in the folder `module`.
///
/// # Errors
/// When it is not the JSON of a plan, or the plan no file of terraform's.
pub fn read(shown: &File, plan: &File, module: &Path) -> io::Result<Summary> {
    let mut document = Plan::new(shown)?;
    let (mut counts, mut drifted, mut outputs) = (Counts::default(), 0, 0);
    document.changes("resource_changes", &mut |entry| {
        for action in &entry.actions {
            match action.as_str() {
                "create" => counts.add += 1,
                "update" => counts.change += 1,
                "delete" => counts.destroy += 1,
                _ => {}
            }
        }
    })?;
    document.changes("resource_drift", &mut |entry| {
        drifted += u64::from(entry.is_changed())
    })?;
    document.changes("output_changes", &mut |entry| {
        outputs += u64::from(entry.is_changed())
    })?;
    let complete = document.is_whole()?;
    let parts = document.parts(plan, module)?;
    Ok(Summary {
        counts,
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
