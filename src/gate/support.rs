//! What the tests of the gates share: a good request in one call, to be spoiled in one place.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::jwt::mint::{Key, github_claims};
use crate::jwt::{Claimed, Claims, KeySet, Unverified, verify};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "engram-deploy";
pub const NOW: u64 = 1_800_000_000;

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A folder of its own, gone with its owner.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("gate-{}-{count}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The claims of a good token that was issued at [`NOW`].
pub fn good_claims(jti: &str) -> Map<String, Value> {
    let mut claims = github_claims(ISSUER);
    claims.insert("aud".into(), AUDIENCE.into());
    claims.insert("jti".into(), jti.into());
    claims.insert("iat".into(), NOW.into());
    claims.insert("exp".into(), (NOW + 300).into());
    claims
}

/// A good token, all the way to its checked claims.
pub fn claimed(jti: &str) -> Claimed {
    claimed_with(jti, NOW, NOW + 300)
}

pub fn claimed_with(jti: &str, issued: u64, expires: u64) -> Claimed {
    let mut claims = good_claims(jti);
    claims.insert("iat".into(), issued.into());
    claims.insert("exp".into(), expires.into());
    checked(&claims, issued)
}

/// A token like Forgejo's, with these claims besides.
pub fn claimed_without_jti(more: &[(&str, Value)]) -> Claimed {
    let mut claims = good_claims("");
    claims.remove("jti");
    for (name, value) in more {
        claims.insert((*name).into(), value.clone());
    }
    checked(&claims, NOW)
}

fn checked(claims: &Map<String, Value>, now: u64) -> Claimed {
    let token = Key::shared().sign(claims);
    let keys = KeySet::parse(&Key::shared().jwks()).unwrap();
    let unverified = Unverified::parse(token.as_bytes()).unwrap();
    let signed = verify(unverified, keys.get(Key::shared().kid()).unwrap()).unwrap();
    Claims::read(signed)
        .unwrap()
        .check(ISSUER, AUDIENCE, now)
        .unwrap()
}
