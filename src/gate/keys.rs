//! The issuer's keys, kept on disk and shared by all sessions of the host.
//!
//! A caller whose key is known takes no lock and waits for nobody. An unknown name, or no set at all, asks the issuer:
//! one process at a time, and at most once per [`JWKS_COOLDOWN`] counted from the last attempt, good or bad, so that a
//! flood of made-up names does not become a flood at the issuer. A set is swapped whole or not at all; a key that left
//! it is dead at that moment. The fetch is an argument, made by a role without privileges; the strict parser decides.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::fetch::{self, FetchRequest};
use crate::gate::Refusal;
use crate::jwt::{self, Check, KeySet, PublicKey, Signed, Unverified};
use crate::limits::{
    FETCH_DEADLINE, JWKS_COOLDOWN, JWKS_MAX_AGE, JWKS_SOFT_AGE, LEEWAY, MAX_JWKS, STATE_LOCK_WAIT,
};
use crate::os::clock::unix_seconds;
use crate::os::files;
use crate::os::lock;

/// Gets the raw key set from the configured address, or says why not.
pub type Fetch<'a> = &'a dyn Fn() -> Result<Vec<u8>, String>;

/// Where keys come from, and where they are kept.
pub struct Keys<'a> {
    url: &'a str,
    fetch: Fetch<'a>,
    kept: PathBuf,
    attempt: PathBuf,
    lock: PathBuf,
}

/// Why there is no key of that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoKey {
    /// The issuer's present set does not have it.
    Unknown(String),
    /// There is no set that could tell.
    Unavailable(String),
}

/// `<state>/jwks.json`.
#[derive(Serialize, Deserialize)]
struct Kept {
    url: String,
    fetched_at: u64,
    keys: String,
}

/// `<runtime>/jwks.attempt`: lost with the power, so that a flash drive is spared.
#[derive(Serialize, Deserialize)]
struct Attempt {
    url: String,
    at: u64,
}

/// A set that may be used, and how old it is.
struct Usable {
    set: KeySet,
    fetched_at: u64,
    age: Duration,
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

    /// The key of exactly that name.
    ///
    /// # Errors
    /// [`NoKey::Unknown`] only on the word of a set that the last attempt brought.
    pub fn find(&self, kid: &str, now: SystemTime) -> Result<PublicKey, NoKey> {
        let now = unix_seconds(now);
        let known = self
            .usable(now)
            .and_then(|kept| Some((kept.set.get(kid)?.clone(), kept.age)));
        match known {
            Some((key, age)) if age < JWKS_SOFT_AGE => Ok(key),
            Some((key, _)) => self.confirm(kid, key, now),
            None => self.learn(kid, now),
        }
    }

    /// A known key of an ageing set: asks the issuer unless somebody does so already; serves when that fails.
    fn confirm(&self, kid: &str, key: PublicKey, now: u64) -> Result<PublicKey, NoKey> {
        let refreshed = match lock::try_exclusive(&self.lock) {
            Ok(Some(_alone)) if !self.is_cooling(now) => self.refresh(now),
            _ => return Ok(key),
        };
        match refreshed {
            Ok(set) => set.get(kid).cloned().ok_or_else(|| unknown(kid)),
            Err(fault) => {
                log::warn!("keep the issuer's old keys: {fault}");
                Ok(key)
            }
        }
    }

    /// An unknown name, or no usable set: asks the issuer, or waits for whoever does.
    fn learn(&self, kid: &str, now: u64) -> Result<PublicKey, NoKey> {
        let _alone = lock::exclusive_within(&self.lock, FETCH_DEADLINE + STATE_LOCK_WAIT)
            .map_err(|error| NoKey::Unavailable(files::describe(&error, "lock", &self.lock)))?;
        // Somebody may have fetched while we waited.
        let kept = self.usable(now);
        if let Some(key) = kept.as_ref().and_then(|kept| kept.set.get(kid)) {
            return Ok(key.clone());
        }
        if !self.is_cooling(now) {
            let set = self.refresh(now).map_err(NoKey::Unavailable)?;
            return set.get(kid).cloned().ok_or_else(|| unknown(kid));
        }
        let last_attempt = self.last_attempt().unwrap_or_default();
        match kept {
            Some(kept) if kept.fetched_at >= last_attempt => Err(unknown(kid)),
            _ => Err(NoKey::Unavailable(format!(
                "no set with key `{kid}`, and the issuer was asked in vain less than {} s ago",
                JWKS_COOLDOWN.as_secs()
            ))),
        }
    }

    /// Asks the issuer and swaps the set, under the lock. On any error the old set stays.
    fn refresh(&self, now: u64) -> Result<KeySet, String> {
        // First the mark, then the attempt: without a mark nothing would bound the attempts.
        self.mark_attempt(now)?;
        let text = (self.fetch)().map_err(|fault| format!("fetch {}: {fault}", self.url))?;
        let set =
            KeySet::parse(&text).map_err(|fault| format!("read the keys from {}: {fault}", self.url))?;
        let keys = String::from_utf8(text).map_err(|_| "key set is not UTF-8".to_owned())?;
        self.keep(&Kept {
            url: self.url.into(),
            fetched_at: now,
            keys,
        });
        Ok(set)
    }

    fn keep(&self, kept: &Kept) {
        let text = serde_json::to_vec(kept).unwrap_or_default();
        if let Err(error) = files::replace(&self.kept, &text, 0o600) {
            // The keys are good for this token; the next one will have to ask again.
            log::error!(
                "{}",
                files::describe(&error, "keep the issuer's keys in", &self.kept)
            );
        }
    }

    /// What is on disk, unless it is from elsewhere, broken, too old, or from the future.
    fn usable(&self, now: u64) -> Option<Usable> {
        let read = files::optional(files::read_bounded(&self.kept, 4 * MAX_JWKS as u64));
        let text = read.unwrap_or_else(|error| {
            log::warn!(
                "{}",
                files::describe(&error, "read the issuer's keys from", &self.kept)
            );
            None
        })?;
        let kept: Kept = serde_json::from_slice(&text).ok()?;
        // A process that waited for another's fetch has an older idea of now; only more than that is the future.
        let from_the_future = kept.fetched_at > now.saturating_add(LEEWAY.as_secs());
        let age = Duration::from_secs(now.saturating_sub(kept.fetched_at));
        if kept.url != self.url || from_the_future || age > JWKS_MAX_AGE {
            return None;
        }
        let set = KeySet::parse(kept.keys.as_bytes()).ok()?;
        Some(Usable {
            set,
            fetched_at: kept.fetched_at,
            age,
        })
    }

    fn is_cooling(&self, now: u64) -> bool {
        // A mark from the future is a clock that stepped back; it must not silence us until then.
        self.last_attempt().is_some_and(|at| {
            at <= now.saturating_add(LEEWAY.as_secs()) && now.saturating_sub(at) < JWKS_COOLDOWN.as_secs()
        })
    }

    fn last_attempt(&self) -> Option<u64> {
        let text = files::read_bounded(&self.attempt, MAX_JWKS as u64).ok()?;
        let attempt: Attempt = serde_json::from_slice(&text).ok()?;
        (attempt.url == self.url).then_some(attempt.at)
    }

    fn mark_attempt(&self, now: u64) -> Result<(), String> {
        let text = serde_json::to_vec(&Attempt {
            url: self.url.into(),
            at: now,
        })
        .unwrap_or_default();
        files::replace_volatile(&self.attempt, &text, 0o600)
            .map_err(|error| files::describe(&error, "write", &self.attempt))
    }
}

/// The third gate: the issuer's signature. Which key is the token's own word, taken as a name and nothing else. A signature
/// that fails under a known key never causes a fetch: only an unknown name does, and the cooldown bounds how often.
pub fn check_signature(token: Unverified<'_>, keys: &Keys<'_>, now: SystemTime) -> Result<Signed, Refusal> {
    let key = keys.find(token.kid(), now).map_err(|fault| match fault {
        NoKey::Unknown(detail) => Refusal::Token(Check::Key.rejects(detail)),
        NoKey::Unavailable(detail) => Refusal::Keys { detail },
    })?;
    Ok(jwt::verify(token, &key)?)
}

/// What the issuer's address answers, unread.
///
/// # Errors
/// One sentence: any status but 200 is one, too.
pub fn fetch_keys(config: &Config) -> Result<Vec<u8>, String> {
    let order = FetchRequest::new(config, &config.issuer.jwks_url, FETCH_DEADLINE, MAX_JWKS)?;
    let answer = fetch::send(&order)?;
    match answer.status {
        200 => Ok(answer.body),
        other => Err(format!("{} answers with status {other}", config.issuer.jwks_url)),
    }
}

fn unknown(kid: &str) -> NoKey {
    NoKey::Unknown(format!("the issuer has no usable key `{kid}`"))
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
