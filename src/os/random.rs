//! Random names. Nothing secret is made here.

use ring::rand::{SecureRandom, SystemRandom};

use crate::jwt::base64url;

/// `2 * N` lower-case hex digits.
pub fn hex<const N: usize>() -> std::io::Result<String> {
    let mut bytes = [0u8; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the kernel gives no random bytes"))?;
    Ok(base64url::hex(&bytes))
}
