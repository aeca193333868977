//! The third gate: the issuer's signature.
//!
//! Which key is the token's own word, taken as a name and nothing else. A signature that fails under a known key never
//! causes a fetch: only an unknown name does, and the cache bounds how often.

use std::time::SystemTime;

use crate::gate::Refusal;
use crate::gate::keys::{Keys, NoKey};
use crate::jwt::{self, Check, Signed, Unverified};

/// Finds the key and verifies.
pub fn check(token: Unverified<'_>, keys: &Keys<'_>, now: SystemTime) -> Result<Signed, Refusal> {
    let key = keys.find(token.kid(), now)?;
    Ok(jwt::verify(token, &key)?)
}

impl From<NoKey> for Refusal {
    fn from(fault: NoKey) -> Self {
        match fault {
            NoKey::Unknown(detail) => Refusal::Token(Check::Key.rejects(detail)),
            NoKey::Unavailable(detail) => Refusal::Keys { detail },
        }
    }
}
