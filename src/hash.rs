//! SHA-256 and its HMAC, in the one place outside of tokens that names ring's digests.

use ring::digest::{SHA256, digest};
#[cfg(feature = "terraform")]
use ring::hmac;

/// Bytes of a hash.
pub const LENGTH: usize = 32;

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; LENGTH] {
    fixed(digest(&SHA256, bytes).as_ref())
}

/// The HMAC-SHA256 of `bytes` (RFC 2104).
#[cfg(feature = "terraform")]
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; LENGTH] {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes).as_ref())
}

fn fixed(bytes: &[u8]) -> [u8; LENGTH] {
    let mut hash = [0; LENGTH];
    hash.copy_from_slice(bytes);
    hash
}
