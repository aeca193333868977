//! The signature: RSASSA-PKCS1-v1_5 with SHA-256, the one algorithm, by ring.
//!
//! Neither the header nor the key chooses anything here. What is verified are the bytes as they came, and the payload
//! that goes on is the one that was decoded from those bytes.

use ring::rsa::PublicKeyComponents;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;

use crate::hash::{self, sha256};
use crate::jwt::check::{Check, Result};
use crate::jwt::{PublicKey, Unverified};

/// The payload of a token that the issuer signed. What it says may still be anything. Made by [`verify`] alone.
#[derive(Debug)]
pub struct Signed {
    pub(super) payload: Vec<u8>,
    /// Of the bytes that were signed. They have one spelling.
    pub(super) hash: [u8; hash::LENGTH],
}

/// Verifies the token under `key`.
///
/// # Errors
/// [`Check::SIGNATURE`]; ring does not say why, and nobody should be told.
pub fn verify(token: Unverified<'_>, key: &PublicKey) -> Result<Signed> {
    let public = PublicKeyComponents {
        n: &key.modulus,
        e: &key.exponent,
    };
    let verified = public.verify(&RSA_PKCS1_2048_8192_SHA256, token.signed_text, &token.signature);
    Check::SIGNATURE.holds(
        verified.is_ok(),
        format_args!("it does not hold under key `{}`", token.kid()),
    )?;
    Ok(Signed {
        payload: token.payload,
        hash: sha256(token.signed_text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::KeySet;
    use crate::jwt::base64url;
    use crate::jwt::mint::{Key, base64url as spell};
    use serde_json::json;

    fn holds(token: &str, key: &Key) -> bool {
        let set = KeySet::parse(&key.jwks()).unwrap();
        let token = Unverified::parse(token.as_bytes()).unwrap();
        verify(token, set.get(key.kid()).unwrap()).is_ok()
    }

    fn good() -> String {
        Key::shared().sign_parts(Key::shared().header().to_string().as_bytes(), br#"{"a":1}"#)
    }

    #[test]
    fn a_good_signature_holds_for_every_accepted_size_of_key() {
        assert!(holds(&good(), Key::shared()));
        for bits in [3072, 4096] {
            let key = Key::of_bits(bits);
            assert!(
                holds(&key.sign_parts(key.header().to_string().as_bytes(), b"{}"), &key),
                "{bits}"
            );
        }
    }

    #[test]
    fn a_changed_token_does_not_hold() {
        let good = good();
        let parts: Vec<&str> = good.split('.').collect();
        let header = spell(json!({ "alg": "RS256", "kid": "other" }).to_string().as_bytes());
        assert!(!holds(
            &format!("{header}.{}.{}", parts[1], parts[2]),
            Key::shared()
        ));
        assert!(!holds(
            &format!("{}.{}.{}", parts[0], spell(br#"{"a":2}"#), parts[2]),
            Key::shared()
        ));
        let signature = base64url::decode(parts[2].as_bytes()).unwrap();
        for bit in [0, 7, 8 * 100, 8 * 255 + 7] {
            let mut flipped = signature.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !holds(
                    &format!("{}.{}.{}", parts[0], parts[1], spell(&flipped)),
                    Key::shared()
                ),
                "bit {bit}"
            );
        }
        for other in [
            &signature[1..],
            &signature[..255],
            &[&signature[..], b"\0"].concat(),
            b"\0",
            &[0; 256],
            &[1; 256],
        ] {
            assert!(!holds(
                &format!("{}.{}.{}", parts[0], parts[1], spell(other)),
                Key::shared()
            ));
        }
    }

    #[test]
    fn the_key_of_another_does_not_verify() {
        let other = Key::generate().named(Key::shared().kid());
        assert!(!holds(&good(), &other));
    }

    #[test]
    fn the_public_key_is_no_secret_to_sign_with() {
        // HS256 under the modulus, dressed as RS256.
        let jwk = Key::shared().jwk();
        let input = good().rsplit_once('.').unwrap().0.to_owned();
        let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, jwk["n"].as_str().unwrap().as_bytes());
        let tag = ring::hmac::sign(&secret, input.as_bytes());
        assert!(!holds(&format!("{input}.{}", spell(tag.as_ref())), Key::shared()));
    }

    /// The bytes that a verifier finds under the signature of a 2048-bit key: padding, then what stands for the digest.
    fn encoded(padding: u8, filler: usize, info: &[u8], after: &[u8]) -> Vec<u8> {
        [&[0, 1][..], &vec![padding; filler], &[0], info, after].concat()
    }

    /// A signature over exactly these bytes: the private operation of RSA without any padding, which openssl calls so.
    fn signed_raw(pem: &std::path::Path, bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut child = std::process::Command::new("openssl")
            .args([
                "pkeyutl",
                "-decrypt",
                "-pkeyopt",
                "rsa_padding_mode:none",
                "-inkey",
            ])
            .arg(pem)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }

    #[test]
    fn what_is_signed_is_padded_in_the_one_way() {
        let pem = crate::jwt::mint::openssl_rsa(2048);
        let file = std::env::temp_dir().join(format!("rs256-{}.pem", std::process::id()));
        std::fs::write(&file, &pem).unwrap();
        let key = Key::from_pem(&pem);
        let input = format!("{}.{}", spell(key.header().to_string().as_bytes()), spell(b"{}"));
        let digest = ring::digest::digest(&ring::digest::SHA256, input.as_bytes());
        // DigestInfo of SHA-256 as RFC 8017 section 9.2 has it, and with its NULL left out.
        let with_null = [
            0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20,
        ];
        let without = [
            0x30, 0x2f, 0x30, 0x0b, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 4, 0x20,
        ];
        let info = [&with_null[..], digest.as_ref()].concat();
        let bare = [&without[..], digest.as_ref()].concat();
        let room = 256 - 3;
        for (what, message, good) in [
            (
                "as it should be",
                encoded(0xff, room - info.len(), &info, b""),
                true,
            ),
            ("no NULL", encoded(0xff, room - bare.len(), &bare, b""), false),
            (
                "the digest alone",
                encoded(0xff, room - 32, digest.as_ref(), b""),
                false,
            ),
            (
                "short padding, then anything",
                encoded(0xff, 8, &info, &vec![7; room - 8 - info.len()]),
                false,
            ),
            (
                "another filler",
                encoded(0xfe, room - info.len(), &info, b""),
                false,
            ),
            (
                "a byte after",
                encoded(0xff, room - info.len() - 1, &info, &[0]),
                false,
            ),
        ] {
            let signature = signed_raw(&file, &message);
            assert_eq!(
                holds(&format!("{input}.{}", spell(&signature)), &key),
                good,
                "{what}"
            );
        }
        std::fs::remove_file(&file).unwrap();
    }
}
