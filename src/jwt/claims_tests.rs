use super::*;
use crate::jwt::mint::github_claims;
use crate::jwt::{KeySet, Unverified, mint, verify};
use serde_json::{Map, json};

const NOW: u64 = 1_800_000_000;
const LEEWAY_S: u64 = LEEWAY.as_secs();

fn good() -> Map<String, Value> {
    let mut claims = github_claims("https://issuer.example");
    claims.insert("aud".into(), "engram-deploy".into());
    claims.insert("iat".into(), NOW.into());
    claims.insert("nbf".into(), (NOW - 600).into());
    claims.insert("exp".into(), (NOW + 300).into());
    claims.insert("jti".into(), "id-1".into());
    claims
}

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "engram-deploy";

fn check_at(payload: &[u8], now: u64) -> Result<Claimed> {
    Claims::read(Signed {
        payload: payload.to_vec(),
        hash: [7; hash::LENGTH],
    })?
    .check(ISSUER, AUDIENCE, now)
}

/// Which rule refuses a good token with one claim spoiled; null takes the claim away.
fn refused_with(name: &str, value: Value) -> Option<Check> {
    refused_with_at(name, value, NOW)
}

fn refused_with_at(name: &str, value: Value, now: u64) -> Option<Check> {
    let mut claims = good();
    match value {
        Value::Null => claims.remove(name),
        value => claims.insert(name.into(), value),
    };
    check_at(Value::Object(claims).to_string().as_bytes(), now)
        .err()
        .map(|rejected| rejected.check)
}

fn refused_at(now: u64) -> Option<Check> {
    refused_with_at("unused", json!("unused"), now)
}

#[test]
fn a_good_token_passes_from_text_to_claims() {
    let key = mint::Key::shared();
    let set = KeySet::parse(&key.jwks()).unwrap();
    let token = key.sign(&good());
    let unverified = Unverified::parse(token.as_bytes()).unwrap();
    let public = set.get(unverified.kid()).unwrap();
    let signed = verify(unverified, public).unwrap();
    let claimed = Claims::read(signed)
        .unwrap()
        .check(ISSUER, AUDIENCE, NOW)
        .unwrap();
    assert_eq!(
        (claimed.jti.as_deref(), claimed.issued, claimed.expires),
        (Some("id-1"), NOW, NOW + 300)
    );
    let text = token.rsplit_once('.').unwrap().0;
    assert_eq!(claimed.claims().signed_hash, hash::sha256(text.as_bytes()));
    assert_eq!(claimed.issuer, "https://issuer.example");
    assert_eq!(
        claimed.claims().text("repository").unwrap(),
        Some("engram-app/engram")
    );
    assert_eq!(claimed.claims().members()["run_id"], "3003");
}

#[test]
fn the_payload_is_one_object_with_each_name_once() {
    let text = Value::Object(good()).to_string();
    let twice = text.replacen('{', r#"{"\u0069ss":"https://issuer.example","#, 1);
    let inner = text.replacen('{', r#"{"extra":{"a":1,"a":1},"#, 1);
    let array = format!("[{text}]");
    for payload in [
        &twice,
        &inner,
        &array,
        "",
        "null",
        "\"x\"",
        "{",
        &format!("{text}x"),
    ] {
        let refused = check_at(payload.as_bytes(), NOW).unwrap_err();
        assert_eq!(refused.check, Check::PAYLOAD, "{payload}");
    }
}

#[test]
fn a_name_in_another_case_is_another_claim() {
    for (name, check) in [("iss", Check::ISSUER), ("aud", Check::AUDIENCE)] {
        let text = Value::Object(good())
            .to_string()
            .replace(&format!("\"{name}\""), &format!("{:?}", name.to_uppercase()));
        assert_eq!(check_at(text.as_bytes(), NOW).unwrap_err().check, check);
    }
}

#[test]
fn the_issuer_is_compared_whole() {
    for value in [
        Value::Null,
        json!("https://issuer.example/"),
        json!("https://issuer.example/slug"),
        json!("https://issuer.exampl"),
        json!("HTTPS://issuer.example"),
        json!(""),
        json!(["https://issuer.example"]),
        json!({"https://issuer.example": 1}),
        json!(7),
        json!(true),
    ] {
        assert_eq!(refused_with("iss", value.clone()), Some(Check::ISSUER), "{value}");
    }
}

#[test]
fn the_audience_is_one_string_compared_whole() {
    for value in [
        Value::Null,
        json!("engram-deploy-2"),
        json!("engram-deplo"),
        json!("Engram-deploy"),
        json!("engram-deploy "),
        json!(""),
        json!(["engram-deploy"]),
        json!(["engram-deploy", "other"]),
        json!([]),
        json!(7),
    ] {
        assert_eq!(
            refused_with("aud", value.clone()),
            Some(Check::AUDIENCE),
            "{value}"
        );
    }
}

#[test]
fn a_claim_of_the_wrong_type_does_not_count_as_absent() {
    for value in [json!(7), json!(["a"]), json!({}), json!(false)] {
        assert_eq!(
            refused_with("sub", value.clone()),
            Some(Check::SUBJECT),
            "{value}"
        );
        assert_eq!(
            refused_with("jti", value.clone()),
            Some(Check::TOKEN_ID),
            "{value}"
        );
        if !value.is_number() {
            assert_eq!(
                refused_with("nbf", value.clone()),
                Some(Check::NOT_BEFORE),
                "{value}"
            );
        }
    }
    // An explicit null is a claim of the wrong type too.
    for (name, check) in [
        ("sub", Check::SUBJECT),
        ("nbf", Check::NOT_BEFORE),
        ("jti", Check::TOKEN_ID),
    ] {
        let mut claims = good();
        claims.insert(name.into(), Value::Null);
        let payload = Value::Object(claims).to_string();
        assert_eq!(
            check_at(payload.as_bytes(), NOW).unwrap_err().check,
            check,
            "{name}"
        );
    }
    assert_eq!(refused_with("sub", Value::Null), None);
    assert_eq!(refused_with("nbf", Value::Null), None);
}

#[test]
fn a_token_id_that_is_there_is_bounded() {
    assert_eq!(refused_with("jti", Value::Null), None);
    assert_eq!(refused_with("jti", json!("")), Some(Check::TOKEN_ID));
    assert_eq!(
        refused_with("jti", json!("x".repeat(MAX_JTI + 1))),
        Some(Check::TOKEN_ID)
    );
    assert_eq!(refused_with("jti", json!("x".repeat(MAX_JTI))), None);
    assert_eq!(refused_with("jti", json!("any \u{1f980} text\n at all")), None);
}

#[test]
fn times_are_whole_seconds_and_nothing_like_them() {
    for (name, check) in [
        ("iat", Check::ISSUED_AT),
        ("exp", Check::EXPIRY),
        ("nbf", Check::NOT_BEFORE),
    ] {
        for raw in [
            "1800000000.0",
            "1800000000.5",
            "18e8",
            "-1",
            "-0",
            "18446744073709551616",
            "\"1800000000\"",
            "[]",
        ] {
            let mut claims = good();
            claims.remove(name);
            let rest = Value::Object(claims).to_string();
            let payload = rest.replacen('{', &format!("{{\"{name}\":{raw},"), 1);
            assert_eq!(
                check_at(payload.as_bytes(), NOW).unwrap_err().check,
                check,
                "{name} {raw}"
            );
        }
    }
    for huge in [MAX_TIME_CLAIM + 1, u64::MAX] {
        assert_eq!(refused_with("exp", json!(huge)), Some(Check::EXPIRY));
        assert_eq!(refused_with("iat", json!(huge)), Some(Check::ISSUED_AT));
    }
    assert_eq!(refused_with("iat", Value::Null), Some(Check::ISSUED_AT));
    assert_eq!(refused_with("exp", Value::Null), Some(Check::EXPIRY));
}

#[test]
fn a_token_dies_with_its_expiry_and_the_leeway() {
    assert_eq!(refused_at(NOW + 300 + LEEWAY_S - 1), None);
    assert_eq!(refused_at(NOW + 300 + LEEWAY_S), Some(Check::EXPIRY));
    assert_eq!(dead_from(NOW + 300), NOW + 300 + LEEWAY_S);
    assert_eq!(refused_at(u64::MAX), Some(Check::EXPIRY));
}

#[test]
fn a_token_from_the_future_waits() {
    assert_eq!(refused_with("iat", json!(NOW + LEEWAY_S)), None);
    assert_eq!(
        refused_with("iat", json!(NOW + LEEWAY_S + 1)),
        Some(Check::ISSUED_AT)
    );
    assert_eq!(refused_with("nbf", json!(NOW + LEEWAY_S)), None);
    assert_eq!(
        refused_with("nbf", json!(NOW + LEEWAY_S + 1)),
        Some(Check::NOT_BEFORE)
    );
    assert_eq!(refused_at(0), Some(Check::ISSUED_AT));
}

#[test]
fn a_life_is_positive_and_capped() {
    let most = MAX_TOKEN_LIFETIME.as_secs();
    assert_eq!(refused_with("exp", json!(NOW + most)), None);
    assert_eq!(refused_with("exp", json!(NOW + most + 1)), Some(Check::LIFETIME));
    assert_eq!(refused_with("exp", json!(MAX_TIME_CLAIM)), Some(Check::LIFETIME));
    assert_eq!(refused_with("exp", json!(NOW)), Some(Check::LIFETIME));
    assert_eq!(refused_with("exp", json!(NOW - 1)), Some(Check::LIFETIME));
}

#[test]
fn an_old_token_is_refused_whatever_its_expiry_says() {
    let most = MAX_TOKEN_AGE.as_secs();
    assert_eq!(refused_with_at("exp", json!(NOW + most), NOW + most), None);
    assert_eq!(
        refused_with_at("exp", json!(NOW + most), NOW + most + 1),
        Some(Check::AGE)
    );
}

#[test]
fn a_time_refusal_says_the_skew_in_the_log() {
    let payload = Value::Object(good()).to_string();
    let late = check_at(payload.as_bytes(), NOW + 377).unwrap_err();
    assert!(late.detail.contains("77 s ago"), "{}", late.detail);
    let early = check_at(payload.as_bytes(), NOW - 99).unwrap_err();
    assert!(early.detail.contains("99 s ahead"), "{}", early.detail);
}

#[test]
fn a_long_claim_is_cut_in_the_log() {
    let detail = {
        let mut claims = good();
        claims.insert("iss".into(), json!("\u{e9}".repeat(5000)));
        check_at(Value::Object(claims).to_string().as_bytes(), NOW)
            .unwrap_err()
            .detail
    };
    assert!(detail.len() < 600, "{}", detail.len());
}
