//! The fourth gate: what the token says, compared with what this endpoint wants.
//!
//! Everything is compared whole and byte for byte. A pin whose claim is missing, or is not a string, refuses.

use std::time::SystemTime;

use crate::config::{Endpoint, Pin};
use crate::gate::Refusal;
use crate::jwt::{Claimed, Claims, Expected, Signed};
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
pub fn expected<'a>(issuer: &'a str, endpoint: &'a Endpoint, now: SystemTime) -> Expected<'a> {
    Expected {
        issuer,
        audience: &endpoint.audience,
        now: unix_seconds(now),
    }
}

/// Whether one pin holds; else the detail for the log.
pub fn compare(pin: &Pin, claims: &Claims) -> Result<(), String> {
    let name = &pin.claim;
    match claims.text(name)? {
        Some(value) if pin.expected.admits(value) => Ok(()),
        Some(value) => Err(format!(
            "{name} is {value:?}, must be {:?} (exactly, letter case included)",
            pin.expected
        )),
        None => Err(format!("no {name}, must be {:?}", pin.expected)),
    }
}
