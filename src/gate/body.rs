//! The fifth gate: what is asked for.
//!
//! A body becomes an [`Task`] here, once and for all: whatever works with a version or a commit later gets a type that
//! cannot hold anything else. Members that nobody knows are ignored, since clients may be newer than we are.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{BodyRule, Job};
use crate::gate::{Refusal, body_terraform};
use crate::jwt::json;

const NOT_AN_OBJECT: &str = "body must be a JSON object with each name once";
const BAD_VERSION: &str = "version must match X.Y.Z semver";
const BAD_SHA: &str = "sha must be 7 to 40 lowercase hex characters";
pub(super) const BAD_DRY_RUN: &str = "dry_run must be true or false";
const BAD_FORCE: &str = "force must be true or false";
const BAD_COMMIT: &str = "sha must be a 40-character lowercase hex string";
const BAD_PLAN_DIGEST: &str = "plan_digest must be sha256: and 64 lowercase hex characters";

/// What a request asks for, as one of the things that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Deploy a version.
    Deploy(DeployTask),
    /// Run terraform on a commit.
    Terraform(TerraformTask),
}

/// A deploy, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployTask {
    /// Of the image.
    pub version: Version,
    /// The commit it was built from, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<Sha>,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Replace the containers even where that version runs already.
    #[serde(default)]
    pub force: bool,
}

/// A run of terraform, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerraformTask {
    /// Plan, apply, or look for drift.
    pub what: Job,
    /// The commit; only a look for drift may leave it out, and then it is that of the pinned reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha: Option<Commit>,
    /// The module's name; the first one when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// Of the plan that was reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan_digest: Option<PlanDigest>,
    /// Whether a plan that destroys more than the operator's limit is applied all the same.
    #[serde(default)]
    pub allow_destroy: bool,
    /// The pull request that was approved, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_pr: Option<u64>,
}

/// A whole commit id: 40 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

/// `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PlanDigest(String);

/// `X.Y.Z`: three numbers below 2^64 without leading zeros (semver.org, items 2 and 3; no pre-release, no build).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

/// A commit: 7 to 40 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha(String);

/// Reads a body by the endpoint's rule.
pub fn read(rule: &BodyRule, body: &[u8]) -> Result<Task, Refusal> {
    let members = json::object(body).map_err(|fault| refuse(NOT_AN_OBJECT, fault))?;
    match rule {
        BodyRule::Deploy => deploy(&members),
        BodyRule::Terraform(rule) => body_terraform::read(&members, rule),
    }
}

fn deploy(members: &BTreeMap<String, Value>) -> Result<Task, Refusal> {
    Ok(Task::Deploy(DeployTask {
        version: text(members, "version", BAD_VERSION)?.ok_or_else(|| refuse(BAD_VERSION, "no version"))?,
        sha: text(members, "sha", BAD_SHA)?,
        dry_run: switch(members, "dry_run", BAD_DRY_RUN)?,
        force: switch(members, "force", BAD_FORCE)?,
    }))
}

/// The member `name`, which is false when it is not there.
pub(super) fn switch(
    members: &BTreeMap<String, Value>,
    name: &str,
    sentence: &'static str,
) -> Result<bool, Refusal> {
    match members.get(name) {
        None => Ok(false),
        Some(Value::Bool(switch)) => Ok(*switch),
        Some(other) => Err(refuse(sentence, other)),
    }
}

/// The member `name` as a `T`, when it is there.
pub(super) fn text<T: TryFrom<String>>(
    members: &BTreeMap<String, Value>,
    name: &str,
    sentence: &'static str,
) -> Result<Option<T>, Refusal> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => match T::try_from(text.clone()) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(refuse(sentence, format_args!("{name} is {text:?}"))),
        },
        Some(other) => Err(refuse(sentence, format_args!("{name} is {other}"))),
    }
}

pub(super) fn refuse(sentence: &'static str, detail: impl fmt::Display) -> Refusal {
    Refusal::Body {
        sentence,
        detail: detail.to_string(),
    }
}

fn is_version(text: &str) -> bool {
    let numbers: Vec<&str> = text.splitn(4, '.').collect();
    numbers.len() == 3 && numbers.into_iter().all(is_version_number)
}

fn is_version_number(text: &str) -> bool {
    let leading_zero = text.len() > 1 && text.starts_with('0');
    !leading_zero && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
}

fn is_sha(text: &str) -> bool {
    (7..=40).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The rule that a text did not keep; fit for a caller.
type Rule = &'static str;

impl TryFrom<String> for Version {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        if is_version(&text) {
            Ok(Self(text))
        } else {
            Err(BAD_VERSION)
        }
    }
}

impl TryFrom<String> for Sha {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        if is_sha(&text) {
            Ok(Self(text))
        } else {
            Err(BAD_SHA)
        }
    }
}

impl TryFrom<String> for Commit {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        match text.len() == 40 && is_sha(&text) {
            true => Ok(Self(text)),
            false => Err(BAD_COMMIT),
        }
    }
}

impl TryFrom<String> for PlanDigest {
    type Error = Rule;

    fn try_from(text: String) -> Result<Self, Rule> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match digits.len() == 64 && digits.bytes().all(hex) {
            true => Ok(Self(text)),
            false => Err(BAD_PLAN_DIGEST),
        }
    }
}

impl From<Commit> for String {
    fn from(commit: Commit) -> String {
        commit.0
    }
}

impl From<PlanDigest> for String {
    fn from(digest: PlanDigest) -> String {
        digest.0
    }
}

impl fmt::Display for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PlanDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Version> for String {
    fn from(version: Version) -> String {
        version.0
    }
}

impl From<Sha> for String {
    fn from(sha: Sha) -> String {
        sha.0
    }
}

impl Version {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its three numbers: of two versions the lower one has the lower numbers.
    pub fn numbers(&self) -> [u64; 3] {
        let mut numbers = self.0.split('.').map(|number| number.parse().unwrap_or_default());
        std::array::from_fn(|_| numbers.next().unwrap_or_default())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Sha {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
