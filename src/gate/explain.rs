//! The gates of a token without refusing: every rule with its verdict, for `check-token` on the host.
//!
//! Nothing is spent, and nothing of this reaches a caller: the details name what was expected. The order of work is
//! that of the gates; the claims of a token whose signature does not hold are not looked at here either.

use std::fmt;
use std::time::SystemTime;

use crate::config::Endpoint;
use crate::gate::{Gates, Refusal, claims};
use crate::jwt::{Check, Claimed, Claims, Rejected, Unverified, verify};

/// One rule and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule's name.
    pub rule: String,
    /// What came of it.
    pub verdict: Verdict,
}

/// What came of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not, for this reason.
    Fail(String),
    /// A rule before it failed, and this one needs what that one gives.
    NotReached,
}

/// Judges `token` as `endpoint` would, rule by rule, in the order of the gates.
pub fn explain(token: &[u8], endpoint: &Endpoint, gates: &Gates<'_>, now: SystemTime) -> Vec<Finding> {
    let mut findings = Findings::for_endpoint(endpoint);
    findings.walk(token, endpoint, gates, now);
    findings.0
}

/// The rules of the token as text and of its signature.
const BEFORE_THE_CLAIMS: [Check; 3] = [Check::Key, Check::Signature, Check::Payload];

const FIRST_USE: &str = "first use";

struct Findings(Vec<Finding>);

impl Findings {
    fn for_endpoint(endpoint: &Endpoint) -> Self {
        let checks = Check::SHAPE
            .into_iter()
            .chain(BEFORE_THE_CLAIMS)
            .chain(Claims::rules());
        let pins = endpoint.pins.iter().map(|pin| pin_rule(&pin.claim));
        let rules = checks
            .map(|check| check.to_string())
            .chain(pins)
            .chain([FIRST_USE.to_owned()]);
        Self(
            rules
                .map(|rule| Finding {
                    rule,
                    verdict: Verdict::NotReached,
                })
                .collect(),
        )
    }

    /// Stops, with `None`, where the next step has nothing to work on.
    fn walk(&mut self, token: &[u8], endpoint: &Endpoint, gates: &Gates<'_>, now: SystemTime) -> Option<()> {
        let unverified = self.shape(Unverified::parse(token))?;
        let key = self.step(Check::Key, gates.keys.find(unverified.kid(), now))?;
        let signed = self.step(Check::Signature, verify(unverified, &key))?;
        let claims = self.step(Check::Payload, Claims::read(signed))?;
        let expected = claims::expected(gates.issuer, endpoint, now);
        for (check, verdict) in claims.verdicts(&expected) {
            self.note(&check.to_string(), verdict);
        }
        for pin in &endpoint.pins {
            self.note(&pin_rule(&pin.claim), claims::compare(pin, &claims));
        }
        let claimed = claims.check(&expected).ok()?;
        self.note(FIRST_USE, unused(&claimed, gates, now));
        Some(())
    }

    fn shape<T>(&mut self, parsed: Result<T, Rejected>) -> Option<T> {
        let failed = parsed.as_ref().err().map(|rejected| rejected.check);
        for check in Check::SHAPE
            .into_iter()
            .filter(|check| failed.is_none_or(|failed| *check < failed))
        {
            self.note(&check.to_string(), Ok(()));
        }
        parsed
            .map_err(|rejected| self.note(&rejected.check.to_string(), Err(rejected.detail)))
            .ok()
    }

    fn step<T>(&mut self, check: Check, result: Result<T, impl Into<Refusal>>) -> Option<T> {
        let (value, verdict) = match result {
            Ok(value) => (Some(value), Ok(())),
            Err(refusal) => (None, Err(refusal.into().detail())),
        };
        self.note(&check.to_string(), verdict);
        value
    }

    /// Sets the first finding of that name that has no verdict yet: a claim may be pinned twice.
    fn note(&mut self, rule: &str, verdict: Result<(), String>) {
        let open = |finding: &&mut Finding| finding.rule == rule && finding.verdict == Verdict::NotReached;
        if let Some(finding) = self.0.iter_mut().find(open) {
            finding.verdict = verdict.map_or_else(Verdict::Fail, |()| Verdict::Pass);
        }
    }
}

fn pin_rule(claim: &str) -> String {
    format!("claim {claim}")
}

fn unused(claimed: &Claimed, gates: &Gates<'_>, now: SystemTime) -> Result<(), String> {
    match gates.memory.first_use(claimed, now) {
        Ok(None) => Ok(()),
        Ok(Some(run_id)) => Err(format!("it started run {run_id}")),
        Err(refusal) => Err(format!("{}: {}", refusal.sentence(), refusal.detail())),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Pass => f.write_str("pass"),
            Verdict::Fail(detail) => write!(f, "fail: {}", crate::event::harmless(detail)),
            Verdict::NotReached => f.write_str("not reached"),
        }
    }
}
