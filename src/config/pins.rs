//! What a token must say for an endpoint: the pins, and whether they are enough.
//!
//! Values are exact; there are no patterns, and what looks like one is refused, because it would never match. A claim
//! pinned twice, by its own variable and in a list, has two pins, and both must hold. No endpoint is made without pins
//! that name the project and the branch (or the workflow on a branch).

use super::reader::Reader;
use super::{Endpoint, Expected, Pin, value};
use crate::limits::MAX_PIN;

/// `iss` of github.com; an enterprise may have a path after it.
pub(super) const GITHUB: &str = "https://token.actions.githubusercontent.com";

/// Claims that say which project, for issuers other than GitHub's.
const PROJECT: [&str; 4] = ["project_id", "project_path", "repository_id", "repository"];

/// Claims that say which branch or environment. `workflow_ref` ends in the branch.
const BRANCH: [&str; 4] = ["ref", "ref_path", "environment", "workflow_ref"];

/// Claims that have checks of their own; a pin on one of them is a mistake.
const NOT_PINNED: [&str; 6] = ["aud", "iss", "exp", "iat", "nbf", "jti"];

const REPOSITORY: &str = "DEPLOYER_REPOSITORY";
const WORKFLOW_REF: &str = "DEPLOYER_WORKFLOW_REF";
const REF: &str = "DEPLOYER_REF";
const CLAIMS: &str = "DEPLOYER_CLAIMS";

/// Whether `issuer` mints GitHub's tokens, so that GitHub's claims can be asked for.
pub(super) fn is_github(issuer: &str) -> bool {
    issuer
        .strip_prefix(GITHUB)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The `/deploy` endpoint. `None` only after a complaint.
pub(super) fn deploy(reader: &mut Reader, issuer: Issued) -> Option<Endpoint> {
    let audience = reader.read("DEPLOYER_AUDIENCE", exact);
    let own = own_pins(reader, issuer);
    let listed = reader.optional(CLAIMS, claims);
    let (own, listed) = (own?, listed?.unwrap_or_default());
    if issuer == Issued::Elsewhere {
        names_enough(reader, &own, &listed)?;
    }
    can_hold(reader, CLAIMS, &own, &listed)?;
    Some(Endpoint::deploy(
        audience?,
        own.into_iter().chain(listed).collect(),
    ))
}

/// Whose tokens they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Issued {
    ByGithub,
    Elsewhere,
}

/// The pins that have variables of their own.
///
/// From GitHub all three are needed. Elsewhere they may be left out; but where the repository or the workflow is
/// pinned, the tokens are like GitHub's, and the default of the reference holds as well.
fn own_pins(reader: &mut Reader, issuer: Issued) -> Option<Vec<Pin>> {
    let like_github =
        issuer == Issued::ByGithub || reader.set(REPOSITORY).is_some() || reader.set(WORKFLOW_REF).is_some();
    let (repository, workflow) = match issuer {
        Issued::ByGithub => (
            reader.read(REPOSITORY, repository).map(Some),
            reader.read(WORKFLOW_REF, workflow_refs).map(Some),
        ),
        Issued::Elsewhere => (
            reader.optional(REPOSITORY, exact),
            reader.optional(WORKFLOW_REF, exact_list),
        ),
    };
    let reference = match (issuer, like_github) {
        (Issued::ByGithub, _) => reader.read(REF, full_ref).map(Some),
        (Issued::Elsewhere, true) => reader.read(REF, exact).map(Some),
        (Issued::Elsewhere, false) => reader.optional(REF, exact),
    };
    let (repository, workflow, reference) = (repository?, workflow?, reference?);
    if issuer == Issued::ByGithub {
        let of = (repository.as_deref(), workflow.as_deref());
        if let (Some(repository), Some(workflows)) = of {
            of_this_repository(reader, (REPOSITORY, repository), (WORKFLOW_REF, workflows))?;
        }
    }
    let pins = [
        ("repository", repository.map(|one| vec![one])),
        ("workflow_ref", workflow),
        ("ref", reference.map(|one| vec![one])),
    ];
    Some(
        pins.into_iter()
            .filter_map(|(claim, values)| Some(pin(claim, values?)))
            .collect(),
    )
}

pub(super) fn pin(claim: &str, values: Vec<String>) -> Pin {
    Pin {
        claim: claim.to_owned(),
        expected: Expected::AnyOf(values),
    }
}

/// GitHub's `workflow_ref` is always of the repository that runs: anything else could never match. Both come with the
/// names of their variables.
pub(super) fn of_this_repository(
    reader: &mut Reader,
    (of, repository): (&str, &str),
    (name, workflows): (&'static str, &[String]),
) -> Option<()> {
    let prefix = format!("{repository}/");
    if workflows.iter().all(|one| one.starts_with(&prefix)) {
        return Some(());
    }
    reader.complain(
        name,
        format!("of {of}, so each value begins with `{prefix}`, case included"),
    );
    None
}

/// The least that other issuers' tokens are held to.
fn names_enough(reader: &mut Reader, own: &[Pin], listed: &[Pin]) -> Option<()> {
    // No name is in both lists, so one of each is two claims.
    let one_of = |wanted: &[&str]| {
        own.iter()
            .chain(listed)
            .any(|pin| wanted.contains(&pin.claim.as_str()))
    };
    if one_of(&PROJECT) && one_of(&BRANCH) {
        return Some(());
    }
    reader.complain(
        CLAIMS,
        format!(
            "pins of at least two claims with an issuer other than GitHub: one names the project ({}) and one the \
             branch or environment ({})",
            PROJECT.join(", "),
            BRANCH.join(", ")
        ),
    );
    None
}

/// Two pins on one claim that share no value could never both hold.
pub(super) fn can_hold(reader: &mut Reader, name: &'static str, own: &[Pin], listed: &[Pin]) -> Option<()> {
    let contrary = |pin: &&Pin| {
        own.iter()
            .filter(|other| other.claim == pin.claim)
            .any(|other| match &pin.expected {
                Expected::AnyOf(values) => !values.iter().any(|value| other.expected.admits(value)),
                Expected::PullRequestOf(_) => false,
            })
    };
    let Some(pin) = listed.iter().find(contrary) else {
        return Some(());
    };
    let text = format!(
        "in agreement with the variable that pins `{}` too: both must hold, and no value would do",
        pin.claim
    );
    reader.complain(name, text);
    None
}

/// `name=value,name=value`; a repeated name adds to what it may be.
pub(super) fn claims(text: &str) -> Result<Vec<Pin>, String> {
    let mut pins: Vec<Pin> = Vec::new();
    for entry in value::entries(text, "values")? {
        let (name, value) = entry.split_once('=').ok_or_else(|| {
            format!("NAME=VALUE,NAME=VALUE (`{entry}` has no `=`; to allow several values repeat the name)")
        })?;
        let (name, value) = (claim_name(name)?, exact(value)?);
        match pins.iter_mut().find(|pin| pin.claim == name) {
            Some(Pin {
                expected: Expected::AnyOf(values),
                ..
            }) => values.push(value),
            _ => pins.push(pin(name, vec![value])),
        }
    }
    Ok(pins)
}

fn claim_name(name: &str) -> Result<&str, String> {
    if NOT_PINNED.contains(&name) {
        return Err(format!("without `{name}`: it has a check of its own"));
    }
    let good = !name.is_empty() && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_graphic());
    if good {
        Ok(name)
    } else {
        Err(format!("NAME=VALUE,NAME=VALUE (`{name}` is no claim's name)"))
    }
}

/// One value, compared byte for byte.
pub(super) fn exact(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("exact: there are no patterns, and `*` would never match; list each value".into());
    }
    if text.is_empty() || text.len() > MAX_PIN || text.trim() != text {
        return Err(format!(
            "a value of 1 to {MAX_PIN} bytes without blanks at its ends"
        ));
    }
    Ok(text.to_owned())
}

/// Exact values, separated by commas.
pub(super) fn exact_list(text: &str) -> Result<Vec<String>, String> {
    value::entries(text, "values")?.into_iter().map(exact).collect()
}

/// `OWNER/NAME`, in the letters that GitHub allows.
pub(super) fn repository(text: &str) -> Result<String, String> {
    let word = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    match exact(text)?.split_once('/') {
        Some((owner, name)) if word(owner) && word(name) => Ok(text.to_owned()),
        _ => Err("a repository as OWNER/NAME, exactly, case included".into()),
    }
}

/// Whole values of `workflow_ref`: without `@` and what follows it none could match.
pub(super) fn workflow_refs(text: &str) -> Result<Vec<String>, String> {
    let values = exact_list(text)?;
    let whole = |value: &String| {
        value
            .split_once('@')
            .is_some_and(|(file, at)| file.contains('/') && !at.is_empty())
    };
    match values.iter().find(|value| !whole(value)) {
        None => Ok(values),
        Some(bad) => Err(format!(
            "OWNER/NAME/.github/workflows/FILE@refs/heads/BRANCH, whole (`{bad}` is not), or a comma-separated list of such"
        )),
    }
}

/// A full git reference, which is what GitHub's `ref` holds. One: no list.
fn full_ref(text: &str) -> Result<String, String> {
    let value = exact(text)?;
    let good =
        value.strip_prefix("refs/").is_some_and(|rest| !rest.is_empty()) && !value.contains([',', ' ']);
    if good {
        Ok(value)
    } else {
        Err("one full git reference such as `refs/heads/main`".into())
    }
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
