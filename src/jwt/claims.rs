//! What a signed token says: read strictly, compared whole, its times bounded.
//!
//! A claim that is there with the wrong type refuses; it never counts as absent. The pins of an endpoint are not here.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::hash;
use crate::jwt::check::{Check, Rejected};
use crate::jwt::{Signed, json};
use crate::limits::{LEEWAY, MAX_JTI, MAX_TIME_CLAIM, MAX_TOKEN_AGE, MAX_TOKEN_LIFETIME};

/// Characters of a claim that a log line shows.
const SHOWN: usize = 200;

/// The claims of a signed token; nothing in them has been compared with anything yet.
#[derive(Clone, Debug)]
pub struct Claims {
    members: BTreeMap<String, Value>,
    signed_hash: [u8; hash::LENGTH],
}

/// What the claims are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// `iss`, byte for byte.
    pub issuer: &'a str,
    /// `aud`, byte for byte.
    pub audience: &'a str,
    /// Seconds since 1970.
    pub now: u64,
}

/// Claims for which every rule of this module holds: ours by issuer and audience, and alive now.
#[derive(Clone, Debug)]
pub struct Claimed {
    claims: Claims,
    issuer: String,
    jti: Option<String>,
    issued: u64,
    expires: u64,
}

/// The first second at which a token that says `exp` is dead.
///
/// One function for two decisions: until when a token is accepted, and until when its id is remembered. If an id were
/// forgotten before its token is dead, the token could be used once more in between.
pub fn dead_from(exp: u64) -> u64 {
    exp.saturating_add(LEEWAY.as_secs())
}

impl Claims {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`Check::Payload`]: it is not one JSON object in which every name is unique.
    pub fn read(signed: Signed) -> Result<Self, Rejected> {
        Ok(Self {
            members: Check::Payload.needs(json::object(&signed.payload))?,
            signed_hash: signed.hash,
        })
    }

    /// The claims, once every rule holds.
    ///
    /// # Errors
    /// The first rule that does not.
    pub fn check(self, expected: &Expected<'_>) -> Result<Claimed, Rejected> {
        let now = expected.now;
        Check::Issuer.needs(self.is_exactly("iss", expected.issuer))?;
        Check::Audience.needs(self.is_exactly("aud", expected.audience))?;
        Check::Subject.needs(self.text("sub"))?;
        let jti = Check::TokenId.needs(self.jti())?.map(str::to_owned);
        let issued = Check::IssuedAt.needs(self.time("iat"))?;
        Check::IssuedAt.needs(not_ahead("iat", issued, now))?;
        if self.members.contains_key("nbf") {
            let not_before = Check::NotBefore.needs(self.time("nbf"))?;
            Check::NotBefore.needs(not_ahead("nbf", not_before, now))?;
        }
        let expires = Check::Expiry.needs(self.time("exp"))?;
        Check::Expiry.needs(not_dead(expires, now))?;
        Check::Lifetime.needs(bounded_life(issued, expires))?;
        Check::Age.needs(bounded_age(issued, now))?;
        Ok(Claimed {
            claims: self,
            issuer: expected.issuer.to_owned(),
            jti,
            issued,
            expires,
        })
    }

    /// The claim `name`, a string; `None` when there is none.
    ///
    /// # Errors
    /// Text for the log when it is anything but a string.
    pub fn text(&self, name: &str) -> Result<Option<&str>, String> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(format!("{name} is {}, must be a string", shown(other))),
        }
    }

    fn is_exactly(&self, name: &str, expected: &str) -> Result<(), String> {
        match self.text(name)? {
            Some(text) if text == expected => Ok(()),
            Some(text) => Err(format!("{name} is {}, must be `{expected}`", shown(&text.into()))),
            None => Err(format!("no {name}, must be `{expected}`")),
        }
    }

    /// Whole seconds since 1970. A float, a negative, an exponent or a text is not a time, however near.
    fn time(&self, name: &str) -> Result<u64, String> {
        let value = self.members.get(name).ok_or_else(|| format!("no {name}"))?;
        match value.as_u64() {
            Some(seconds) if seconds <= MAX_TIME_CLAIM => Ok(seconds),
            _ => Err(format!(
                "{name} is {}, must be whole seconds since 1970",
                shown(value)
            )),
        }
    }

    /// Forgejo's tokens have none; one that is there must be good for something.
    fn jti(&self) -> Result<Option<&str>, String> {
        match self.text("jti")? {
            Some(jti) if !(1..=MAX_JTI).contains(&jti.len()) => {
                Err(format!("jti of {} bytes, must be 1 to {MAX_JTI}", jti.len()))
            }
            jti => Ok(jti),
        }
    }
}

impl Claimed {
    /// Every claim, checked or not, for the record.
    pub fn members(&self) -> &BTreeMap<String, Value> {
        &self.claims.members
    }

    /// The same, for comparing them with what one endpoint wants.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// `iss`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `jti`: an opaque text, unique among the issuer's tokens that have one.
    pub fn jti(&self) -> Option<&str> {
        self.jti.as_deref()
    }

    /// SHA-256 of the bytes that were signed.
    pub fn signed_hash(&self) -> &[u8; hash::LENGTH] {
        &self.claims.signed_hash
    }

    /// `iat`, in seconds since 1970.
    pub fn issued(&self) -> u64 {
        self.issued
    }

    /// `exp`, in seconds since 1970; see [`dead_from`].
    pub fn expires(&self) -> u64 {
        self.expires
    }
}

fn not_ahead(name: &str, time: u64, now: u64) -> Result<(), String> {
    if time > now.saturating_add(LEEWAY.as_secs()) {
        let ahead = time.saturating_sub(now);
        return Err(format!(
            "{name} lies {ahead} s ahead of this host's clock (leeway {} s)",
            LEEWAY.as_secs()
        ));
    }
    Ok(())
}

fn not_dead(exp: u64, now: u64) -> Result<(), String> {
    if now >= dead_from(exp) {
        let ago = now.saturating_sub(exp);
        return Err(format!(
            "exp was {ago} s ago by this host's clock (leeway {} s)",
            LEEWAY.as_secs()
        ));
    }
    Ok(())
}

fn bounded_life(iat: u64, exp: u64) -> Result<(), String> {
    let most = MAX_TOKEN_LIFETIME.as_secs();
    match exp.checked_sub(iat) {
        Some(1..) if exp - iat <= most => Ok(()),
        Some(life) => Err(format!("exp lies {life} s after iat, must be 1 to {most} s")),
        None => Err(format!("exp lies {} s before iat", iat - exp)),
    }
}

fn bounded_age(iat: u64, now: u64) -> Result<(), String> {
    let (age, most) = (now.saturating_sub(iat), MAX_TOKEN_AGE.as_secs());
    if age > most {
        return Err(format!(
            "iat was {age} s ago by this host's clock, at most {most} s are accepted"
        ));
    }
    Ok(())
}

/// A claim as a log line shows it: as JSON, cut.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
#[path = "claims_tests.rs"]
mod tests;
