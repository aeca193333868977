//! RSA keys made by `openssl`, and tokens signed with them: a good one in one call, or any bytes at all.
//!
//! Shared by the unit tests in `src/`, the promises in `tests/` and the issuer that stands in for GitHub. It trusts its
//! caller to ask for nonsense where a test wants nonsense, so it uses none of the code under test.

use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Map, Value, json};

/// How long a GitHub token lives, in seconds from `iat`.
pub const LIFETIME: u64 = 300;

/// An issuer's key pair with its key id.
pub struct Key {
    pair: KeyPair,
    kid: String,
}

impl Key {
    /// A new key of 2048 bits.
    pub fn generate() -> Key {
        Key::from_pem(&openssl_rsa(2048))
    }

    /// A new key of that many bits.
    pub fn of_bits(bits: u32) -> Key {
        Key::from_pem(&openssl_rsa(bits))
    }

    /// One key for the whole test process: making one takes a while.
    pub fn shared() -> &'static Key {
        static KEY: OnceLock<Key> = OnceLock::new();
        KEY.get_or_init(Key::generate)
    }

    /// The key in a PKCS#8 PEM text, as `openssl genpkey` and `openssl genrsa` write it.
    pub fn from_pem(pem: &str) -> Key {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body).expect("a PEM body is base64");
        let pair = KeyPair::from_pkcs8(&der).expect("a PKCS#8 RSA key of at least 2048 bits");
        let (modulus, _) = components(&pair);
        let kid = base64url(ring::digest::digest(&ring::digest::SHA256, &modulus).as_ref());
        Key { pair, kid }
    }

    /// The same key under another name.
    pub fn named(mut self, kid: &str) -> Key {
        self.kid = kid.into();
        self
    }

    /// Its key id.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its public half as a JWK, with the members that GitHub's keys have.
    pub fn jwk(&self) -> Value {
        let (n, e) = components(&self.pair);
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid, "n": base64url(&n), "e": base64url(&e),
        })
    }

    /// A key set with this key alone.
    pub fn jwks(&self) -> Vec<u8> {
        json!({ "keys": [self.jwk()] }).to_string().into_bytes()
    }

    /// The header of a good token.
    pub fn header(&self) -> Value {
        json!({ "alg": "RS256", "typ": "JWT", "kid": self.kid })
    }

    /// A token with a good header over these claims.
    pub fn sign(&self, claims: &Map<String, Value>) -> String {
        let claims = serde_json::to_string(claims).expect("a map of JSON values");
        self.sign_parts(self.header().to_string().as_bytes(), claims.as_bytes())
    }

    /// A token over any two texts, rightly signed.
    pub fn sign_parts(&self, header: &[u8], payload: &[u8]) -> String {
        self.sign_input(&format!("{}.{}", base64url(header), base64url(payload)))
    }

    /// Any text, a dot, and its signature.
    pub fn sign_input(&self, input: &str) -> String {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                input.as_bytes(),
                &mut signature,
            )
            .expect("a key and a buffer of one size");
        format!("{input}.{}", base64url(&signature))
    }
}

/// What GitHub says of a push to the main branch, without `aud`, the times and the id.
pub fn github_claims(issuer: &str) -> Map<String, Value> {
    let claims = json!({
        "iss": issuer,
        "sub": "repo:engram-app/engram:ref:refs/heads/main",
        "actor": "octocat",
        "actor_id": "583231",
        "repository": "engram-app/engram",
        "repository_id": "1001",
        "repository_owner": "engram-app",
        "repository_owner_id": "2002",
        "repository_visibility": "private",
        "workflow": "deploy",
        "workflow_ref": "engram-app/engram/.github/workflows/deploy.yml@refs/heads/main",
        "workflow_sha": "abc1234abc1234abc1234abc1234abc1234abc12",
        "job_workflow_ref": "engram-app/engram/.github/workflows/deploy.yml@refs/heads/main",
        "job_workflow_sha": "abc1234abc1234abc1234abc1234abc1234abc12",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "ref_protected": "true",
        "base_ref": "",
        "head_ref": "",
        "sha": "abc1234abc1234abc1234abc1234abc1234abc12",
        "event_name": "push",
        "run_id": "3003",
        "run_number": "7",
        "run_attempt": "1",
        "runner_environment": "github-hosted",
    });
    match claims {
        Value::Object(claims) => claims,
        _ => unreachable!("the literal above is an object"),
    }
}

/// Adds `iat`, `nbf`, `exp` as GitHub sets them now, and a `jti` of its own.
pub fn add_times_and_id(claims: &mut Map<String, Value>) {
    add_times_and_id_at(claims, SystemTime::now());
}

/// The same for a token that is issued at `now`.
pub fn add_times_and_id_at(claims: &mut Map<String, Value>, now: SystemTime) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let iat = now
        .duration_since(UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs();
    claims.insert("iat".into(), iat.into());
    claims.insert("nbf".into(), (iat - 600).into());
    claims.insert("exp".into(), (iat + LIFETIME).into());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    claims.insert(
        "jti".into(),
        format!("{:08x}-{count}-{}", rand_u64(), std::process::id()).into(),
    );
}

/// base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn components(pair: &KeyPair) -> (Vec<u8>, Vec<u8>) {
    let public: PublicKeyComponents<Vec<u8>> = pair.public().into();
    (public.n, public.e)
}

fn rand_u64() -> u64 {
    use ring::rand::SecureRandom;
    let mut bytes = [0; 8];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the kernel's random bytes");
    u64::from_le_bytes(bytes)
}

/// A new private key as PKCS#8 PEM.
pub fn openssl_rsa(bits: u32) -> String {
    let size = format!("rsa_keygen_bits:{bits}");
    let output = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", &size])
        .output()
        .expect("openssl is installed");
    assert!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("PEM is text")
}
