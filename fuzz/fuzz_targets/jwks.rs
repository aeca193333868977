//! The key set: whatever is usable stands in it once, as an RSA key within bounds, and strict JSON is JSON.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engram_deployer::jwt::{KeySet, json};
use engram_deployer::limits::{MAX_JWKS, MAX_KEYS};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let plain = serde_json::from_slice::<Value>(bytes);
    match json::object(bytes) {
        Ok(strict) => assert_eq!(
            Value::Object(strict.into_iter().collect()),
            *plain.as_ref().expect("JSON")
        ),
        Err(why) => assert!(!plain.as_ref().is_ok_and(Value::is_object) || why.contains("duplicate member")),
    }
    let Ok(set) = KeySet::parse(bytes) else { return };
    assert!(bytes.len() <= MAX_JWKS);
    let plain = plain.expect("JSON");
    let keys = plain["keys"].as_array().expect("a list");
    assert!(set.names().next().is_some() && keys.len() <= MAX_KEYS);
    for name in set.names() {
        let named: Vec<&Value> = keys.iter().filter(|key| key["kid"] == name).collect();
        let [key] = named[..] else {
            panic!("{name} stands there {} times", named.len());
        };
        assert!(set.get(name).is_some());
        assert_eq!(key["kty"], "RSA");
        assert!(key.get("use").is_none_or(|purpose| purpose == "sig"));
        assert!(key.get("alg").is_none_or(|algorithm| algorithm == "RS256"));
        assert_eq!(number(&key["e"]), [1, 0, 1]);
        let modulus = number(&key["n"]);
        assert!((256..=512).contains(&modulus.len()));
        assert!(modulus.len() > 256 || modulus[0] >= 0x80);
    }
    if let Ok(anew) = serde_json::to_vec(&plain)
        && anew.len() <= MAX_JWKS
    {
        assert_eq!(KeySet::parse(&anew).as_ref(), Ok(&set));
    }
});

fn number(value: &Value) -> Vec<u8> {
    let bytes = URL_SAFE_NO_PAD
        .decode(value.as_str().expect("a text"))
        .expect("base64url");
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}
