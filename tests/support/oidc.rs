//! An OIDC issuer on loopback that stands in for GitHub's: a key set, tokens for a job, and faults on request.
//!
//! Its threads and its naive HTTP are fine here; nothing of it is in the daemon. Its control pages exist so that a
//! shell script (the demo, the benchmark) can do to it what a Rust test does by a method.
//!
//! | page                             | what it does                                                          |
//! |----------------------------------|-----------------------------------------------------------------------|
//! | `/.well-known/jwks`              | the key set; counted                                                  |
//! | `/token?audience=A`              | `{"value":"<token>"}` for `Authorization: bearer <request token>`     |
//! | `/count`                         | how often the key set was asked for                                   |
//! | `/fail?status=S&times=N`         | the next N answers with the key set have status S                     |
//! | `/hang?times=N`                  | the next N requests for the key set are never answered                |
//! | `/rotate`, `/rotate?keep=yes`    | sign with a new key; the old one leaves the set, or stays in it       |
//! | `/set?form=good\|empty\|broken`  | what the key set looks like                                           |

use super::token::{self, Key};
use super::web::{self, Request};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What a job shows to get a token (`ACTIONS_ID_TOKEN_REQUEST_TOKEN`). It opens nothing but this issuer.
pub const REQUEST_TOKEN: &str = "request-token-of-a-job";

/// A running issuer. Its threads end with the process.
#[derive(Clone)]
pub struct Issuer {
    url: String,
    state: Arc<Mutex<State>>,
}

/// What the key set looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySet {
    /// As it should.
    Good,
    /// Without any key.
    Empty,
    /// Cut off in the middle.
    Broken,
}

/// Whether the key before a rotation stays in the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKey {
    /// As an issuer does while tokens of it are still about.
    Kept,
    /// As after a theft.
    Withdrawn,
}

struct State {
    /// They live as long as the process: tests take few, and making one takes a while.
    keys: Vec<&'static Key>,
    claims: Map<String, Value>,
    form: KeySet,
    fetches: usize,
    failures: (u32, u16),
    hangs: u32,
}

impl Issuer {
    /// An issuer with the key of this process, on a port of its own.
    pub fn start() -> Issuer {
        Issuer::start_at(0)
    }

    /// The same on the given port, 0 for any.
    pub fn start_at(port: u16) -> Issuer {
        let (listener, url) = web::listen(port);
        let claims = token::github_claims(&url);
        let state = State {
            keys: vec![Key::shared()],
            claims,
            form: KeySet::Good,
            fetches: 0,
            failures: (0, 0),
            hangs: 0,
        };
        let issuer = Issuer {
            url,
            state: Arc::new(Mutex::new(state)),
        };
        let server = issuer.clone();
        web::serve(listener, move |request| server.answer(request));
        issuer
    }

    /// What tokens bear as `iss`, unless [`Issuer::claim`] says otherwise.
    pub fn name(&self) -> &str {
        &self.url
    }

    /// For `DEPLOYER_JWKS_URL`.
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks", self.url)
    }

    /// For `ACTIONS_ID_TOKEN_REQUEST_URL`: like GitHub's it has a query already, and clients append `&audience=`.
    pub fn token_url(&self) -> String {
        format!("{}/token?api-version=2.0", self.url)
    }

    /// Sets a claim of every token from now on; `Value::Null` takes it away.
    pub fn claim(&self, name: &str, value: impl Into<Value>) {
        set_claim(&mut self.state().claims, name, value.into());
    }

    /// A fresh good token.
    pub fn mint(&self, audience: &str) -> String {
        self.mint_with(audience, |_| ())
    }

    /// A fresh token with claims spoiled by `change`.
    pub fn mint_with(&self, audience: &str, change: impl FnOnce(&mut Map<String, Value>)) -> String {
        let state = self.state();
        let mut claims = state.claims.clone();
        token::add_times_and_id(&mut claims);
        claims.insert("aud".into(), audience.into());
        change(&mut claims);
        state.keys[0].sign(&claims)
    }

    /// How often the key set was asked for.
    pub fn fetches(&self) -> usize {
        self.state().fetches
    }

    /// Answers the next `times` requests for the key set with `status`.
    pub fn fail(&self, status: u16, times: u32) {
        self.state().failures = (times, status);
    }

    /// Never answers the next `times` requests for the key set.
    pub fn hang(&self, times: u32) {
        self.state().hangs = times;
    }

    /// Signs with a new key from now on.
    pub fn rotate(&self, old: OldKey) {
        let key = Box::leak(Box::new(Key::generate()));
        let mut state = self.state();
        if old == OldKey::Withdrawn {
            state.keys.clear();
        }
        state.keys.insert(0, key);
    }

    /// What the key set looks like from now on.
    pub fn serve_set(&self, form: KeySet) {
        self.state().form = form;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn answer(&self, request: &Request) -> (u16, String) {
        let number = |name, default: u32| {
            request
                .query(name)
                .map_or(default, |text| text.parse().unwrap_or(default))
        };
        match request.path() {
            "/.well-known/jwks" => return self.answer_with_keys(),
            "/token" => return self.answer_with_token(request),
            "/count" => return (200, format!("{}\n", self.fetches())),
            "/fail" => self.fail(number("status", 500) as u16, number("times", u32::MAX)),
            "/hang" => self.hang(number("times", u32::MAX)),
            "/rotate" if request.query("keep").is_some() => self.rotate(OldKey::Kept),
            "/rotate" => self.rotate(OldKey::Withdrawn),
            "/set" => match request.query("form").as_deref() {
                Some("good") => self.serve_set(KeySet::Good),
                Some("empty") => self.serve_set(KeySet::Empty),
                Some("broken") => self.serve_set(KeySet::Broken),
                _ => return (400, "form is good, empty or broken\n".into()),
            },
            _ => return (404, "no such page\n".into()),
        }
        (200, "done\n".into())
    }

    fn answer_with_keys(&self) -> (u16, String) {
        let mut state = self.state();
        state.fetches += 1;
        if state.hangs > 0 {
            state.hangs -= 1;
            drop(state);
            thread::sleep(Duration::from_secs(3600));
            return (500, String::new());
        }
        if state.failures.0 > 0 {
            state.failures.0 -= 1;
            return (state.failures.1, "as told\n".into());
        }
        let keys: Vec<Value> = state.keys.iter().map(|key| key.jwk()).collect();
        let set = json!({ "keys": keys }).to_string();
        match state.form {
            KeySet::Good => (200, set),
            KeySet::Empty => (200, json!({ "keys": [] }).to_string()),
            KeySet::Broken => (200, set[..set.len() / 2].to_string()),
        }
    }

    fn answer_with_token(&self, request: &Request) -> (u16, String) {
        let shown = request
            .authorization
            .as_deref()
            .and_then(|value| value.split_once(' '));
        match shown {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && token == REQUEST_TOKEN => {
                let audience = request
                    .query("audience")
                    .unwrap_or_else(|| "https://github.com/engram-app".into());
                let token = self.mint(&audience);
                (200, json!({ "count": token.len(), "value": token }).to_string())
            }
            _ => (
                401,
                json!({ "message": "the request token is missing or wrong" }).to_string(),
            ),
        }
    }
}

/// Sets or, with `Value::Null`, removes.
pub fn set_claim(claims: &mut Map<String, Value>, name: &str, value: Value) {
    if value.is_null() {
        claims.remove(name);
    } else {
        claims.insert(name.into(), value);
    }
}
