//! The rules a token is checked against, by name, and what a broken one looks like.

use std::fmt;

/// One rule, in the order in which they are checked: when one fails, those before it held.
///
/// Its text is all that a caller learns (`token rejected: signature`); what was expected stays in the log, so that
/// nobody can read the policy out by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// At most [`crate::limits::MAX_TOKEN`] bytes.
    Length,
    /// Three parts between dots, none of them empty (RFC 7515 section 7.1, the compact form).
    Parts,
    /// Each part is canonical base64url.
    Encoding,
    /// The header is one flat object of strings with `alg`, `typ`, `kid`, `x5t` at most, each once.
    Header,
    /// `alg` is `RS256`.
    Algorithm,
    /// `typ`, when there is one, is `JWT`.
    Type,
    /// `kid` names a key, in printable ASCII of bounded length.
    KeyId,
    /// The issuer's key set has that key.
    Key,
    /// The signature holds over the bytes as they came.
    Signature,
    /// The payload is one JSON object without duplicate names.
    Payload,
    /// `iss` is the configured issuer.
    Issuer,
    /// `aud` is one string, that of the endpoint.
    Audience,
    /// `sub`, when there is one, is a string.
    Subject,
    /// `jti`, when there is one, is a string of bounded length.
    TokenId,
    /// `iat` is there and not in the future.
    IssuedAt,
    /// `nbf`, when there is one, is not in the future.
    NotBefore,
    /// `exp` is there and not in the past.
    Expiry,
    /// `exp` lies after `iat`, by [`crate::limits::MAX_TOKEN_LIFETIME`] at most.
    Lifetime,
    /// `iat` lies back by [`crate::limits::MAX_TOKEN_AGE`] at most.
    Age,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Check::Length => "length",
            Check::Parts => "three parts",
            Check::Encoding => "base64url",
            Check::Header => "header",
            Check::Algorithm => "algorithm (alg)",
            Check::Type => "type (typ)",
            Check::KeyId => "key id (kid)",
            Check::Key => "signing key",
            Check::Signature => "signature",
            Check::Payload => "payload",
            Check::Issuer => "issuer (iss)",
            Check::Audience => "audience (aud)",
            Check::Subject => "subject (sub)",
            Check::TokenId => "token id (jti)",
            Check::IssuedAt => "issued at (iat)",
            Check::NotBefore => "not before (nbf)",
            Check::Expiry => "expiry (exp)",
            Check::Lifetime => "lifetime",
            Check::Age => "age",
        })
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

impl Check {
    /// This rule as broken, with the detail for the log.
    pub(crate) fn rejects(self, detail: impl fmt::Display) -> Rejected {
        Rejected {
            check: self,
            detail: detail.to_string(),
        }
    }

    /// What this rule was asked, or the rule as broken.
    pub(super) fn needs<T>(self, result: Result<T, impl fmt::Display>) -> Result<T, Rejected> {
        result.map_err(|detail| self.rejects(detail))
    }
}
