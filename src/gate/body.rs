//! The fifth gate: what is asked for.
//!
//! A body becomes an [`Ask`] here, once and for all: whatever works with a version or a commit later gets a type that
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
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// Deploy a version.
    Deploy(DeployAsk),
    /// Run terraform on a commit.
    Terraform(TerraformAsk),
}

/// A deploy, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployAsk {
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
pub struct TerraformAsk {
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
pub fn read(rule: &BodyRule, body: &[u8]) -> Result<Ask, Refusal> {
    let members = json::object(body).map_err(|fault| refuse(NOT_AN_OBJECT, fault))?;
    match rule {
        BodyRule::Deploy => deploy(&members),
        BodyRule::Terraform(rule) => body_terraform::read(&members, rule),
    }
}

fn deploy(members: &BTreeMap<String, Value>) -> Result<Ask, Refusal> {
    Ok(Ask::Deploy(DeployAsk {
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
mod tests {
    use super::*;

    fn sentence(body: &str) -> Option<String> {
        read(&BodyRule::Deploy, body.as_bytes()).err().map(|refusal| {
            assert_eq!(refusal.status(), 400);
            refusal.sentence().into_owned()
        })
    }

    #[test]
    fn a_good_body_is_what_it_says() {
        let body = br#"{"version":"0.5.61","sha":"abc1234","dry_run":true,"force":true,"unknown":{"x":[1]}}"#;
        let ask = |body: &[u8]| match read(&BodyRule::Deploy, body).unwrap() {
            Ask::Deploy(ask) => ask,
            other => panic!("{other:?}"),
        };
        let all = ask(body);
        assert_eq!(
            (
                all.version.to_string(),
                all.sha.unwrap().to_string(),
                all.dry_run,
                all.force
            ),
            ("0.5.61".into(), "abc1234".into(), true, true)
        );
        let least = ask(br#"{"version":"1.0.0"}"#);
        assert_eq!((least.sha, least.dry_run, least.force), (None, false, false));
    }

    #[test]
    fn a_version_is_three_plain_numbers() {
        for good in ["0.0.0", "0.5.61", "10.20.30", "20260102.1.18446744073709551615"] {
            assert_eq!(sentence(&format!(r#"{{"version":"{good}"}}"#)), None, "{good}");
        }
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "1.2.",
            ".1.2",
            "1..2",
            "v1.2.3",
            "1.2.3-rc1",
            "1.2.3+b",
            "01.2.3",
            "1.02.3",
            "1.2.00",
            " 1.2.3",
            "1.2.3 ",
            "1.2.3\\n",
            "1.2.x",
            "-1.2.3",
            "+1.2.3",
            "1.2.3/../x",
            "1.2.18446744073709551616",
            "\u{661}.2.3",
            "latest",
        ] {
            assert_eq!(
                sentence(&format!(r#"{{"version":"{bad}"}}"#)),
                Some(BAD_VERSION.into()),
                "{bad:?}"
            );
        }
        for bad in [
            "{}",
            r#"{"version":1}"#,
            r#"{"version":null}"#,
            r#"{"version":["1.2.3"]}"#,
            r#"{"Version":"1.2.3"}"#,
        ] {
            assert_eq!(sentence(bad), Some(BAD_VERSION.into()), "{bad}");
        }
    }

    #[test]
    fn versions_compare_by_their_numbers_and_not_as_text() {
        let numbers = |text: &str| Version::try_from(text.to_owned()).unwrap().numbers();
        assert_eq!(numbers("0.5.61"), [0, 5, 61]);
        assert!(numbers("0.5.9") < numbers("0.5.10") && numbers("0.9.9") < numbers("1.0.0"));
    }

    #[test]
    fn a_commit_is_lower_case_hex() {
        for good in ["abc1234", &"0123456789abcdef".repeat(3)[..40]] {
            assert_eq!(
                sentence(&format!(r#"{{"version":"1.2.3","sha":"{good}"}}"#)),
                None,
                "{good}"
            );
        }
        for bad in [
            "\"\"",
            "\"abc123\"",
            "\"ABC1234\"",
            "\"abc123g\"",
            "\"abc1234 \"",
            "null",
            "7",
            "[]",
        ] {
            assert_eq!(
                sentence(&format!(r#"{{"version":"1.2.3","sha":{bad}}}"#)),
                Some(BAD_SHA.into()),
                "{bad}"
            );
        }
        assert_eq!(
            sentence(&format!(r#"{{"version":"1.2.3","sha":"{}"}}"#, "a".repeat(41))),
            Some(BAD_SHA.into())
        );
    }

    #[test]
    fn a_mistyped_member_does_not_count_as_absent() {
        for bad in ["\"true\"", "1", "0", "null", "[]"] {
            let body = format!(r#"{{"version":"1.2.3","dry_run":{bad}}}"#);
            assert_eq!(sentence(&body), Some(BAD_DRY_RUN.into()), "{bad}");
            let body = format!(r#"{{"version":"1.2.3","force":{bad}}}"#);
            assert_eq!(sentence(&body), Some(BAD_FORCE.into()), "{bad}");
        }
    }

    #[test]
    fn a_body_is_one_object_with_each_name_once() {
        for bad in [
            "",
            "version=1.2.3",
            "\"1.2.3\"",
            r#"["1.2.3"]"#,
            r#"{"version":"1.2.3","version":"1.2.4"}"#,
            r#"{"version":"1.2.3","\u0076ersion":"1.2.4"}"#,
            r#"{"version":"1.2.3","dry_run":true,"dry_run":false}"#,
            r#"{"version":"1.2.3"} {"version":"1.2.3"}"#,
        ] {
            assert_eq!(sentence(bad), Some(NOT_AN_OBJECT.into()), "{bad}");
        }
    }

    #[test]
    fn a_record_cannot_bring_back_what_no_body_could_hold() {
        assert!(serde_json::from_str::<Version>("\"1.2.3/../x\"").is_err());
        assert!(serde_json::from_str::<Sha>("\"$(id)\"").is_err());
        let ask = read(&BodyRule::Deploy, br#"{"version":"1.2.3","sha":"abc1234"}"#).unwrap();
        let text = serde_json::to_string(&ask).unwrap();
        assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask);
    }
}
