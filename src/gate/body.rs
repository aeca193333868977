//! The fifth gate: what is asked for.
//!
//! A body becomes a [`Task`] here, once and for all: whatever works with a version or a commit later gets a type that
//! cannot hold anything else. Members that nobody knows are ignored, since clients may be newer than we are; but not one
//! that is a known one in another spelling: who sends `dryrun` wants no deploy.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checked_text::{CheckedText, TextRule, is_hex, is_sha256};
use crate::config::{BodyRule, Job};
#[cfg(feature = "terraform")]
use crate::gate::body_terraform;
use crate::gate::{Refusal, Result};
use crate::jwt::json::{self, Members};

/// What a request asks for, as one of the things that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Deploy a version.
    Deploy(DeployTask),
    /// Run terraform on a commit.
    #[cfg(feature = "terraform")]
    Terraform(TerraformTask),
}

/// A deploy, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployTask {
    /// Of the image.
    pub version: Version,
    /// The commit it was built from, for the record.
    pub sha: Option<Sha>,
    /// Check everything, change nothing.
    pub dry_run: bool,
    /// Replace the containers even where that version runs already.
    pub force: bool,
    /// Take the image that was healthy as this version, whatever its tag names now. Only somebody on the host can ask so.
    pub rollback: bool,
}

/// A run of terraform, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerraformTask {
    /// Plan, apply, or look for drift.
    pub what: Job,
    /// The commit; only a look for drift may leave it out, and then it is that of the pinned reference.
    pub sha: Option<Commit>,
    /// The module's name; the first one when there is none.
    pub module: Option<String>,
    /// Of the plan that was reviewed.
    pub plan_digest: Option<PlanDigest>,
    /// Whether a plan that destroys more than the operator's limit is applied all the same.
    pub allow_destroy: bool,
    /// The pull request that was approved, for the record.
    pub approved_pr: Option<u64>,
}

pub type Version = CheckedText<VersionRule>;
pub type Sha = CheckedText<ShaRule>;
pub type Commit = CheckedText<CommitRule>;
pub type PlanDigest = CheckedText<PlanDigestRule>;

/// Three numbers below 2^64 without leading zeros (semver.org, items 2 and 3; no pre-release, no build).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionRule {}

/// A commit, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShaRule {}

/// A whole commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitRule {}

/// Of a plan that was reviewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanDigestRule {}

impl TextRule for VersionRule {
    const SENTENCE: &'static str = "version must match X.Y.Z semver";

    fn admits(text: &str) -> bool {
        // Whatever it is read as must be written as it stands there: no sign, no leading zero.
        let is_number = |text: &str| text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
        text.split('.').count() == 3 && text.split('.').all(is_number)
    }
}

impl TextRule for ShaRule {
    const SENTENCE: &'static str = "sha must be 7 to 40 lowercase hex characters";

    fn admits(text: &str) -> bool {
        (7..=40).contains(&text.len()) && is_hex(text)
    }
}

impl TextRule for CommitRule {
    const SENTENCE: &'static str = "sha must be a 40-character lowercase hex string";

    fn admits(text: &str) -> bool {
        text.len() == 40 && is_hex(text)
    }
}

impl TextRule for PlanDigestRule {
    const SENTENCE: &'static str = "plan_digest must be sha256: and 64 lowercase hex characters";

    fn admits(text: &str) -> bool {
        is_sha256(text)
    }
}

impl Version {
    /// Its three numbers: of two versions the lower one has the lower numbers.
    pub fn numbers(&self) -> [u64; 3] {
        let mut numbers = self.as_str().split('.').flat_map(str::parse);
        std::array::from_fn(|_| numbers.next().unwrap_or_default())
    }
}

/// Every member that some endpoint knows.
const KNOWN: [&str; 8] = [
    "version",
    "sha",
    "dry_run",
    "force",
    "module",
    "plan_digest",
    "allow_destroy",
    "approved_pr",
];

/// Reads a body by the endpoint's rule.
pub fn read(rule: &BodyRule, body: &[u8]) -> Result<Task> {
    let members = json::object(body)
        .map_err(|fault| Refusal::body("body must be a JSON object with each name once", fault))?;
    no_other_spelling(&members)?;
    match rule {
        BodyRule::Deploy => Ok(Task::Deploy(DeployTask {
            version: required(&members, "version")?,
            sha: text(&members, "sha")?,
            dry_run: switch(&members, "dry_run")?,
            force: switch(&members, "force")?,
            rollback: false,
        })),
        #[cfg(feature = "terraform")]
        BodyRule::Terraform(rule) => body_terraform::read(&members, rule),
    }
}

/// Refuses a member that equals a known one but for `-`, `_` and case.
fn no_other_spelling(members: &Members) -> Result {
    let folded = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    for name in members.keys().filter(|name| !KNOWN.contains(&name.as_str())) {
        if let Some(known) = KNOWN.iter().find(|known| folded(known) == folded(name)) {
            let detail = format_args!("there is {}", Value::from(name.as_str()));
            return Err(Refusal::body(format!("{known} must be spelled just so"), detail));
        }
    }
    Ok(())
}

/// The member `name`, which is false when it is not there.
pub fn switch(members: &Members, name: &str) -> Result<bool> {
    match members.get(name) {
        None => Ok(false),
        Some(Value::Bool(switch)) => Ok(*switch),
        Some(other) => Err(Refusal::body(format!("{name} must be true or false"), other)),
    }
}

/// The member `name`, by its rule.
pub fn required<R: TextRule>(members: &Members, name: &str) -> Result<CheckedText<R>> {
    text(members, name)?.ok_or_else(|| Refusal::body(R::SENTENCE, format_args!("no {name}")))
}

/// The same where it may be left out.
pub fn text<R: TextRule>(members: &Members, name: &str) -> Result<Option<CheckedText<R>>> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    let checked = value
        .as_str()
        .and_then(|text| CheckedText::try_from(text.to_owned()).ok());
    let refusal = || Refusal::body(R::SENTENCE, format_args!("{name} is {value}"));
    checked.map(Some).ok_or_else(refusal)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
