//! SHA-256 and its HMAC, in the one place outside of tokens that names ring's digests.

use ring::digest::{Context, SHA256};
#[cfg(feature = "terraform")]
use ring::hmac;

/// Bytes of a hash.
pub const LENGTH: usize = 32;

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; LENGTH] {
    let mut hash = Sha256::new();
    hash.update(bytes);
    hash.finish()
}

/// The HMAC-SHA256 of `bytes` (RFC 2104).
#[cfg(feature = "terraform")]
pub fn hmac_sha256(key: &[u8], bytes: &[u8]) -> [u8; LENGTH] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), bytes);
    let mut hash = [0; LENGTH];
    hash.copy_from_slice(tag.as_ref());
    hash
}

/// A SHA-256 over bytes that come in parts.
pub struct Sha256(Context);

impl Sha256 {
    #[expect(clippy::new_without_default, reason = "no part of a hash has a default")]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> [u8; LENGTH] {
        let mut hash = [0; LENGTH];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}
