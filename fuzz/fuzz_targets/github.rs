//! GitHub's answers: a token is one word that a plain JSON reader reads, and goes to git as one line; a refusal is one short
//! line whatever came back, and quotes what a plain JSON reader reads as the message.
#![no_main]

use std::sync::LazyLock;

use engram_deployer::config::GithubApp;
use engram_deployer::fetch::FetchResponse;
use engram_deployer::jwt::json;
use engram_deployer::limits::MAX_QUOTE;
use engram_deployer::terraform::github_app::{credential, explain, spellings, token_in};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static APP: LazyLock<GithubApp> = LazyLock::new(|| GithubApp {
    id: "1".into(),
    installation: "77".into(),
    pem: "/app.pem".into(),
    api_url: "https://api.example".into(),
});

fuzz_target!(|bytes: &[u8]| {
    token(bytes);
    let text = String::from_utf8_lossy(bytes);
    token(json!({"token": text}).to_string().as_bytes());

    // Lines of headers, then a body, as HTTP has them; the same with all of it as the message and as a header.
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, String)> = headers.map(|(name, value)| (name.into(), value.into())).collect();
    refused(headers, body.as_bytes().to_vec());
    refused(Vec::new(), bytes.to_vec());
    refused(
        vec![("retry-after".into(), text.clone().into())],
        json!({"message": text}).to_string().into(),
    );
});

fn token(body: &[u8]) {
    let found = token_in(body);
    if let Ok(strict) = json::object(body) {
        let said = strict.get("token").and_then(Value::as_str).unwrap_or_default();
        let is_word = !said.is_empty() && !said.contains(|at: char| at <= ' ' || at > '~');
        assert_eq!(
            found.as_ref().map(|token| token.expose()),
            is_word.then_some(said)
        );
    }
    let Some(token) = found else { return };
    let credential = credential(&token);
    let lines: Vec<&str> = credential.expose().split('\n').collect();
    assert_eq!(
        lines,
        [
            "username=x-access-token",
            &format!("password={}", token.expose()),
            ""
        ]
    );
    assert!(
        spellings(&token)
            .iter()
            .all(|spelling| !spelling.expose().is_empty())
    );
}

fn refused(headers: Vec<(String, String)>, body: Vec<u8>) {
    let strict = json::object(&body);
    let is_strict = strict.is_ok() || serde_json::from_slice::<Value>(&body).is_err();
    let strict = strict.unwrap_or_default();
    let message = strict.get("message").and_then(Value::as_str).unwrap_or_default();
    let quote: String = message.chars().take(MAX_QUOTE).collect();
    let mut answer = FetchResponse {
        status: 0,
        headers,
        body,
    };
    for status in [0, 200, 302, 401, 403, 404, 422, 429, 500, u16::MAX] {
        answer.status = status;
        let said = explain(&APP, "infra", &answer);
        assert!(said.chars().count() < MAX_QUOTE + 300, "{said}");
        assert!(
            !said.contains(|at: char| at.is_control() && at != '\t'),
            "{said:?}"
        );
        assert!(said.contains(&format!("(status {status}")), "{said}");
        let is_clock = status == 401 && (quote.contains("('iat')") || quote.contains("('exp')"));
        assert!(
            !is_strict || said.starts_with("this host's clock is wrong") == is_clock,
            "{said}"
        );
        if is_strict && quote.chars().all(|at| matches!(at, ' '..='~')) {
            let end = match quote.as_str() {
                "" => format!(" (status {status})"),
                quote => format!(" (status {status}: {quote})"),
            };
            assert!(said.ends_with(&end), "{said}");
        }
    }
}
