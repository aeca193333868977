//! SHA-256: the one file that hashes.

use ring::digest::{Context, SHA256};

/// Bytes of a hash.
pub const LENGTH: usize = 32;

/// The hash of all `parts`, one behind the other.
pub fn sha256(parts: &[&[u8]]) -> [u8; LENGTH] {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut hash = [0; LENGTH];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
