//! A GitHub App's installation token: how one private repository is read for some minutes.
//!
//! The token is narrowed to one repository and to reading its content, and revoked when it has served. The app's key is
//! read where it is used, and only where nobody but root can read it; it goes nowhere. Every request is the fetch
//! role's. What the token looks like is GitHub's affair: it is an opaque text of any length.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::config::{Config, GithubApp};
use crate::event::harmless;
use crate::fetch::{FetchRequest, FetchResponse};
use crate::jwt::base64url::encode_standard;
use crate::jwt::sign;
use crate::limits::{FETCH_DEADLINE, MAX_FETCH, MAX_PEM, MAX_QUOTE};
use crate::os::{clock, secret};
use crate::secret::Secret;

/// The user that GitHub's git servers know such a token by.
pub const USER: &str = "x-access-token";

/// GitHub's API as it was on that day; it changes under another name only.
const VERSION: &str = "2022-11-28";

/// Carries out an order: [`crate::fetch::send`], or a test's own.
pub type Send<'a> = dyn FnMut(&FetchRequest) -> Result<FetchResponse, String> + 'a;

/// An app where it is installed, and the one repository that is read with it.
pub struct Installation<'a> {
    config: &'a Config,
    app: &'a GithubApp,
    repository: &'a str,
}

impl<'a> Installation<'a> {
    /// The app's installation that may read the repository at `url`. The API names it without its owner.
    pub fn new(config: &'a Config, app: &'a GithubApp, url: &'a str) -> Self {
        let path = url.trim_end_matches('/').trim_end_matches(".git");
        let repository = path.rsplit('/').next().unwrap_or_default();
        Self {
            config,
            app,
            repository,
        }
    }

    /// A token that reads the repository, and nothing else, for an hour at most.
    ///
    /// # Errors
    /// One sentence: which of key, clock, app, installation, permission, rate limit and network it is, and what to do.
    pub fn token(&self, now: SystemTime, send: &mut Send<'_>) -> Result<Secret, String> {
        let doing = |why| format!("get a token for the GitHub App {}: {why}", self.app.id);
        self.ask(now, send).map_err(doing)
    }

    fn ask(&self, now: SystemTime, send: &mut Send<'_>) -> Result<Secret, String> {
        let app = self.app;
        let pem = secret::read_bytes(&app.pem, MAX_PEM)?;
        let jwt = sign::app_token(&pem, &app.id, clock::unix_seconds(now))
            .map_err(|fault| format!("{} cannot be used: {fault}", app.pem.display()))?;
        let path = format!("app/installations/{}/access_tokens", app.installation);
        let body = json!({ "repositories": [self.repository], "permissions": { "contents": "read" } });
        let mut order = self.order("POST", &path, &jwt)?;
        let kind = ("content-type".into(), "application/json".into());
        order.headers.push(kind);
        order.body = Some(body.to_string());
        let answer = send(&order).map_err(|why| format!("{why}; can this host reach {}?", app.api_url))?;
        match answer.status {
            201 => token_in(&answer.body).ok_or_else(|| "GitHub answers without a token".into()),
            _ => Err(explain(app, self.repository, &answer)),
        }
    }

    /// Takes a token back. Best effort: one that stays ends by itself within the hour.
    ///
    /// # Errors
    /// One sentence.
    pub fn revoke(&self, token: &Secret, send: &mut Send<'_>) -> Result<(), String> {
        let answer = send(&self.order("DELETE", "installation/token", token)?)?;
        match answer.status {
            204 => Ok(()),
            other => Err(format!("GitHub answers with status {other}")),
        }
    }

    fn order(&self, method: &str, path: &str, bearer: &Secret) -> Result<FetchRequest, String> {
        let url = format!("{}/{path}", self.app.api_url);
        let headers = [
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", VERSION),
            ("authorization", &format!("Bearer {}", bearer.expose())),
        ];
        let mut order = FetchRequest::new(self.config, &url, FETCH_DEADLINE, MAX_FETCH)?;
        order.method = method.into();
        order.headers = headers.map(|(name, value)| (name.into(), value.into())).into();
        Ok(order)
    }
}

/// What `answer`, which is no token, means: what came back and what to do.
///
/// The status alone does not tell a wrong key from a wrong clock, nor a wrong app from a wrong installation; the words
/// and headers that do are those of GitHub's API as documented, and as its users report them.
pub fn explain(app: &GithubApp, repository: &str, answer: &FetchResponse) -> String {
    let GithubApp {
        pem, installation, ..
    } = app;
    let said = message(answer);
    // The primary limit says what remains, the secondary one how long to wait; older servers only write of it.
    let wait = answer.header("retry-after");
    let is_limited = answer.status == 429
        || wait.is_some()
        || answer.header("x-ratelimit-remaining") == Some("0")
        || said.to_ascii_lowercase().contains("rate limit");
    let means = match answer.status {
        401 if said.contains("('iat')") || said.contains("('exp')") => {
            "this host's clock is wrong, set it right (NTP)".into()
        }
        401 => format!(
            "the key in {} is none of this app's, or DEPLOYER_TF_APPLY_GH_APP_ID is another app's",
            pem.display()
        ),
        403 | 429 if is_limited => {
            let seconds = wait.and_then(|wait| wait.parse::<u64>().ok());
            let when = seconds.map_or_else(|| "later".into(), |seconds| format!("in {seconds} s"));
            format!("GitHub's rate limit is reached, try again {when}")
        }
        404 if said == "Integration not found" => {
            "there is no such app, check DEPLOYER_TF_APPLY_GH_APP_ID".into()
        }
        404 => {
            format!(
                "the app has no installation {installation}, check DEPLOYER_TF_APPLY_GH_APP_INSTALLATION_ID"
            )
        }
        403 | 422 => format!(
            "the app may not read {repository}: it needs the permission Contents (read), and not to be suspended"
        ),
        500.. => "GitHub is in trouble, try again later".into(),
        _ => "this is no answer of GitHub's API, check DEPLOYER_GITHUB_API_URL".into(),
    };
    let colon = if said.is_empty() { "" } else { ": " };
    format!("{means} (status {}{colon}{})", answer.status, harmless(&said))
}

/// GitHub's own words, as far as they are a sentence.
fn message(answer: &FetchResponse) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    body["message"]
        .as_str()
        .unwrap_or_default()
        .chars()
        .take(MAX_QUOTE)
        .collect()
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

/// The token in a good answer. It goes to git as one line, so it must be one.
pub fn token_in(body: &[u8]) -> Option<Secret> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let token = answer["token"].as_str()?;
    let one_word = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    one_word.then(|| Secret::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_repository_is_named_as_the_api_wants_it() {
        let least = Settings::from_env_file(include_bytes!("../../tests/data/least.env")).unwrap();
        let config = Config::from_settings(&least).unwrap();
        for (url, name) in [
            ("https://github.com/engram-app/engram-infra.git", "engram-infra"),
            ("https://github.com/engram-app/a.b", "a.b"),
            ("https://github.com/engram-app/x/", "x"),
        ] {
            assert_eq!(Installation::new(&config, &app(), url).repository, name, "{url}");
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

    fn answer(status: u16, said: &str, headers: &[(&str, &str)]) -> FetchResponse {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        FetchResponse {
            status,
            headers: headers.collect(),
            body: serde_json::json!({ "message": said }).to_string().into_bytes(),
        }
    }

    fn app() -> GithubApp {
        GithubApp {
            id: "1".into(),
            installation: "77".into(),
            pem: "/etc/app.pem".into(),
            api_url: "https://api.example".into(),
        }
    }

    fn explained(answer: &FetchResponse) -> String {
        explain(&app(), "infra", answer)
    }

    #[test]
    fn every_refusal_of_github_is_told_by_its_cause() {
        let none = [("x-ratelimit-remaining", "0")];
        let some = [("x-ratelimit-remaining", "4999")];
        let later = [("retry-after", "60")];
        for (status, said, headers, expected) in [
            (
                401,
                "A JSON web token could not be decoded",
                &[][..],
                "none of this app's",
            ),
            (401, "Bad credentials", &[], "none of this app's"),
            (404, "Integration not found", &[], "no such app"),
            (404, "Not Found", &[], "no installation 77"),
            (
                403,
                "This installation has been suspended",
                &some,
                "may not read infra",
            ),
            (
                422,
                "The permissions requested are not granted to this installation.",
                &[],
                "may not read infra",
            ),
            (403, "API rate limit exceeded", &none, "try again later"),
            (
                403,
                "You have exceeded a secondary rate limit.",
                &[],
                "try again later",
            ),
            (403, "", &later, "try again in 60 s"),
            (429, "", &[], "try again later"),
            (502, "Server Error", &[], "GitHub is in trouble"),
            (200, "", &[], "no answer of GitHub's API"),
            (302, "", &[], "no answer of GitHub's API"),
        ] {
            let sentence = explained(&answer(status, said, headers));
            assert!(sentence.contains(expected), "{status} {said}: {sentence}");
        }
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_key() {
        for said in [
            "'Expiration time' claim ('exp') is too far in the future",
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires",
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        ] {
            let sentence = explained(&answer(401, said, &[]));
            assert!(sentence.contains("this host's clock is wrong"), "{sentence}");
        }
    }

    #[test]
    fn what_github_says_is_quoted_briefly_and_harmlessly() {
        let refused = answer(404, &format!("a\u{1b}[31m\n::error::b{}", "x".repeat(5000)), &[]);
        let sentence = explained(&refused);
        assert!(
            sentence.contains("no installation 77") && sentence.contains("status 404"),
            "{sentence}"
        );
        assert!(
            !sentence.contains(['\u{1b}', '\n']) && sentence.len() < 500,
            "{sentence}"
        );
        let body = b"<html>".to_vec();
        assert!(explained(&FetchResponse { body, ..refused }).ends_with("(status 404)"));
    }
}
