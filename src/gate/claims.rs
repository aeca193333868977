//! The fourth gate: what the token says, compared with what this endpoint wants.
//!
//! Everything is compared whole and byte for byte. A pin whose claim is missing, or is not a string, refuses.

use std::time::SystemTime;

#[cfg(feature = "terraform")]
use crate::config::BodyRule;
use crate::config::{Endpoint, Expected, Pin};
use crate::gate::Refusal;
#[cfg(feature = "terraform")]
use crate::gate::Task;
use crate::jwt::{self, Claimed, Claims, Signed};
use crate::os::clock::unix_seconds;

/// Reads the claims, checks the rules of every token, then the pins of this endpoint.
pub fn check(signed: Signed, issuer: &str, endpoint: &Endpoint, now: SystemTime) -> Result<Claimed, Refusal> {
    let claimed = Claims::read(signed)?.check(&expected(issuer, endpoint, now))?;
    if endpoint.pins.is_empty() {
        // Configuration does not make such an endpoint; if it ever did, nobody passes.
        return Err(Refusal::Pin {
            claim: "(none)".into(),
            detail: format!("{} has no pins", endpoint.path),
        });
    }
    for pin in &endpoint.pins {
        compare(pin, claimed.claims()).map_err(|detail| Refusal::Pin {
            claim: pin.claim.clone(),
            detail,
        })?;
    }
    Ok(claimed)
}

/// What every token for `endpoint` must say, whatever its pins.
pub fn expected<'a>(issuer: &'a str, endpoint: &'a Endpoint, now: SystemTime) -> jwt::Expected<'a> {
    jwt::Expected {
        issuer,
        audience: &endpoint.audience,
        now: unix_seconds(now),
    }
}

/// Whether one pin holds; else the detail for the log.
pub fn compare(pin: &Pin, claims: &Claims) -> Result<(), String> {
    let name = &pin.claim;
    let wanted = match &pin.expected {
        Expected::AnyOf(values) => format!("`{}`", values.join("` or `")),
        Expected::PullRequestOf(prefix) => format!("`{prefix}refs/pull/NUMBER/merge`"),
    };
    match claims.text(name)? {
        Some(value) if pin.expected.admits(value) => Ok(()),
        Some(value) => Err(format!(
            "{name} is `{value}`, must be {wanted} (exactly, letter case included)"
        )),
        None => Err(format!("no {name}, must be {wanted}")),
    }
}

#[cfg(feature = "terraform")]
/// After the body: whether the commit that an apply names is the one that its token is for, where the endpoint asks for
/// it. A job may ask for any commit in its body, but its token says which one it runs on; with the two equal, whoever may
/// start the workflow cannot have it apply what the workflow did not see. A token without the claim is refused.
pub fn check_commit(task: &Task, claimed: &Claimed, endpoint: &Endpoint) -> Result<(), Refusal> {
    let (BodyRule::Terraform(rule), Task::Terraform(asked)) = (&endpoint.body, task) else {
        return Ok(());
    };
    if !rule.require_sha {
        return Ok(());
    }
    let asked = asked.sha.as_ref().map_or("", |sha| sha.as_str());
    let refuse = |detail| Refusal::Commit { detail };
    match claimed.claims().text("sha").map_err(refuse)? {
        Some(claim) if claim == asked => Ok(()),
        claim => Err(refuse(format!(
            "sha is `{asked}`, must be the token's, which is `{}`",
            claim.unwrap_or_default()
        ))),
    }
}
