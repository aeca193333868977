//! Under what the memory knows a token, whatever its issuer put into it.

use serde::{Deserialize, Serialize};

use crate::hash::{self, sha256};
use crate::jwt::{Claimed, base64url};

/// A kind and a SHA-256. A token with a `jti` is known by its issuer and that, so that no other spelling of the token is
/// another one; a token without (Forgejo's) by the bytes that were signed, of which there is one spelling.
///
/// The first text always has a NUL in it and the second, which is base64url, never has, so neither can stand for the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId {
    kind: Kind,
    hash: [u8; hash::LENGTH],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Jti,
    SignedBytes,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Jti, Kind::SignedBytes];

    fn name(self) -> &'static str {
        match self {
            Kind::Jti => "jti",
            Kind::SignedBytes => "signed",
        }
    }

    /// Its name's first letter, in a record.
    fn letter(self) -> u8 {
        self.name().as_bytes()[0]
    }
}

impl TokenId {
    /// Bytes of one in a record.
    pub const LENGTH: usize = 1 + hash::LENGTH;

    /// Of a token that was checked.
    pub fn of(token: &Claimed) -> Self {
        match token.jti() {
            Some(jti) => Self::of_jti(token.issuer(), jti),
            None => Self {
                kind: Kind::SignedBytes,
                hash: *token.signed_hash(),
            },
        }
    }

    /// Of a `jti`, exactly as it stands in the token.
    pub fn of_jti(issuer: &str, jti: &str) -> Self {
        Self {
            kind: Kind::Jti,
            hash: sha256(format!("{issuer}\0{jti}").as_bytes()),
        }
    }

    /// As in a record.
    pub fn bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [self.kind.letter(); Self::LENGTH];
        bytes[1..].copy_from_slice(&self.hash);
        bytes
    }

    /// Out of a record.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (letter, hash) = bytes.split_first()?;
        Some(Self {
            kind: Kind::ALL.into_iter().find(|kind| kind.letter() == *letter)?,
            hash: hash.try_into().ok()?,
        })
    }
}

impl TryFrom<String> for TokenId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parsed = text.split_once(':').and_then(|(name, digits)| {
            Some(Self {
                kind: Kind::ALL.into_iter().find(|kind| kind.name() == name)?,
                hash: base64url::unhex(digits)?.try_into().ok()?,
            })
        });
        parsed.ok_or("not `jti:` or `signed:` and a SHA-256 in lower-case hex")
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> String {
        format!("{}:{}", id.kind.name(), base64url::hex(&id.hash))
    }
}
