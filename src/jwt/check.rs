//! The rules a token is checked against, by name, and what a broken one looks like.

use std::fmt::Display;

pub type Result<T = (), E = Rejected> = std::result::Result<T, E>;

/// One rule, by its name, which is all that a caller learns (`token rejected: signature`); what was expected stays in the
/// log, so that nobody can read the policy out by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check(pub &'static str);

/// In the order in which they are checked: when one fails, those before it held.
impl Check {
    /// At most [`crate::limits::MAX_TOKEN`] bytes.
    pub const LENGTH: Self = Self("length");
    /// Three parts between dots, none of them empty (RFC 7515 section 7.1, the compact form).
    pub const PARTS: Self = Self("three parts");
    /// Each part is canonical base64url.
    pub const ENCODING: Self = Self("base64url");
    /// The header is one flat object of strings with `alg`, `typ`, `kid`, `x5t` at most, each once.
    pub const HEADER: Self = Self("header");
    /// `alg` is `RS256`.
    pub const ALGORITHM: Self = Self("algorithm (alg)");
    /// `typ`, when there is one, is `JWT`.
    pub const TYPE: Self = Self("type (typ)");
    /// `kid` names a key, in printable ASCII of bounded length.
    pub const KEY_ID: Self = Self("key id (kid)");
    /// The issuer's key set has that key.
    pub const KEY: Self = Self("signing key");
    /// The signature holds over the bytes as they came.
    pub const SIGNATURE: Self = Self("signature");
    /// The payload is one JSON object without duplicate names.
    pub const PAYLOAD: Self = Self("payload");
    /// `iss` is the configured issuer.
    pub const ISSUER: Self = Self("issuer (iss)");
    /// `aud` is one string, that of the endpoint.
    pub const AUDIENCE: Self = Self("audience (aud)");
    /// `sub`, when there is one, is a string.
    pub const SUBJECT: Self = Self("subject (sub)");
    /// `jti`, when there is one, is a string of bounded length.
    pub const TOKEN_ID: Self = Self("token id (jti)");
    /// `iat` is there and not in the future.
    pub const ISSUED_AT: Self = Self("issued at (iat)");
    /// `nbf`, when there is one, is not in the future.
    pub const NOT_BEFORE: Self = Self("not before (nbf)");
    /// `exp` is there and not in the past.
    pub const EXPIRY: Self = Self("expiry (exp)");
    /// `exp` lies after `iat`, by [`crate::limits::MAX_TOKEN_LIFETIME`] at most.
    pub const LIFETIME: Self = Self("lifetime");
    /// `iat` lies back by [`crate::limits::MAX_TOKEN_AGE`] at most.
    pub const AGE: Self = Self("age");

    /// This rule as broken, with the detail for the log.
    pub(crate) fn rejects(self, detail: impl Display) -> Rejected {
        Rejected {
            check: self,
            detail: detail.to_string(),
        }
    }

    /// What this rule was asked, or the rule as broken.
    pub(super) fn needs<T>(self, result: Result<T, impl Display>) -> Result<T> {
        result.map_err(|detail| self.rejects(detail))
    }

    /// Whether this rule holds; if not, the rule as broken.
    pub(super) fn holds(self, holds: bool, detail: impl Display) -> Result {
        holds.then_some(()).ok_or_else(|| self.rejects(detail))
    }
}

/// A token that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The rule, for the caller.
    pub check: Check,
    /// What was found and what should have been, for the log alone. Holds text of the token: escape it there.
    pub detail: String,
}
