//! The issuer's key set (RFC 7517), read strictly and as a whole.
//!
//! A key that we may not use is passed over: another type, another purpose, another algorithm, too small, no name.
//! A set that cannot be read is refused whole, and so is one in which a name stands twice or that leaves no key: the
//! caller then keeps the set it has. Certificates in it (`x5c`, `x5t`) are neither checked nor a source of keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::jwt::base64url;
use crate::jwt::compact::is_key_id;
use crate::jwt::json::{self, Members};
use crate::limits::{MAX_JWKS, MAX_KEYS};
use serde::Deserialize;

/// Bits of a modulus: fewer are too weak, and more cost more than any issuer of ours needs.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// 65537, as bytes.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// The usable keys of an issuer, by name. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySet(BTreeMap<String, PublicKey>);

/// An RSA key for RS256, within bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Big-endian, no leading zero.
    pub(super) modulus: Vec<u8>,
    /// Big-endian, no leading zero.
    pub(super) exponent: Vec<u8>,
}

/// A key of a set, with the members that matter here.
#[derive(Deserialize)]
struct Jwk {
    kid: Option<String>,
    kty: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
}

impl KeySet {
    /// Reads a whole set.
    ///
    /// # Errors
    /// Text for the log: what cannot be read, what stands twice, or that no key is usable.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let size = text.len();
        if size > MAX_JWKS {
            return Err(format!("key set of {size} bytes, at most {MAX_JWKS} are read"));
        }
        let mut set =
            json::object(text).map_err(|fault| format!("key set is no strict JSON object: {fault}"))?;
        let list = set.remove("keys").unwrap_or_default();
        let list: Vec<Members> =
            serde_json::from_value(list).map_err(|fault| format!("`keys` is no list of objects: {fault}"))?;
        if list.len() > MAX_KEYS {
            return Err(format!(
                "key set of {} keys, at most {MAX_KEYS} are read",
                list.len()
            ));
        }
        let (mut keys, mut names) = (BTreeMap::new(), BTreeSet::new());
        for jwk in list {
            let jwk: Jwk =
                serde_json::from_value(jwk.into()).map_err(|fault| format!("in a key: {fault}"))?;
            let Some(kid) = &jwk.kid else {
                continue;
            };
            if !names.insert(kid.clone()) {
                // Whatever the two are: which one a token means would depend on their order.
                return Err(format!("key id `{kid}` stands twice in the key set"));
            }
            if let Some(key) = usable(&jwk).map_err(|fault| format!("key `{kid}`: {fault}"))? {
                keys.insert(kid.clone(), key);
            }
        }
        if keys.is_empty() {
            return Err("no usable RS256 key in the key set".into());
        }
        Ok(Self(keys))
    }

    /// The key of exactly that name.
    pub fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid)
    }

    /// The names of the usable keys.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The key, when it is one for us.
///
/// # Errors
/// A member that cannot be read: the set is not what the issuer meant to publish.
fn usable(jwk: &Jwk) -> Result<Option<PublicKey>, String> {
    let fits = |member: &Option<String>, only| member.as_deref().is_none_or(|text| text == only);
    // RFC 7517 section 4.3.
    let may_verify = |operations: &Vec<String>| operations.iter().any(|operation| operation == "verify");
    let is_for_rs256 = jwk.kid.as_deref().is_some_and(is_key_id)
        && jwk.kty.as_deref() == Some("RSA")
        && fits(&jwk.alg, "RS256")
        && fits(&jwk.purpose, "sig")
        && jwk.key_ops.as_ref().is_none_or(may_verify);
    if !is_for_rs256 {
        return Ok(None);
    }
    let (modulus, exponent) = (number("n", &jwk.n)?, number("e", &jwk.e)?);
    let bits = modulus
        .first()
        .map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    let in_bounds = MODULUS_BITS.contains(&bits) && exponent == EXPONENT;
    Ok(in_bounds.then_some(PublicKey { modulus, exponent }))
}

/// A big-endian number. RFC 7518 section 6.3.1.1 wants no leading zero; some issuers write one, which ring would
/// refuse and which changes nothing, so it is taken off.
fn number(name: &str, text: &Option<String>) -> Result<Vec<u8>, String> {
    let text = text.as_ref().ok_or_else(|| format!("no `{name}`"))?;
    let bytes = base64url::decode(text.as_bytes()).map_err(|fault| format!("`{name}` has {fault}"))?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes[zeros..].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::mint::{Key, base64url as spell};
    use serde_json::{Value, json};

    fn parse(keys: Value) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    /// A good key whose one member was changed (or, with null, taken away).
    fn spoiled(name: &str, value: Value) -> Value {
        let mut jwk = Key::shared().jwk();
        match value {
            Value::Null => jwk.as_object_mut().unwrap().remove(name),
            value => jwk.as_object_mut().unwrap().insert(name.into(), value),
        };
        jwk
    }

    /// A modulus of that many bits; no key pair belongs to it.
    fn modulus(bits: usize) -> Value {
        let mut bytes = vec![0xff; bits.div_ceil(8)];
        bytes[0] >>= (8 - bits % 8) % 8;
        spell(&bytes).into()
    }

    #[test]
    fn a_good_key_is_found_under_its_exact_name() {
        let set = parse(json!([spoiled("kid", "A1".into())])).unwrap();
        assert!(set.get("A1").is_some());
        assert_eq!(set.names().collect::<Vec<_>>(), ["A1"]);
        for other in ["a1", "A1 ", "A", ""] {
            assert!(set.get(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_for_us_is_passed_over() {
        let other = Key::shared().jwk();
        for (name, value) in [
            ("kty", json!("EC")),
            ("kty", json!("oct")),
            ("kty", json!("rsa")),
            ("kty", Value::Null),
            ("alg", json!("RS512")),
            ("alg", json!("PS256")),
            ("alg", json!("none")),
            ("use", json!("enc")),
            ("key_ops", json!(["encrypt"])),
            ("key_ops", json!([])),
            ("kid", Value::Null),
            ("kid", json!("")),
            ("kid", json!("a b")),
            ("kid", json!("k".repeat(257))),
            ("e", json!("AQ")),
            ("e", json!("Aw")),
            ("e", json!("AAAAAQ")),
            ("e", json!("")),
            ("n", modulus(1024)),
            ("n", modulus(2047)),
            ("n", modulus(4097)),
            ("n", json!("")),
        ] {
            let key = spoiled(name, value.clone());
            assert!(
                parse(json!([key])).is_err(),
                "{name} = {value} alone leaves no key"
            );
            let mut named = key.clone();
            if named["kid"] == other["kid"] {
                named["kid"] = "another".into();
            }
            let set = parse(json!([named, other])).unwrap();
            assert_eq!(set.names().count(), 1, "{name} = {value}");
        }
    }

    #[test]
    fn the_bounds_themselves_are_good() {
        for bits in [2048, 2049, 3072, 4096] {
            assert!(parse(json!([spoiled("n", modulus(bits))])).is_ok(), "{bits}");
        }
        for (name, value) in [
            ("alg", Value::Null),
            ("use", Value::Null),
            ("key_ops", json!(["verify"])),
            ("x5c", json!(["not a certificate"])),
            ("x5t", json!(7)),
        ] {
            assert!(parse(json!([spoiled(name, value)])).is_ok(), "{name}");
        }
    }

    #[test]
    fn leading_zeros_are_taken_off() {
        let plain = parse(json!([Key::shared().jwk()])).unwrap();
        let n = base64url::decode(Key::shared().jwk()["n"].as_str().unwrap().as_bytes()).unwrap();
        let zeros = [&[0, 0][..], &n].concat();
        assert_eq!(parse(json!([spoiled("n", spell(&zeros).into())])).unwrap(), plain);
        assert_eq!(
            parse(json!([spoiled("e", spell(&[0, 1, 0, 1]).into())])).unwrap(),
            plain
        );
        // Zeros do not make a small key large.
        let small = [vec![0; 128], vec![0xff; 128]].concat();
        assert!(parse(json!([spoiled("n", spell(&small).into())])).is_err());
    }

    #[test]
    fn one_name_for_two_keys_refuses_the_set() {
        let key = Key::shared().jwk();
        let secret = json!({ "kty": "oct", "kid": key["kid"], "k": "c2VjcmV0" });
        for keys in [json!([key, key]), json!([key, secret]), json!([secret, key])] {
            assert!(parse(keys).unwrap_err().contains("stands twice"));
        }
    }

    #[test]
    fn a_set_that_cannot_be_read_is_refused_whole() {
        let good = Key::shared().jwk();
        for (name, value) in [
            ("n", json!("AQ==")),
            ("n", json!("A+B/")),
            ("n", json!(7)),
            ("n", Value::Null),
            ("e", json!(65537)),
            ("e", Value::Null),
            ("kid", json!(7)),
            ("kty", json!(["RSA"])),
            ("alg", json!(7)),
            ("use", json!({})),
            ("key_ops", json!("verify")),
        ] {
            let mut odd = spoiled(name, value.clone());
            if odd["kid"] == good["kid"] {
                odd["kid"] = "another".into();
            }
            assert!(parse(json!([good, odd])).is_err(), "{name} = {value}");
        }
        assert!(parse(json!([good, "key"])).is_err());
        assert!(parse(json!({})).is_err());
        assert!(parse(json!([])).is_err());
        for text in [
            "",
            "[]",
            "{}",
            "null",
            r#"{"keys":[],"keys":[]}"#,
            r#"{"keys":[{"kid":"a","kid":"b"}]}"#,
        ] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
        let whole = Key::shared().jwks();
        assert!(KeySet::parse(&whole[..whole.len() - 1]).is_err());
    }

    #[test]
    fn a_set_is_bounded_in_bytes_and_keys() {
        let many: Vec<Value> = (0..=MAX_KEYS)
            .map(|i| spoiled("kid", format!("k{i}").into()))
            .collect();
        assert!(parse(json!(many[1..])).is_ok());
        assert!(parse(json!(many)).is_err());
        let mut set = Key::shared().jwks();
        set.resize(MAX_JWKS, b' ');
        assert!(KeySet::parse(&set).is_ok());
        set.push(b' ');
        assert!(KeySet::parse(&set).is_err());
    }
}
