//! The gates of a token without refusing, for `check-token` on the host: the first rule that fails, and every pin.
//!
//! Nothing is spent, and nothing of this reaches a caller: the details name what was expected. The order of work is
//! that of the gates; the claims of a token whose signature does not hold are not looked at here either.

use std::time::SystemTime;

use crate::config::Endpoint;
use crate::event::harmless;
use crate::gate::{Gates, Refusal, claims, keys};
use crate::jwt::{Claims, Unverified};

/// A rule, and why it does not hold if it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub rule: String,
    pub fault: Option<String>,
}

/// Judges `token` as `endpoint` would.
pub fn explain(token: &[u8], endpoint: &Endpoint, gates: &Gates<'_>, now: SystemTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Of what is wrong beyond the pins the first is the last that is said.
    if let Err(refusal) = walk(token, endpoint, gates, now, &mut findings) {
        let sentence = refusal.sentence().into_owned();
        let (rule, said) = match (&refusal, sentence.strip_prefix("token rejected: ")) {
            (_, Some(rule)) => (rule, String::new()),
            (Refusal::Keys { .. }, None) => ("signing key", format!("{sentence}: ")),
            _ => ("first use", format!("{sentence}: ")),
        };
        findings.push(Finding {
            rule: rule.into(),
            fault: Some(format!("{said}{}", refusal.detail())),
        });
    }
    findings
}

fn walk(
    token: &[u8],
    endpoint: &Endpoint,
    gates: &Gates<'_>,
    now: SystemTime,
    findings: &mut Vec<Finding>,
) -> Result<(), Refusal> {
    let mut found = |rule: &str, fault: Option<String>| {
        findings.push(Finding {
            rule: rule.into(),
            fault: fault.map(|detail| harmless(&detail)),
        });
    };
    let signed = keys::check_signature(Unverified::parse(token)?, &gates.keys, now)?;
    found("signature", None);
    let claims = Claims::read(signed)?;
    for pin in &endpoint.pins {
        found(
            &format!("claim {}", pin.claim),
            claims::compare(pin, &claims).err(),
        );
    }
    let claimed = claims.check(&claims::expected(gates.issuer, endpoint, now))?;
    found("issuer, audience, times", None);
    if let Some(run_id) = gates.memory.first_use(&claimed, now)? {
        return Err(Refusal::Replay { run_id });
    }
    found("first use", None);
    Ok(())
}
