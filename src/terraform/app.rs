//! A GitHub App's installation token: how one private repository is read for some minutes.
//!
//! The token is narrowed to one repository and to reading its content, and revoked when it has served. The app's key is
//! read where it is used, and only where nobody but root can read it; it goes nowhere. Every request is the fetch
//! role's. What the token looks like is GitHub's affair: it is an opaque text of any length.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::config::{Config, GithubApp};
use crate::fetch::{FetchRequest, FetchResponse, Method};
use crate::jwt::base64url::encode_standard;
use crate::jwt::sign;
use crate::limits::{FETCH_DEADLINE, MAX_FETCH, MAX_PEM};
use crate::os::privilege::{self, Identity};
use crate::os::{clock, secret};
use crate::secret::Secret;
use crate::terraform::app_answer;

/// The user that GitHub's git servers know such a token by.
pub const USER: &str = "x-access-token";

/// GitHub's API as it was on that day; it changes under another name only.
const VERSION: &str = "2022-11-28";

/// Carries out an order: [`crate::fetch::send`], or a test's own.
pub type Send<'a> = dyn FnMut(&FetchRequest) -> Result<FetchResponse, String> + 'a;

/// An app where it is installed, and the one repository that is read with it.
#[derive(Clone, Copy, Debug)]
pub struct Installation<'a> {
    app: &'a GithubApp,
    repository: &'a str,
    identity: Identity,
    authorities: Option<&'a Path>,
}

impl<'a> Installation<'a> {
    /// The app's installation that may read the repository at `url`.
    ///
    /// # Errors
    /// When there is no user to ask GitHub as, or no repository in the URL.
    pub fn new(config: &'a Config, app: &'a GithubApp, url: &'a str) -> Result<Self, String> {
        let identity = privilege::identity(&config.fetch_user)
            .map_err(|error| format!("become the user of DEPLOYER_FETCH_USER: {error}"))?;
        let repository = repository(url)
            .ok_or_else(|| format!("DEPLOYER_TF_APPLY_REPO_URL names no repository: {url}"))?;
        Ok(Self {
            app,
            repository,
            identity,
            authorities: config.issuer.ca_file.as_deref(),
        })
    }

    /// A token that reads the repository, and nothing else, for an hour at most.
    ///
    /// # Errors
    /// One sentence: which of key, clock, app, installation, permission, rate limit and network it is, and what to do.
    pub fn token(&self, now: SystemTime, send: &mut Send<'_>) -> Result<Secret, String> {
        let doing = format!("get a token for the GitHub App {}", self.app.id);
        self.ask(now, send).map_err(|why| format!("{doing}: {why}"))
    }

    fn ask(&self, now: SystemTime, send: &mut Send<'_>) -> Result<Secret, String> {
        let seconds = clock::unix_seconds(now);
        let pem = secret::read_bytes(&self.app.pem, MAX_PEM)?;
        let jwt = sign::app_token(&pem, &self.app.id, seconds)
            .map_err(|fault| format!("{} cannot be used: {fault}", self.app.pem.display()))?;
        let path = format!("app/installations/{}/access_tokens", self.app.installation);
        let body = json!({ "repositories": [self.repository], "permissions": { "contents": "read" } });
        let order = self
            .order(Method::Post, &path, &jwt)?
            .header("content-type", Secret::new("application/json".into()))
            .body(body.to_string());
        let answer = send(&order).map_err(|why| self.unreachable(&why))?;
        match answer.status {
            201 => token_in(&answer.body)
                .ok_or_else(|| "GitHub answers without a token that could be used".into()),
            _ => Err(app_answer::trouble(&answer, seconds).sentence(&answer, self.app, self.repository)),
        }
    }

    /// Takes a token back. Best effort: one that stays ends by itself within the hour.
    ///
    /// # Errors
    /// One sentence.
    pub fn revoke(&self, token: &Secret, send: &mut Send<'_>) -> Result<(), String> {
        let answer = send(&self.order(Method::Delete, "installation/token", token)?)?;
        match answer.status {
            204 => Ok(()),
            other => Err(format!("GitHub answers with status {other}")),
        }
    }

    fn order(&self, method: Method, path: &str, bearer: &Secret) -> Result<FetchRequest, String> {
        let url = format!("{}/{path}", self.app.api_url);
        let plain = |text: &str| Secret::new(text.to_owned());
        let order = FetchRequest::new(&url, self.identity, FETCH_DEADLINE, MAX_FETCH)
            .method(method)
            .header("accept", plain("application/vnd.github+json"))
            .header("x-github-api-version", plain(VERSION))
            .header("authorization", plain(&format!("Bearer {}", bearer.expose())));
        order.trusting(self.authorities)
    }

    fn unreachable(&self, why: &str) -> String {
        format!("{why}; can this host reach {}?", self.app.api_url)
    }
}

/// Every spelling of `token` that a tool may print: as it is, and as it stands in a request of git's.
pub fn spellings(token: &Secret) -> [Secret; 2] {
    let pair = format!("{USER}:{}", token.expose());
    [token.clone(), Secret::new(encode_standard(pair.as_bytes()))]
}

/// What a credential helper of git's answers with.
pub fn credential(token: &Secret) -> Secret {
    Secret::new(format!("username={USER}\npassword={}\n", token.expose()))
}

/// The name of the repository at `url`, without its owner, as the API wants it.
fn repository(url: &str) -> Option<&str> {
    let path = url.strip_suffix('/').unwrap_or(url);
    let name = path.rsplit('/').next()?;
    let name = name.strip_suffix(".git").unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!name.is_empty() && name.bytes().all(plain)).then_some(name)
}

/// The token in a good answer. It goes to git as one line, so it must be one.
fn token_in(body: &[u8]) -> Option<Secret> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let token = answer.get("token")?.as_str()?;
    let one_word = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    one_word.then(|| Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_named_as_the_api_wants_it() {
        for (url, name) in [
            (
                "https://github.com/engram-app/engram-infra.git",
                Some("engram-infra"),
            ),
            ("https://github.com/engram-app/a.b", Some("a.b")),
            ("https://github.com/engram-app/x/", Some("x")),
            ("https://github.com/a/.git", None),
            ("https://github.com/a/b?c", None),
            ("", None),
        ] {
            assert_eq!(repository(url), name, "{url}");
        }
    }

    #[test]
    fn a_token_is_any_one_word_of_any_length() {
        let long = format!("ghs_1_{}.{}.x-_", "a".repeat(300), "b".repeat(4000));
        for good in ["x", "ghs_abc", long.as_str()] {
            let body = json!({ "token": good, "expires_at": "2026-01-02T03:04:05Z" }).to_string();
            assert_eq!(token_in(body.as_bytes()).unwrap().expose(), good);
        }
        for bad in [
            r#"{"token":""}"#,
            r#"{"token":"a b"}"#,
            r#"{"token":"a\nquit=1"}"#,
            r#"{"token":"a\u0000"}"#,
            r#"{"token":7}"#,
            "{}",
            "[]",
            "",
        ] {
            assert!(token_in(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn git_is_told_user_and_token_and_both_spellings_are_known() {
        let token = Secret::new("ghs_x".into());
        assert_eq!(
            credential(&token).expose(),
            "username=x-access-token\npassword=ghs_x\n"
        );
        assert_eq!(spellings(&token)[1].expose(), "eC1hY2Nlc3MtdG9rZW46Z2hzX3g=");
    }
}
