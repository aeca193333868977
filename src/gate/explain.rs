//! The gates of a token without refusing, for `check-token` on the host: the first rule that fails, and every pin.
//!
//! Nothing is spent, and nothing of this reaches a caller: the details name what was expected. The order of work is
//! that of the gates; the claims of a token whose signature does not hold are not looked at here either.

use crate::config::Endpoint;
use crate::event::harmless;
use crate::gate::{Gates, Refusal, Result, claims, keys};
use crate::jwt::{Claims, Unverified};
use crate::os::clock::unix_seconds;

/// A rule, and why it does not hold if it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: String,
    pub fault: Option<String>,
}

/// Judges `token` as `endpoint` would.
pub fn explain(token: &[u8], endpoint: &Endpoint, gates: &Gates) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Of what is wrong beyond the pins the first is the last that is said.
    if let Err(refusal) = walk(token, endpoint, gates, &mut findings) {
        let rule = &refusal.sentence;
        findings.push(Finding {
            rule: rule.strip_prefix("token rejected: ").unwrap_or(rule).into(),
            fault: Some(refusal.detail),
        });
    }
    findings
}

fn walk(token: &[u8], endpoint: &Endpoint, gates: &Gates, findings: &mut Vec<Finding>) -> Result {
    let mut found = |rule: &str, fault: Option<String>| {
        findings.push(Finding {
            rule: rule.into(),
            fault: fault.map(|detail| harmless(&detail)),
        });
    };
    let signed = keys::check_signature(Unverified::parse(token)?, &gates.keys, gates.now)?;
    found("signature", None);
    let claims = Claims::read(signed)?;
    for pin in &endpoint.pins {
        let fault = claims::compare(pin, &claims).err();
        found(&format!("claim {}", pin.claim), fault);
    }
    let claimed = claims.check(gates.issuer, &endpoint.audience, unix_seconds(gates.now))?;
    found("issuer, audience, times", None);
    if let Some(run_id) = gates.memory.first_use(&claimed, gates.now)? {
        return Err(Refusal::replay(&run_id));
    }
    found("first use", None);
    Ok(())
}
