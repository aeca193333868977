//! Checking an OIDC token: bytes in, facts out; no I/O, no clock, no configuration.
//!
//! The names carry the trust: a token is [`Unverified`] until its signature holds, [`Signed`] until its claims have
//! been read and compared, and [`Claimed`] after that; each can be made from the one before it alone. One algorithm,
//! one form, one spelling: what a token could choose for itself, it may not (RFC 8725). No verdict is kept:
//! every token is checked from its first byte. [`sign`] makes the one token that we send.

pub mod base64url;
mod check;
mod claims;
mod compact;
pub mod json;
mod jwks;
mod rs256;
#[cfg(feature = "terraform")]
pub mod sign;

pub use check::{Check, Rejected};
pub use claims::{Claimed, Claims, dead_from};
pub use compact::Unverified;
pub use jwks::{KeySet, PublicKey};
pub use rs256::{Signed, verify};

/// Makes tokens for the tests of this crate.
#[cfg(test)]
#[path = "../../tests/support/token.rs"]
#[allow(dead_code, reason = "the promises in tests/ use the rest")]
pub(crate) mod mint;
