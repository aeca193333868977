//! The compact form: an accepted token is the one spelling of its bytes, and its header says what a plain JSON reader reads.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engram_deployer::jwt::{Unverified, base64url};
use engram_deployer::limits::{MAX_KID, MAX_TOKEN};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same as the inside of a header, so that not every try is spent on base64.
    check(format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(bytes)).as_bytes());
    canonical(bytes);
});

fn check(token: &[u8]) {
    let Ok(accepted) = Unverified::parse(token) else {
        return;
    };
    assert!(token.len() <= MAX_TOKEN);
    let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
    assert_eq!(parts.len(), 3);
    let again: Vec<String> = parts
        .iter()
        .map(|part| canonical(part).expect("one spelling"))
        .collect();
    assert_eq!(again.join(".").as_bytes(), token);

    let header = URL_SAFE_NO_PAD.decode(parts[0]).expect("the header");
    let Ok(Value::Object(header)) = serde_json::from_slice(&header) else {
        panic!("a header that is no JSON object");
    };
    assert_eq!(header["alg"], "RS256");
    assert_eq!(header["kid"], accepted.kid());
    assert!((1..=MAX_KID).contains(&accepted.kid().len()));
    assert!(header.get("typ").is_none_or(|typ| typ == "JWT"));
    assert!(
        header
            .keys()
            .all(|name| ["alg", "typ", "kid", "x5t"].contains(&name.as_str()))
    );
}

/// Decoded and encoded again; the same as a known library does and refuses.
fn canonical(part: &[u8]) -> Option<String> {
    let (ours, theirs) = (base64url::decode(part).ok(), URL_SAFE_NO_PAD.decode(part).ok());
    assert_eq!(ours, theirs);
    let again = base64url::encode(&ours?);
    assert_eq!(again.as_bytes(), part);
    Some(again)
}
