//! What a signed token says: read strictly, compared whole, its times bounded.
//!
//! A claim that is there with the wrong type refuses; it never counts as absent. The pins of an endpoint are not here.

use serde_json::Value;

use crate::hash;
use crate::jwt::Signed;
use crate::jwt::check::{Check, Result};
use crate::jwt::json::{self, Members};
use crate::limits::{LEEWAY, MAX_JTI, MAX_TIME_CLAIM, MAX_TOKEN_AGE, MAX_TOKEN_LIFETIME};

/// Characters of a claim that a log line shows.
const SHOWN: usize = 200;

const LEEWAY_SECONDS: u64 = LEEWAY.as_secs();
const LONGEST_LIFE: i64 = MAX_TOKEN_LIFETIME.as_secs() as i64;
const OLDEST: u64 = MAX_TOKEN_AGE.as_secs();

/// The claims of a signed token; nothing in them has been compared with anything yet.
#[derive(Clone, Debug)]
pub struct Claims {
    members: Members,
    /// SHA-256 of the bytes that were signed.
    pub signed_hash: [u8; hash::LENGTH],
}

/// Claims for which every rule of this module holds: ours by issuer and audience, and alive now. Made by
/// [`Claims::check`] alone.
#[derive(Clone, Debug)]
pub struct Claimed {
    claims: Claims,
    pub issuer: String,
    /// An opaque text, unique among the issuer's tokens that have one.
    pub jti: Option<String>,
    /// `iat`, in seconds since 1970.
    pub issued: u64,
    /// `exp`, in seconds since 1970; see [`dead_from`].
    pub expires: u64,
}

/// The first second at which a token that says `exp` is dead.
///
/// One function for two decisions: until when a token is accepted, and until when its id is remembered. If an id were
/// forgotten before its token is dead, the token could be used once more in between.
pub fn dead_from(exp: u64) -> u64 {
    exp.saturating_add(LEEWAY_SECONDS)
}

impl Claims {
    /// Reads the payload.
    ///
    /// # Errors
    /// [`Check::PAYLOAD`]: it is not one JSON object in which every name is unique.
    pub fn read(signed: Signed) -> Result<Self> {
        Ok(Self {
            members: Check::PAYLOAD.needs(json::object(&signed.payload))?,
            signed_hash: signed.hash,
        })
    }

    /// The claims, once every rule holds; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The first rule that does not.
    pub fn check(self, issuer: &str, audience: &str, now: u64) -> Result<Claimed> {
        Check::ISSUER.needs(self.is_exactly("iss", issuer))?;
        Check::AUDIENCE.needs(self.is_exactly("aud", audience))?;
        Check::SUBJECT.needs(self.text("sub"))?;
        let jti = Check::TOKEN_ID.needs(self.jti())?;
        let issued = Check::ISSUED_AT.needs(self.past_time("iat", now))?;
        if self.members.contains_key("nbf") {
            Check::NOT_BEFORE.needs(self.past_time("nbf", now))?;
        }
        let expires = Check::EXPIRY.needs(self.time("exp"))?;
        let ago = now.saturating_sub(expires);
        let dead = format!("exp was {ago} s ago by this host's clock (leeway {LEEWAY_SECONDS} s)");
        Check::EXPIRY.holds(now < dead_from(expires), dead)?;
        let life = expires as i64 - issued as i64;
        let odd = format!("exp lies {life} s after iat, must be 1 to {LONGEST_LIFE} s");
        Check::LIFETIME.holds((1..=LONGEST_LIFE).contains(&life), odd)?;
        let age = now.saturating_sub(issued);
        let old = format!("iat was {age} s ago by this host's clock, must be {OLDEST} s at most");
        Check::AGE.holds(age <= OLDEST, old)?;
        Ok(Claimed {
            claims: self,
            issuer: issuer.to_owned(),
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

    /// Every claim, checked or not, for the record.
    pub fn members(&self) -> &Members {
        &self.members
    }

    fn is_exactly(&self, name: &str, expected: &str) -> Result<(), String> {
        match self.text(name)? {
            Some(text) if text == expected => Ok(()),
            Some(text) => Err(format!("{name} is {}, must be `{expected}`", shown(&text.into()))),
            None => Err(format!("no {name}, must be `{expected}`")),
        }
    }

    /// Whole seconds since 1970. A float, a negative, an exponent or a text is not a time, however near. At most 2^53.
    fn time(&self, name: &str) -> Result<u64, String> {
        let value = self.members.get(name).ok_or_else(|| format!("no {name}"))?;
        let time = value.as_u64().filter(|seconds| *seconds <= MAX_TIME_CLAIM);
        time.ok_or_else(|| format!("{name} is {}, must be whole seconds since 1970", shown(value)))
    }

    /// A time that does not lie ahead of `now` by more than the leeway.
    fn past_time(&self, name: &str, now: u64) -> Result<u64, String> {
        let time = self.time(name)?;
        if time > now.saturating_add(LEEWAY_SECONDS) {
            let ahead = time - now;
            return Err(format!(
                "{name} lies {ahead} s ahead of this host's clock (leeway {LEEWAY_SECONDS} s)"
            ));
        }
        Ok(time)
    }

    /// Forgejo's tokens have none; one that is there must be good for something.
    fn jti(&self) -> Result<Option<String>, String> {
        match self.text("jti")? {
            Some(jti) if !(1..=MAX_JTI).contains(&jti.len()) => {
                Err(format!("jti of {} bytes, must be 1 to {MAX_JTI}", jti.len()))
            }
            jti => Ok(jti.map(str::to_owned)),
        }
    }
}

impl Claimed {
    pub fn claims(&self) -> &Claims {
        &self.claims
    }
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
