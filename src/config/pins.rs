//! What a token must say for an endpoint: the pins, and whether they are enough.
//!
//! Values are exact; there are no patterns, and what looks like one is refused, because it would never match. A claim
//! pinned twice, by its own variable and in a list, has two pins, and both must hold. No endpoint is made without pins
//! that name the project and the branch (or the workflow on a branch).

use super::endpoint::{Expected, Pin};
use crate::limits::{MAX_LIST, MAX_PIN};

/// `iss` of github.com; an enterprise may have a path after it.
pub const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Claims that say which project, for issuers other than GitHub's.
const PROJECT: [&str; 4] = ["project_id", "project_path", "repository_id", "repository"];

/// Claims that say which branch or environment. `workflow_ref` ends in the branch.
const BRANCH: [&str; 4] = ["ref", "ref_path", "environment", "workflow_ref"];

/// Claims that have checks of their own; a pin on one of them is a mistake.
const NOT_PINNED: [&str; 6] = ["aud", "iss", "exp", "iat", "nbf", "jti"];

/// Whether `issuer` mints GitHub's tokens, so that GitHub's claims can be asked for.
pub fn is_github(issuer: &str) -> bool {
    issuer
        .strip_prefix(GITHUB)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A claim that must be one of `values`.
pub fn pin(claim: &str, values: Vec<String>) -> Pin {
    Pin {
        claim: claim.to_owned(),
        expected: Expected::AnyOf(values),
    }
}

/// GitHub's `workflow_ref` is always of the repository that runs: anything else could never match.
pub fn are_of(repository: &str, workflows: &[String]) -> bool {
    let prefix = format!("{repository}/");
    workflows.iter().all(|one| one.starts_with(&prefix))
}

/// The least that other issuers' tokens are held to; the error says what it is.
pub fn are_enough(pins: &[Pin]) -> Result<(), String> {
    // No name is in both lists, so one of each is two claims.
    let one_of = |wanted: &[&str]| pins.iter().any(|pin| wanted.contains(&pin.claim.as_str()));
    match one_of(&PROJECT) && one_of(&BRANCH) {
        true => Ok(()),
        false => Err(format!(
            "pins of at least two claims with an issuer other than GitHub: one names the project ({}) and one the \
             branch or environment ({})",
            PROJECT.join(", "),
            BRANCH.join(", ")
        )),
    }
}

/// Two pins on one claim that share no value could never both hold; the error names the claim.
pub fn can_hold(own: &[Pin], listed: &[Pin]) -> Result<(), String> {
    let contrary = |pin: &&Pin| {
        let Expected::AnyOf(values) = &pin.expected else {
            return false;
        };
        let mut others = own.iter().filter(|other| other.claim == pin.claim);
        others.any(|other| !values.iter().any(|value| other.expected.admits(value)))
    };
    match listed.iter().find(contrary) {
        None => Ok(()),
        Some(pin) => Err(format!(
            "in agreement with the variable that pins `{}` too: both must hold, and no value would do",
            pin.claim
        )),
    }
}

/// `text`, if it is `good`; else what it should be.
pub fn checked(text: &str, good: bool, should: &str) -> Result<String, String> {
    match good {
        true => Ok(text.to_owned()),
        false => Err(should.to_owned()),
    }
}

/// Whether `text` is ASCII letters, digits and `more`, and at least one of them.
pub fn is_word(text: &str, more: &[u8]) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
    !text.is_empty() && text.bytes().all(known)
}

/// The entries of a comma-separated list; `what` they are, for who wrote none or more than `most`.
pub fn list<'a>(text: &'a str, most: usize, what: &str) -> Result<Vec<&'a str>, String> {
    let entries = text.split(',').map(str::trim);
    let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
    match (1..=most).contains(&entries.len()) {
        true => Ok(entries),
        false => Err(format!("1 to {most} {what}, separated by commas")),
    }
}

/// `name=value,name=value`; a repeated name adds to what it may be.
pub fn claims(text: &str) -> Result<Vec<Pin>, String> {
    let mut pins: Vec<Pin> = Vec::new();
    for entry in list(text, MAX_LIST, "values")? {
        let (name, value) = entry.split_once('=').ok_or_else(|| {
            format!("NAME=VALUE,NAME=VALUE (`{entry}` has no `=`; to allow several values repeat the name)")
        })?;
        let (name, value) = (claim_name(name)?, exact(value)?);
        match pins.iter_mut().find(|pin| pin.claim == name) {
            Some(Pin {
                expected: Expected::AnyOf(values),
                ..
            }) => values.push(value),
            _ => pins.push(pin(&name, vec![value])),
        }
    }
    Ok(pins)
}

fn claim_name(name: &str) -> Result<String, String> {
    if NOT_PINNED.contains(&name) {
        return Err(format!("without `{name}`: it has a check of its own"));
    }
    let good = (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
    let should = format!("NAME=VALUE,NAME=VALUE (`{name}` is no claim's name)");
    checked(name, good, &should)
}

/// One value, compared byte for byte.
pub fn exact(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("exact: there are no patterns, and `*` would never match; list each value".into());
    }
    let good = (1..=MAX_PIN).contains(&text.len()) && text.trim() == text;
    let should = format!("a value of 1 to {MAX_PIN} bytes without blanks at its ends");
    checked(text, good, &should)
}

/// Exact values, separated by commas.
pub fn exact_list(text: &str) -> Result<Vec<String>, String> {
    list(text, MAX_LIST, "values")?.into_iter().map(exact).collect()
}

/// `OWNER/NAME`, in the letters that GitHub allows.
pub fn repository(text: &str) -> Result<String, String> {
    let parts = exact(text)?;
    let parts = parts.split_once('/');
    let good = parts.is_some_and(|(owner, name)| is_word(owner, b"-_.") && is_word(name, b"-_."));
    checked(text, good, "a repository as OWNER/NAME, exactly, case included")
}

/// Whole values of `workflow_ref`: without `@` and what follows it none could match.
pub fn workflow_refs(text: &str) -> Result<Vec<String>, String> {
    let values = exact_list(text)?;
    let whole = |value: &&String| {
        let parts = value.split_once('@');
        parts.is_some_and(|(file, at)| file.contains('/') && !at.is_empty())
    };
    match values.iter().find(|value| !whole(value)) {
        None => Ok(values),
        Some(bad) => Err(format!(
            "OWNER/NAME/.github/workflows/FILE@refs/heads/BRANCH, whole (`{bad}` is not), or a comma-separated list of such"
        )),
    }
}

#[cfg(feature = "terraform")]
/// A workflow up to its `@`: a pull request's reference varies, and follows.
pub fn workflow_prefix(text: &str) -> Result<String, String> {
    const SHOULD: &str = "OWNER/NAME/.github/workflows/FILE@, up to and with the `@`, and nothing after it";
    let value = exact(text)?;
    let file = value.strip_suffix('@');
    let good = file.is_some_and(|file| file.contains('/') && !file.contains('@'));
    checked(text, good, SHOULD)
}

/// A git reference in full, in letters that git takes for nothing else (git-check-ref-format(1)).
pub fn reference(text: &str) -> Result<String, String> {
    let letter = |b: u8| b.is_ascii_graphic() && !b"~^:?*[\\,".contains(&b);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let good = text.starts_with("refs/")
        && text.bytes().all(letter)
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(part)
        && text.len() <= MAX_PIN;
    checked(text, good, "one full git reference such as `refs/heads/main`")
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
