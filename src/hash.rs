//! SHA-256 and its HMAC, in the one place outside of tokens that names ring's digests.

#[cfg(feature = "terraform")]
use ring::digest::Context;
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

/// A SHA-256 over bytes that come in parts.
#[cfg(feature = "terraform")]
pub struct Sha256(Context);

#[cfg(feature = "terraform")]
impl Sha256 {
    #[expect(clippy::new_without_default, reason = "no part of a hash has a default")]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> [u8; LENGTH] {
        fixed(self.0.finish().as_ref())
    }
}
