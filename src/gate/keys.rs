//! The issuer's keys, kept on disk and shared by all sessions of the host.
//!
//! A caller whose key is known takes no lock and waits for nobody. An unknown name, or no set at all, asks the issuer:
//! one process at a time, and at most once per [`JWKS_COOLDOWN`] counted from the last attempt, good or bad, so that a
//! flood of made-up names does not become a flood at the issuer. A set is swapped whole or not at all; a key that left
//! it is dead at that moment. The fetch is an argument, made by a role without privileges; the strict parser decides.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::fetch::{self, FetchRequest};
use crate::gate::{Refusal, Result};
use crate::jwt::{self, Check, KeySet, PublicKey, Signed, Unverified};
use crate::limits::{
    FETCH_DEADLINE, JWKS_COOLDOWN, JWKS_MAX_AGE, JWKS_SOFT_AGE, LEEWAY, MAX_JWKS, STATE_LOCK_WAIT,
};
use crate::os::clock::unix_seconds;
use crate::os::{files, lock};

/// Gets the raw key set from the configured address, or says why not.
pub type Fetch<'a> = &'a dyn Fn() -> Result<Vec<u8>, String>;

/// Where keys come from, and where they are kept.
pub struct Keys<'a> {
    url: &'a str,
    fetch: Fetch<'a>,
    kept: PathBuf,
    /// Lost with the power, so that a flash drive is spared.
    attempt: PathBuf,
    lock: PathBuf,
}

/// `<state>/jwks.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    url: String,
    fetched_at: u64,
    keys: String,
}

impl<'a> Keys<'a> {
    /// Keys from `url`, kept below the state and runtime folders.
    pub fn new(state: &Path, runtime: &Path, url: &'a str, fetch: Fetch<'a>) -> Self {
        Self {
            url,
            fetch,
            kept: state.join("jwks.json"),
            attempt: runtime.join("jwks.attempt"),
            lock: runtime.join("jwks.lock"),
        }
    }

    /// The key of exactly that name. A kept set serves at once while it is young; an ageing one is asked for again,
    /// unless somebody does so already, and serves when that fails.
    ///
    /// # Errors
    /// That there is no such key: only on the word of a set that the last attempt brought. [`Refusal::KEYS`] otherwise.
    pub fn find(&self, kid: &str, now: SystemTime) -> Result<PublicKey> {
        let now = unix_seconds(now);
        let kept = self.kept(now);
        let known = kept.and_then(|(set, at)| Some((set.get(kid)?.clone(), at)));
        let Some((key, fetched_at)) = known else {
            return self.learn(kid, now);
        };
        if now.saturating_sub(fetched_at) < JWKS_SOFT_AGE.as_secs() {
            return Ok(key);
        }
        let _alone = match lock::try_exclusive(&self.lock) {
            Ok(Some(alone)) if !self.is_cooling(now) => alone,
            _ => return Ok(key),
        };
        match self.refresh(now) {
            Ok(set) => named(&set, kid),
            Err(fault) => {
                log::warn!("keep the issuer's old keys: {fault}");
                Ok(key)
            }
        }
    }

    /// An unknown name, or no usable set: asks the issuer, or waits for whoever does.
    fn learn(&self, kid: &str, now: u64) -> Result<PublicKey> {
        let _alone = lock::exclusive_within(&self.lock, FETCH_DEADLINE + STATE_LOCK_WAIT)
            .map_err(|error| unavailable(files::describe(&error, "lock", &self.lock)))?;
        // Somebody may have fetched while we waited.
        let kept = self.kept(now);
        if let Some(key) = kept.as_ref().and_then(|(set, _)| set.get(kid)) {
            return Ok(key.clone());
        }
        if !self.is_cooling(now) {
            return named(&self.refresh(now).map_err(unavailable)?, kid);
        }
        match kept {
            Some((set, fetched_at)) if fetched_at >= self.last_attempt().unwrap_or_default() => {
                named(&set, kid)
            }
            _ => Err(unavailable(format!(
                "no set with key `{kid}`, and the issuer was asked in vain less than {} s ago",
                JWKS_COOLDOWN.as_secs()
            ))),
        }
    }

    /// Asks the issuer and swaps the set, under the lock. On any error the old set stays.
    fn refresh(&self, now: u64) -> Result<KeySet, String> {
        // First the mark, then the attempt: without a mark nothing would bound the attempts.
        self.mark_attempt(now)?;
        let text = (self.fetch)()?;
        let set =
            KeySet::parse(&text).map_err(|fault| format!("read the keys from {}: {fault}", self.url))?;
        let kept = Kept {
            url: self.url.into(),
            fetched_at: now,
            keys: String::from_utf8(text).map_err(|_| "key set is not UTF-8")?,
        };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        if let Err(error) = files::replace(&self.kept, &text, 0o600) {
            // The keys are good for this token; the next one will have to ask again.
            log::error!(
                "{}",
                files::describe(&error, "keep the issuer's keys in", &self.kept)
            );
        }
        Ok(set)
    }

    /// The set on disk and when it was fetched, unless it is from elsewhere, broken, too old, or from the future.
    fn kept(&self, now: u64) -> Option<(KeySet, u64)> {
        let read = files::optional(files::read_bounded(&self.kept, 4 * MAX_JWKS as u64));
        let text = read.unwrap_or_else(|error| {
            log::warn!(
                "{}",
                files::describe(&error, "read the issuer's keys from", &self.kept)
            );
            None
        })?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        let is_old = now.saturating_sub(kept.fetched_at) > JWKS_MAX_AGE.as_secs();
        if kept.url != self.url || is_old || is_future(kept.fetched_at, now) {
            return None;
        }
        Some((KeySet::parse(kept.keys.as_bytes()).ok()?, kept.fetched_at))
    }

    fn is_cooling(&self, now: u64) -> bool {
        // A mark from the future is a clock that stepped back; it must not silence us until then.
        self.last_attempt()
            .is_some_and(|at| !is_future(at, now) && now.saturating_sub(at) < JWKS_COOLDOWN.as_secs())
    }

    fn last_attempt(&self) -> Option<u64> {
        let text = files::read_bounded(&self.attempt, MAX_JWKS as u64).ok()?;
        let (at, url): (u64, String) = serde_json::from_slice(&text).ok()?;
        (url == self.url).then_some(at)
    }

    fn mark_attempt(&self, now: u64) -> Result<(), String> {
        let text = serde_json::to_vec(&(now, self.url)).unwrap_or_default();
        files::replace_volatile(&self.attempt, &text, 0o600)
            .map_err(|error| files::describe(&error, "write", &self.attempt))
    }
}

/// The third gate: the issuer's signature. Which key is the token's own word, taken as a name and nothing else. A signature
/// that fails under a known key never causes a fetch: only an unknown name does, and the cooldown bounds how often.
pub fn check_signature(token: Unverified, keys: &Keys, now: SystemTime) -> Result<Signed> {
    let key = keys.find(token.kid(), now)?;
    Ok(jwt::verify(token, &key)?)
}

/// What the issuer's address answers, unread.
///
/// # Errors
/// One sentence: any status but 200 is one, too.
pub fn fetch_keys(config: &Config) -> Result<Vec<u8>, String> {
    let url = &config.issuer.jwks_url;
    let request = FetchRequest::new(config, url, FETCH_DEADLINE, MAX_JWKS)?;
    let answer = fetch::send(&request).map_err(|why| format!("fetch {url}: {why}"))?;
    match answer.status {
        200 => Ok(answer.body),
        other => Err(format!("{url} answers with status {other}")),
    }
}

/// A process that waited for another's fetch has an older idea of now; only more than that is the future.
fn is_future(time: u64, now: u64) -> bool {
    time > now.saturating_add(LEEWAY.as_secs())
}

fn named(set: &KeySet, kid: &str) -> Result<PublicKey> {
    let unknown = || Check::KEY.rejects(format_args!("the issuer has no usable key `{kid}`"));
    Ok(set.get(kid).cloned().ok_or_else(unknown)?)
}

fn unavailable(detail: String) -> Refusal {
    Refusal::KEYS.because(detail)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
