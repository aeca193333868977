//! Under what the memory knows a token, whatever its issuer put into it.

use serde::{Deserialize, Serialize};

use crate::hash::{self, sha256};
use crate::jwt::{Claimed, base64url};

/// The first letter of its kind and a SHA-256. A token with a `jti` is known by its issuer and that, so that no other
/// spelling of the token is another one; a token without (Forgejo's) by the bytes that were signed, of which there is one
/// spelling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId([u8; 1 + hash::LENGTH]);

const OF_JTI: u8 = b'j';
const OF_SIGNED_BYTES: u8 = b's';

impl TokenId {
    /// Of a token that was checked.
    pub fn of(token: &Claimed) -> Self {
        match &token.jti {
            Some(jti) => Self::of_jti(&token.issuer, jti),
            None => Self::new(OF_SIGNED_BYTES, token.claims().signed_hash),
        }
    }

    /// Of a `jti`, exactly as it stands in the token.
    pub fn of_jti(issuer: &str, jti: &str) -> Self {
        Self::new(OF_JTI, sha256(format!("{issuer}\0{jti}").as_bytes()))
    }

    fn new(kind: u8, hash: [u8; hash::LENGTH]) -> Self {
        let mut bytes = [kind; 1 + hash::LENGTH];
        bytes[1..].copy_from_slice(&hash);
        Self(bytes)
    }

    /// As in a record.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Out of a record.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 1 + hash::LENGTH] = bytes.try_into().ok()?;
        matches!(bytes[0], OF_JTI | OF_SIGNED_BYTES).then_some(Self(bytes))
    }
}

impl TryFrom<String> for TokenId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = base64url::decode(text.as_bytes()).unwrap_or_default();
        Self::from_bytes(&bytes).ok_or("not the id of a token")
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> String {
        base64url::encode(&id.0)
    }
}
