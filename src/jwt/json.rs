//! Strict JSON: an object whose members each have one name, at any depth.
//!
//! RFC 8259 leaves duplicate names to the reader, and readers differ: the first wins in one, the last in another.
//! Whatever decides here must have one meaning for everybody (RFC 7515 section 4, RFC 7519 section 4), so a duplicate
//! refuses. Names are compared after unescaping and byte for byte, without folding case. Nesting is bounded by
//! serde_json (128), size by the caller.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The members of a JSON object.
pub type Members = Map<String, Value>;

/// The members of the one JSON object that is all of `text`.
///
/// # Errors
/// What is not JSON, not an object, followed by anything but blanks, or has a name twice; a short text for the log.
pub fn object(text: &[u8]) -> Result<Members, String> {
    match serde_json::from_slice(text).map_err(|error| error.to_string())? {
        Strict(Value::Object(members)) => Ok(members),
        Strict(_) => Err("it is not an object".into()),
    }
}

/// Any value in which every object has unique names.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Members::new();
        while let Some((name, Strict(value))) = map.next_entry::<String, Strict>()? {
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("duplicate member `{name}`")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_comes_twice_refuses_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"o":{"a":1,"a":2}}"#,
            r#"{"l":[{"x":[{"a":1,"a":2}]}]}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert!(
                object(text.as_bytes()).unwrap_err().contains("duplicate member"),
                "{text}"
            );
        }
    }

    #[test]
    fn names_that_only_look_alike_are_different_names() {
        // U+017F folds to s: a reader that folds case would see `sub` twice, or the wrong one.
        let members =
            object("{\"\u{17f}ub\":1,\"sub\":2,\"SUB\":3,\"a\":4,\"a\\u0000\":5}".as_bytes()).unwrap();
        assert_eq!(members["sub"], 2);
        assert_eq!(members.len(), 5);
    }

    #[test]
    fn only_one_object_and_nothing_else_is_read() {
        for text in [
            &b""[..],
            b"null",
            b"7",
            b"\"a\"",
            b"[]",
            br#"["a",1]"#,
            br#"[{"a":1}]"#,
            b"{} {}",
            b"{}x",
            b"{}\0",
            b"\xef\xbb\xbf{}",
            b"{",
            br#"{"a":1,}"#,
            br#"{a:1}"#,
            br#"{'a':1}"#,
            br#"{"a":1 /* c */}"#,
            br#"{"a":01}"#,
            br#"{"a":+1}"#,
            br#"{"a":NaN}"#,
            br#"{"a":Infinity}"#,
            br#"{"a":1e999}"#,
            br#"{"a":"\ud800"}"#,
            br#"{"a":"\x41"}"#,
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\n\"}",
        ] {
            assert!(object(text).is_err(), "{:?}", String::from_utf8_lossy(text));
        }
        assert!(object(b" \t\r\n{}\n").unwrap().is_empty());
    }

    #[test]
    fn nesting_has_an_end() {
        let bomb = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(object(bomb.as_bytes()).is_err());
    }

    #[test]
    fn values_keep_their_kinds() {
        let members =
            object(br#"{"i":1,"n":-1,"f":1.0,"e":1e3,"s":"1","b":true,"z":null,"o":{"l":[1]}}"#).unwrap();
        assert_eq!(members["i"].as_u64(), Some(1));
        for name in ["n", "f", "e", "s", "b", "z"] {
            assert_eq!(members[name].as_u64(), None, "{name}");
        }
        assert_eq!(members["o"]["l"][0], 1);
    }
}
