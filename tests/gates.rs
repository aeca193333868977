//! [gates] Every gate refuses over the wire what it must, with the status and the sentence of the contract, and a
//! refused request neither starts a run nor spends its token.

use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::support::curl::Answer;
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::{Issuer, OldKey};

const BODY: &str = r#"{"version":"1.2.3","sha":"abc1234"}"#;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn parts() -> (Issuer, Deployer) {
    let issuer = Issuer::start();
    let deployer = Setup::new(&issuer).start();
    (issuer, deployer)
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, sentence: &str) {
    assert_eq!(
        (answer.status, answer.body().as_str()),
        (status, sentence),
        "{answer:?}"
    );
    assert!(
        answer.header("request-id").is_some_and(|id| id.len() == 16),
        "{answer:?}"
    );
}

/// A spoiled claim, and what the caller is told.
type Spoiled = (&'static str, fn(&mut Map<String, Value>), &'static str);

#[test]
fn one_spoiled_claim_is_refused_by_its_own_check_and_starts_nothing() {
    let (issuer, deployer) = parts();
    let spoiled: &[Spoiled] = &[
        (
            "iss",
            |claims| drop(claims.insert("iss".into(), json!("https://evil.example"))),
            "iss",
        ),
        (
            "iss as list",
            |claims| drop(claims.insert("iss".into(), json!([claims["iss"]]))),
            "iss",
        ),
        (
            "aud",
            |claims| drop(claims.insert("aud".into(), json!("engram-tf-apply"))),
            "aud",
        ),
        (
            "aud as list",
            |claims| drop(claims.insert("aud".into(), json!([AUDIENCE]))),
            "aud",
        ),
        (
            "exp",
            |claims| drop(claims.insert("exp".into(), json!(now() - 31))),
            "exp",
        ),
        (
            "exp as text",
            |claims| drop(claims.insert("exp".into(), json!("4102444800"))),
            "exp",
        ),
        ("no exp", |claims| drop(claims.remove("exp")), "exp"),
        (
            "iat",
            |claims| drop(claims.insert("iat".into(), json!(now() + 60))),
            "iat",
        ),
        (
            "nbf",
            |claims| drop(claims.insert("nbf".into(), json!(now() + 60))),
            "nbf",
        ),
        (
            "jti of another type",
            |claims| drop(claims.insert("jti".into(), json!(7))),
            "jti",
        ),
        (
            "repository",
            |claims| drop(claims.insert("repository".into(), json!("Engram-app/engram"))),
            "claim repository",
        ),
        ("no ref", |claims| drop(claims.remove("ref")), "claim ref"),
        (
            "workflow",
            |claims| {
                let other = "engram-app/engram/.github/workflows/deploy.yml@refs/heads/main-2";
                claims.insert("workflow_ref".into(), json!(other));
            },
            "claim workflow_ref",
        ),
    ];
    for (what, change, check) in spoiled {
        let answer = deployer
            .client()
            .post("/deploy", &issuer.mint_with(AUDIENCE, change), BODY);
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        let sentence = answer.body();
        assert!(
            sentence.starts_with("token rejected: ") && sentence.contains(check),
            "{what}: {sentence}"
        );
        // What would have been right is for the log alone.
        for expected in [
            "engram-app/engram/",
            "refs/heads/main",
            issuer.name(),
            "engram-deploy",
        ] {
            assert!(!sentence.contains(expected), "{what}: {sentence}");
        }
    }
    assert_eq!(
        std::fs::read_dir(deployer.runs()).unwrap().count(),
        0,
        "a refused request left a run folder"
    );
    assert_eq!(deployer.client().get("/status").status, 204);
}

#[test]
fn a_refused_body_does_not_spend_the_token() {
    let (issuer, deployer) = parts();
    let token = issuer.mint(AUDIENCE);
    for (body, sentence) in [
        (r#"{"version":"1.2"}"#, "version must match X.Y.Z semver"),
        (r#"{"version":"v1.2.3"}"#, "version must match X.Y.Z semver"),
        (r#"{"version":"01.2.3"}"#, "version must match X.Y.Z semver"),
        (
            r#"{"version":"1.2.3; rm -rf /"}"#,
            "version must match X.Y.Z semver",
        ),
    ] {
        assert_refused(&deployer.client().post("/deploy", &token, body), 400, sentence);
    }
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"version":1}"#,
        r#"{"version":"1.2.3","sha":"ABC1234"}"#,
    ] {
        assert_eq!(
            deployer.client().post("/deploy", &token, body).status,
            400,
            "{body}"
        );
    }
    assert_eq!(
        deployer.client().post("/deploy", &token, BODY).outcome()["status"],
        "ok"
    );
}

#[test]
fn the_authorization_header_is_one_bearer_token_or_nothing() {
    let (issuer, deployer) = parts();
    let token = issuer.mint(AUDIENCE);
    let sentence = "missing or malformed Authorization header";
    for headers in [
        vec![],
        vec![format!("Authorization: bearer {token}")],
        vec![format!("Authorization: Bearer  {token}")],
        vec![format!("Authorization: Bearer {token} x")],
        vec![format!("Authorization: Basic {token}")],
        vec!["Authorization: Bearer".to_owned()],
        vec![
            format!("Authorization: Bearer {token}"),
            format!("authorization: Bearer {token}"),
        ],
    ] {
        let mut arguments = vec!["-d".to_owned(), BODY.to_owned()];
        for header in headers {
            arguments.extend(["-H".to_owned(), header]);
        }
        assert_refused(
            &deployer.client().start("/deploy", &arguments).finish(),
            401,
            sentence,
        );
    }
    assert_eq!(
        deployer.client().post("/deploy", &token, BODY).outcome()["status"],
        "ok"
    );
}

#[test]
fn a_source_that_may_only_look_is_refused_before_its_token_is_read() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup.set("DEPLOYER_ALLOWED_IPS", "127.0.0.2");
    let deployer = setup.start();
    assert_refused(
        &deployer.client().post("/deploy", "nonsense", BODY),
        403,
        "source IP not permitted",
    );
    assert_eq!(deployer.client().get("/healthz").status, 200);
}

#[test]
fn an_address_on_no_list_is_closed_before_the_handshake() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup
        .set("DEPLOYER_ALLOWED_IPS", "127.0.0.2")
        .set("DEPLOYER_STATUS_ALLOWED_IPS", "127.0.0.2");
    let deployer = setup.start();
    let answer = deployer.client().get("/healthz");
    assert_eq!(answer.status, 0, "{answer:?}");
    // 35 is curl's word for a handshake that did not come to be, 56 for a connection that was reset.
    assert!(matches!(answer.exit, Some(35 | 56)), "{answer:?}");
    // Once for each address, whichever session met it. The hour may have ended in between.
    let _ = deployer
        .client()
        .start("/healthz", &["--interface", "127.0.0.3"])
        .finish();
    let allowed = deployer
        .client()
        .start("/healthz", &["--interface", "127.0.0.2"])
        .finish();
    assert_eq!(allowed.status, 200, "{allowed:?}");
    let _ = deployer.client().get("/healthz");
    let said = |address: &str| {
        let line = format!("{address}: closed, its address is in neither list");
        deployer
            .log()
            .lines()
            .filter(|logged| logged.contains(" INFO ") && logged.contains(&line))
            .count()
    };
    assert!((1..=2).contains(&said("127.0.0.1")), "{}", deployer.log());
    assert!((1..=2).contains(&said("127.0.0.3")), "{}", deployer.log());
    assert_eq!(said("127.0.0.2"), 0);
}

#[test]
fn the_same_token_from_20_processes_at_once_is_accepted_exactly_once_and_after_a_restart_never() {
    let (issuer, mut deployer) = parts();
    let token = issuer.mint(AUDIENCE);
    let client = deployer.client();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let (client, token) = (client.clone(), token.clone());
            thread::spawn(move || client.post("/deploy", &token, BODY))
        })
        .collect();
    let answers: Vec<Answer> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    let accepted = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(accepted, 1, "{answers:?}");
    for refused in answers.iter().filter(|answer| answer.status != 200) {
        assert_refused(refused, 401, "token replay detected");
    }
    deployer.stop();
    deployer.start_again();
    assert_refused(
        &deployer.client().post("/deploy", &token, BODY),
        401,
        "token replay detected",
    );
    assert_eq!(
        std::fs::read_dir(deployer.runs()).unwrap().count(),
        1,
        "one run folder for one accepted token"
    );
}

#[test]
fn without_keys_the_answer_is_later_and_not_never() {
    let issuer = Issuer::start();
    issuer.fail(500, 1);
    let deployer = Setup::new(&issuer).start();
    let token = issuer.mint(AUDIENCE);
    let answer = deployer.client().post("/deploy", &token, BODY);
    assert_refused(&answer, 503, "the issuer's keys cannot be had");
    assert!(answer.header("retry-after").is_some());
    // The cooldown counts after a failure too, so a second request does not ask again.
    assert_eq!(deployer.client().post("/deploy", &token, BODY).status, 503);
    assert_eq!(issuer.fetches(), 1);
}

#[test]
fn many_unknown_keys_ask_the_issuer_once() {
    let (issuer, deployer) = parts();
    assert_eq!(
        deployer
            .client()
            .post("/deploy", &issuer.mint(AUDIENCE), BODY)
            .outcome()["status"],
        "ok"
    );
    issuer.rotate(OldKey::Kept);
    let unknown: Vec<String> = (0..8).map(|_| issuer.mint(AUDIENCE)).collect();
    let client = deployer.client();
    thread::scope(|scope| {
        for token in &unknown {
            scope.spawn(|| assert_eq!(client.post("/deploy", token, BODY).status, 401));
        }
    });
    assert_eq!(
        issuer.fetches(),
        1,
        "within the cooldown the known set answers for itself"
    );
}
