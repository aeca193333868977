//! What a token must say for an endpoint: the pins, and whether they are enough.
//!
//! Values are exact; there are no patterns, and what looks like one is refused, because it would never match. A claim
//! pinned twice, by its own variable and in a list, has two pins, and both must hold. No endpoint is made without pins
//! that name the project and the branch (or the workflow on a branch).

use super::endpoint::{Expected, Pin};
use crate::limits::{MAX_LIST, MAX_PIN};

/// `iss` of github.com; an enterprise may have a path after it.
pub const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Claims that have checks of their own; a pin on one of them is a mistake.
const NOT_PINNED: [&str; 6] = ["aud", "iss", "exp", "iat", "nbf", "jti"];

/// Whether `issuer` mints GitHub's tokens, so that GitHub's claims can be asked for; so does one that is only wrong.
pub fn is_github(issuer: &str) -> bool {
    let rest = issuer.strip_prefix(GITHUB);
    issuer.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A claim that must be one of `values`.
pub fn pin(claim: &str, values: Vec<String>) -> Pin {
    Pin {
        claim: claim.to_owned(),
        expected: Expected::AnyOf(values),
    }
}

/// The least that other issuers' tokens are held to: one claim says which project, and another one which branch or
/// environment. `workflow_ref` ends in the branch.
pub fn are_enough(pins: &[Pin]) -> bool {
    let one_of = |wanted: &[&str]| pins.iter().any(|pin| wanted.contains(&pin.claim.as_str()));
    one_of(&["project_id", "project_path", "repository_id", "repository"])
        && one_of(&["ref", "ref_path", "environment", "workflow_ref"])
}

/// The one of `listed` that could never hold together with the others on its claim: they share no value.
pub fn contrary<'a>(own: &[Pin], listed: &'a [Pin]) -> Option<&'a Pin> {
    listed.iter().find(|pin| {
        let Expected::AnyOf(values) = &pin.expected else {
            return false;
        };
        let mut others = own.iter().filter(|other| other.claim == pin.claim);
        others.any(|other| !values.iter().any(|value| other.expected.admits(value)))
    })
}

/// Whether `text` is ASCII letters, digits and `more`, and at least one of them.
pub fn is_word(text: &str, more: &[u8]) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || more.contains(&b);
    !text.is_empty() && text.bytes().all(known)
}

/// The entries of a comma-separated list, 1 to `most` of them.
pub fn list<T>(text: &str, most: usize, entry: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let entries = text.split(',').map(str::trim).filter(|one| !one.is_empty());
    let found: Option<Vec<T>> = entries.map(entry).collect();
    found.filter(|found| (1..=most).contains(&found.len()))
}

/// `name=value,name=value`; a repeated name adds to what it may be.
pub fn claims(text: &str) -> Option<Vec<Pin>> {
    let mut claims: Vec<(String, Vec<String>)> = Vec::new();
    for (name, value) in list(text, MAX_LIST, claim)? {
        match claims.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => claims.push((name, vec![value])),
        }
    }
    Some(
        claims
            .into_iter()
            .map(|(name, values)| pin(&name, values))
            .collect(),
    )
}

fn claim(entry: &str) -> Option<(String, String)> {
    let (name, value) = entry.split_once('=')?;
    let graphic = (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
    let value = exact(value)?;
    (graphic && !NOT_PINNED.contains(&name)).then(|| (name.to_owned(), value))
}

/// One value, compared byte for byte.
pub fn exact(text: &str) -> Option<String> {
    let good = (1..=MAX_PIN).contains(&text.len()) && text.trim() == text && !text.contains('*');
    good.then(|| text.to_owned())
}

/// Exact values, separated by commas.
pub fn exact_list(text: &str) -> Option<Vec<String>> {
    list(text, MAX_LIST, exact)
}

/// `OWNER/NAME`, in the letters that GitHub allows.
pub fn repository(text: &str) -> Option<String> {
    let (owner, name) = text.split_once('/')?;
    exact(text).filter(|_| is_word(owner, b"-_.") && is_word(name, b"-_."))
}

/// Whole values of `workflow_ref`: without `@` and what follows it none could match.
pub fn workflow_refs(text: &str) -> Option<Vec<String>> {
    let is_whole = |value: &String| {
        let parts = value.split_once('@');
        parts.is_some_and(|(file, at)| file.contains('/') && !at.is_empty())
    };
    list(text, MAX_LIST, |one| exact(one).filter(is_whole))
}

#[cfg(feature = "terraform")]
/// A workflow up to its `@`: a pull request's reference varies, and follows.
pub fn workflow_prefix(text: &str) -> Option<String> {
    let file = text.strip_suffix('@')?;
    exact(text).filter(|_| file.contains('/') && !file.contains('@'))
}

/// A git reference in full, in letters that git takes for nothing else (git-check-ref-format(1)).
pub fn reference(text: &str) -> Option<String> {
    let letter = |b: u8| b.is_ascii_graphic() && !b"~^:?*[\\,".contains(&b);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let good = text.starts_with("refs/")
        && text.bytes().all(letter)
        && !text.contains("..")
        && !text.contains("@{")
        && text.split('/').all(part);
    exact(text).filter(|_| good)
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
