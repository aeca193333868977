//! The fourth gate: what the token says, compared with what this endpoint wants.
//!
//! Everything is compared whole and byte for byte. A pin whose claim is missing, or is not a string, refuses.

use std::time::SystemTime;

#[cfg(feature = "terraform")]
use crate::config::{BodyRule, TerraformBody};
use crate::config::{Endpoint, Expected, Pin};
use crate::gate::{Refusal, Result};
#[cfg(feature = "terraform")]
use crate::gate::{Task, TerraformTask};
use crate::jwt::{Claimed, Claims, Signed};
use crate::os::clock::unix_seconds;

/// Reads the claims, checks the rules of every token, then the pins of this endpoint.
pub fn check(signed: Signed, issuer: &str, endpoint: &Endpoint, now: SystemTime) -> Result<Claimed> {
    let claimed = Claims::read(signed)?.check(issuer, &endpoint.audience, unix_seconds(now))?;
    if endpoint.pins.is_empty() {
        // Configuration does not make such an endpoint; if it ever did, nobody passes.
        return Err(Refusal::token(
            "claim (none)",
            format_args!("{} has no pins", endpoint.path),
        ));
    }
    for pin in &endpoint.pins {
        compare(pin, claimed.claims())
            .map_err(|detail| Refusal::token(format_args!("claim {}", pin.claim), detail))?;
    }
    Ok(claimed)
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

/// After the body: whether the commit that an apply names is the one that its token is for, where the endpoint asks for
/// it. A job may ask for any commit in its body, but its token says which one it runs on; with the two equal, whoever may
/// start the workflow cannot have it apply what the workflow did not see. A token without the claim is refused.
#[cfg(feature = "terraform")]
pub fn check_commit(task: &Task, claimed: &Claimed, endpoint: &Endpoint) -> Result {
    let BodyRule::Terraform(TerraformBody {
        require_sha: true, ..
    }) = &endpoint.body
    else {
        return Ok(());
    };
    let Task::Terraform(TerraformTask { sha: Some(asked), .. }) = task else {
        return Ok(());
    };
    let detail = match claimed.claims().text("sha") {
        Ok(Some(claim)) if claim == asked.as_str() => return Ok(()),
        Ok(claim) => format!(
            "sha is `{asked}`, must be the token's, which is `{}`",
            claim.unwrap_or_default()
        ),
        Err(detail) => detail,
    };
    Err(Refusal::COMMIT.because(detail))
}
