//! The signature: RSASSA-PKCS1-v1_5 with SHA-256, the one algorithm, by ring.
//!
//! Neither the header nor the key chooses anything here. What is verified are the bytes as they came, and the payload
//! that goes on is the one that was decoded from those bytes.

use ring::rsa::PublicKeyComponents;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;

use crate::jwt::check::{Check, Rejected};
use crate::jwt::{PublicKey, Unverified};

/// The payload of a token that the issuer signed. What it says may still be anything. Made by [`verify`] alone.
#[derive(Debug)]
pub struct Signed {
    pub(super) payload: Vec<u8>,
}

/// Verifies the token under `key`.
///
/// # Errors
/// [`Check::Signature`]; ring does not say why, and nobody should be told.
pub fn verify(token: Unverified<'_>, key: &PublicKey) -> Result<Signed, Rejected> {
    let public = PublicKeyComponents {
        n: &key.modulus,
        e: &key.exponent,
    };
    public
        .verify(&RSA_PKCS1_2048_8192_SHA256, token.signed_text, &token.signature)
        .map_err(|_| {
            Check::Signature.rejects(format_args!("it does not hold under key {:?}", token.kid()))
        })?;
    Ok(Signed {
        payload: token.payload,
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
}
