//! A token of our own: how a GitHub App shows that it is itself.
//!
//! The other modules of this folder judge tokens; this one makes the one that we send. The key comes as the bytes of a
//! PEM file and is forgotten when the token is made. GitHub takes RS256 alone, and no token that lives longer than ten
//! minutes (docs.github.com, "Generating a JSON Web Token (JWT) for a GitHub App").

use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{Error, PemObject};
use serde_json::json;

use crate::jwt::base64url;
use crate::secret::Secret;

/// Seconds by which `iat` lies in the past: a clock that is a little fast must not make a token of the future.
const BACKDATED: u64 = 60;

/// Seconds from now to `exp`. With [`BACKDATED`] this is GitHub's ten minutes, so a clock that is slow may not be either.
const LIFETIME: u64 = 540;

/// Why a file is not the key of an app. Quotes nothing of it.
type KeyFault = &'static str;

const MISSING: KeyFault =
    "there is no private key in it; it must be the PEM file that GitHub gave for the app";
const ENCRYPTED: KeyFault = "the key in it is encrypted, and nobody here can type a password; decrypt it";
const NOT_RSA: KeyFault = "the key in it is no RSA key; apps of GitHub have RSA keys";
const TOO_SHORT: KeyFault = "the key in it is too short; apps of GitHub have RSA keys of 2048 bits";
const BROKEN: KeyFault = "the key in it is broken; make a new one in the app's settings";

/// What stands in a key that opens with a password alone: RFC 5958's own section, or the header of RFC 1421.
const ENCRYPTED_MARKS: [&[u8]; 2] = [
    b"-----BEGIN ENCRYPTED PRIVATE KEY-----",
    b"Proc-Type: 4,ENCRYPTED",
];

/// The token of the app `id` at `now`, seconds since 1970: RS256 over `iat`, `exp` and `iss`.
///
/// # Errors
/// What is wrong with the key in `pem`: PKCS#1 (`RSA PRIVATE KEY`, as GitHub writes it) or PKCS#8 (`PRIVATE KEY`).
pub fn app_token(pem: &[u8], id: &str, now: u64) -> Result<Secret, KeyFault> {
    let key = key(pem)?;
    let (issued, expires) = (now.saturating_sub(BACKDATED), now.saturating_add(LIFETIME));
    let claims = json!({ "iat": issued, "exp": expires, "iss": id }).to_string();
    let header = base64url::encode(br#"{"alg":"RS256","typ":"JWT"}"#);
    let text = format!("{header}.{}", base64url::encode(claims.as_bytes()));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .map_err(|_| BROKEN)?;
    Ok(Secret::new(format!("{text}.{}", base64url::encode(&signature))))
}

/// Whether `pem` holds a key that [`app_token`] can use.
///
/// # Errors
/// What is wrong with it.
pub fn check(pem: &[u8]) -> Result<(), KeyFault> {
    key(pem).map(drop)
}

fn key(pem: &[u8]) -> Result<KeyPair, KeyFault> {
    // Before it is taken apart: the header of an encrypted PKCS#1 key is no base64.
    let is_there = |mark: &[u8]| pem.windows(mark.len()).any(|part| part == mark);
    if ENCRYPTED_MARKS.into_iter().any(is_there) {
        return Err(ENCRYPTED);
    }
    let found = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        Error::NoItemsFound => MISSING,
        _ => BROKEN,
    });
    let made = match found? {
        PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
        _ => return Err(NOT_RSA),
    };
    made.map_err(|rejected| match rejected.to_string().as_str() {
        "TooSmall" => TOO_SHORT,
        "WrongAlgorithm" => NOT_RSA,
        _ => BROKEN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::mint::{Key, openssl_rsa};
    use std::process::Command;

    const NOW: u64 = 1_800_000_000;

    /// What openssl makes of `input`.
    fn openssl(arguments: &str, input: &str) -> String {
        use std::io::Write;
        use std::process::Stdio;
        let mut child = Command::new("openssl")
            .args(arguments.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {arguments}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The claims of `token`, which must hold under the key in `pkcs8`.
    fn claims(token: &Secret, pkcs8: &str) -> serde_json::Value {
        let parts: Vec<&str> = token.expose().split('.').collect();
        let header = base64url::decode(parts[0].as_bytes()).unwrap();
        assert_eq!(header, br#"{"alg":"RS256","typ":"JWT"}"#);
        // PKCS#1 v1.5 has no randomness: the same key over the same text is the same signature.
        assert_eq!(
            token.expose(),
            Key::from_pem(pkcs8).sign_input(&format!("{}.{}", parts[0], parts[1]))
        );
        serde_json::from_slice(&base64url::decode(parts[1].as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn both_forms_of_a_key_sign_and_the_times_are_githubs() {
        let pkcs8 = openssl_rsa(2048);
        let pkcs1 = openssl("rsa -traditional", &pkcs8);
        assert!(pkcs8.contains("BEGIN PRIVATE KEY") && pkcs1.contains("BEGIN RSA PRIVATE KEY"));
        for pem in [&pkcs8, &pkcs1] {
            let token = app_token(pem.as_bytes(), "Iv1.abc", NOW).unwrap();
            let expected = json!({ "iat": NOW - 60, "exp": NOW + 540, "iss": "Iv1.abc" });
            assert_eq!(claims(&token, &pkcs8), expected);
            assert!(check(pem.as_bytes()).is_ok());
        }
    }

    #[test]
    fn a_file_that_is_no_key_of_an_app_is_told_by_its_kind() {
        let rsa = openssl_rsa(2048);
        let sec1 = openssl("ecparam -name prime256v1 -genkey -noout", "");
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let torn: String = rsa.lines().take(8).map(|line| format!("{line}\n")).collect();
        let nonsense = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        let not_base64 = "-----BEGIN PRIVATE KEY-----\n!!!\n-----END PRIVATE KEY-----\n";
        for (pem, fault) in [
            (String::new(), MISSING),
            ("hunter2".into(), MISSING),
            (certificate.into(), MISSING),
            (sec1.clone(), NOT_RSA),
            (openssl("pkcs8 -topk8 -nocrypt", &sec1), NOT_RSA),
            (openssl("genpkey -algorithm ed25519", ""), NOT_RSA),
            (openssl("pkcs8 -topk8 -passout pass:x", &rsa), ENCRYPTED),
            (
                openssl("rsa -traditional -aes128 -passout pass:x", &rsa),
                ENCRYPTED,
            ),
            (openssl_rsa(1024), TOO_SHORT),
            (torn, BROKEN),
            (nonsense.into(), BROKEN),
            (not_base64.into(), BROKEN),
        ] {
            assert_eq!(app_token(pem.as_bytes(), "1", NOW), Err(fault), "{pem}");
        }
    }

    #[test]
    fn a_clock_of_1970_or_of_the_far_future_does_not_stop_us() {
        let pem = openssl_rsa(2048);
        for now in [0, u64::MAX] {
            assert!(app_token(pem.as_bytes(), "1", now).is_ok());
        }
    }
}
