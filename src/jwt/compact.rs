//! A token as text: `header.payload.signature`, the compact form of RFC 7515 and no other.
//!
//! Runs on whatever a stranger sends, so it looks at little and bounds it first. It reads the header, because that
//! names the key; the payload stays a string of bytes until the signature holds.

use serde_json::Value;

use crate::jwt::check::{Check, Result};
use crate::jwt::{base64url, json};
use crate::limits::{MAX_KID, MAX_TOKEN};

/// Members a header may have. Any other one could bring a key along (`jwk`, `jku`, `x5c`, `x5u`) or change the meaning
/// of the rest (`crit`, `b64`, `zip`). `x5t` is GitHub's and is not looked at.
const MEMBERS: [&str; 4] = ["alg", "typ", "kid", "x5t"];

/// A well-formed token of which nothing is known to be true.
#[derive(Debug)]
pub struct Unverified<'t> {
    /// Header, dot, payload: exactly the bytes that came, which are what is signed.
    pub(super) signed_text: &'t [u8],
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
    kid: String,
}

impl<'t> Unverified<'t> {
    /// Takes the text apart.
    ///
    /// # Errors
    /// The first rule that does not hold, from [`Check::LENGTH`] to [`Check::KEY_ID`].
    pub fn parse(token: &'t [u8]) -> Result<Self> {
        let size = token.len();
        Check::LENGTH.holds(
            size <= MAX_TOKEN,
            format_args!("{size} bytes, must be at most {MAX_TOKEN}"),
        )?;
        // Four at most: a text of nothing but dots costs no more than any other.
        let parts: Vec<&[u8]> = token.splitn(4, |byte| *byte == b'.').collect();
        let [header, payload, signature] = parts[..] else {
            return Err(Check::PARTS.rejects("not three parts with dots between them"));
        };
        Check::PARTS.holds(parts.iter().all(|part| !part.is_empty()), "an empty part")?;
        let signed_text = &token[..header.len() + 1 + payload.len()];
        let decoded = |part| Check::ENCODING.needs(base64url::decode(part));
        let [header, payload, signature] = [decoded(header)?, decoded(payload)?, decoded(signature)?];
        Ok(Self {
            kid: key_id(&header)?,
            signed_text,
            payload,
            signature,
        })
    }

    /// What the token says its key is called: good for looking up that key and for nothing else.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// The `kid` of a header that says what it must and nothing else.
fn key_id(header: &[u8]) -> Result<String> {
    let header = Check::HEADER.needs(json::object(header))?;
    for (name, value) in &header {
        let is_known = MEMBERS.contains(&name.as_str()) && value.is_string();
        Check::HEADER.holds(is_known, format_args!("member `{name}` is unknown, or no string"))?;
    }
    let member = |name| header.get(name).and_then(Value::as_str);
    let alg = member("alg").unwrap_or_default();
    Check::ALGORITHM.holds(alg == "RS256", format_args!("alg is `{alg}`, must be RS256"))?;
    let typ = member("typ").unwrap_or("JWT");
    Check::TYPE.holds(typ == "JWT", format_args!("typ is `{typ}`, must be JWT"))?;
    let kid = member("kid").unwrap_or_default();
    Check::KEY_ID.holds(
        is_key_id(kid),
        format_args!("kid must be 1 to {MAX_KID} printable bytes"),
    )?;
    Ok(kid.to_owned())
}

/// True for what can name a key: printable ASCII without blanks, bounded.
pub fn is_key_id(kid: &str) -> bool {
    (1..=MAX_KID).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::mint::base64url as spell;

    /// A token with this header; payload and signature are what they like.
    fn with_header(header: &str) -> String {
        format!("{}.{}.c2ln", spell(header.as_bytes()), spell(b"{}"))
    }

    fn refused_by(token: &str) -> Option<Check> {
        Unverified::parse(token.as_bytes())
            .err()
            .map(|rejected| rejected.check)
    }

    const GOOD: &str = r#"{"alg":"RS256","typ":"JWT","kid":"k1","x5t":"t"}"#;

    #[test]
    fn a_well_formed_token_is_taken_apart_at_its_dots() {
        let token = with_header(GOOD);
        let parsed = Unverified::parse(token.as_bytes()).unwrap();
        assert_eq!(parsed.kid(), "k1");
        assert_eq!(parsed.payload, b"{}");
        assert_eq!(parsed.signature, b"sig");
        assert_eq!(parsed.signed_text, token.rsplit_once('.').unwrap().0.as_bytes());
    }

    #[test]
    fn a_token_over_the_bound_is_refused_before_anything_is_looked_at() {
        let longest = format!("{:A<MAX_TOKEN$}", with_header(GOOD));
        assert_ne!(refused_by(&longest), Some(Check::LENGTH));
        assert_eq!(refused_by(&format!("{longest}A")), Some(Check::LENGTH));
        assert_eq!(refused_by(&".".repeat(MAX_TOKEN + 1)), Some(Check::LENGTH));
        assert_eq!(refused_by(&".".repeat(MAX_TOKEN)), Some(Check::PARTS));
    }

    #[test]
    fn there_are_exactly_three_parts_and_none_is_empty() {
        let good = with_header(GOOD);
        let (header, rest) = good.split_once('.').unwrap();
        let (payload, signature) = rest.split_once('.').unwrap();
        for token in [
            String::new(),
            "a".into(),
            "a.b".into(),
            format!("{header}..{signature}"),
            format!("{header}.{payload}."),
            format!(".{payload}.{signature}"),
            format!("{good}."),
            format!(".{good}"),
            format!("{good}.{signature}"),
            format!("{good}.a.b"),
            "..".into(),
        ] {
            assert_eq!(refused_by(&token), Some(Check::PARTS), "{token:?}");
        }
        assert_eq!(
            refused_by(r#"{"payload":"e30","signatures":[]}"#),
            Some(Check::PARTS)
        );
    }

    #[test]
    fn every_part_has_one_spelling() {
        let good = with_header(GOOD);
        for part in 0..3 {
            for foreign in ["=", "+", "/", " ", "?", "%2E", "\n", "\u{e9}"] {
                let mut parts: Vec<String> = good.split('.').map(String::from).collect();
                parts[part].push_str(foreign);
                assert_eq!(
                    refused_by(&parts.join(".")),
                    Some(Check::ENCODING),
                    "part {part} {foreign:?}"
                );
            }
        }
        // `{}` is e30; 1 as its last character would decode to the same bytes.
        assert_eq!(refused_by(&good.replace(".e30.", ".e31.")), Some(Check::ENCODING));
    }

    #[test]
    fn a_header_brings_nothing_of_its_own() {
        for member in [
            "jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty", "x5t#S256", "ALG", "Kid", "",
        ] {
            let header = GOOD.replace("\"x5t\"", &format!("{member:?}"));
            assert_eq!(
                refused_by(&with_header(&header)),
                Some(Check::HEADER),
                "{member:?}"
            );
        }
    }

    #[test]
    fn a_header_is_one_flat_object_with_each_name_once() {
        for header in [
            "",
            "[]",
            "null",
            r#"["RS256","JWT","k1"]"#,
            r#"{"alg":"RS256","alg":"RS256","kid":"k1"}"#,
            r#"{"alg":"none","\u0061lg":"RS256","kid":"k1"}"#,
            r#"{"alg":"RS256","kid":"k1","\u006bid":"k2"}"#,
            r#"{"alg":["RS256"],"kid":"k1"}"#,
            r#"{"alg":"RS256","kid":1}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256","kid":"k1","x5t":{}}"#,
            r#"{"alg":"RS256","kid":"k1","typ":true}"#,
            r#"{"alg":"RS256","kid":"k1"}{}"#,
            r#"{"alg":"RS256","kid":"k1""#,
        ] {
            let expected = if header.is_empty() {
                Check::PARTS
            } else {
                Check::HEADER
            };
            assert_eq!(refused_by(&with_header(header)), Some(expected), "{header}");
        }
    }

    #[test]
    fn rs256_is_the_only_algorithm() {
        for alg in [
            "none", "None", "NONE", "", "rs256", "RS256 ", "HS256", "RS384", "RS512", "PS256", "ES256",
            "EdDSA",
        ] {
            let header = GOOD.replace("RS256", alg);
            assert_eq!(
                refused_by(&with_header(&header)),
                Some(Check::ALGORITHM),
                "{alg:?}"
            );
        }
        assert_eq!(
            refused_by(&with_header(r#"{"kid":"k1"}"#)),
            Some(Check::ALGORITHM)
        );
    }

    #[test]
    fn a_type_is_jwt_or_not_said() {
        assert_eq!(refused_by(&with_header(r#"{"alg":"RS256","kid":"k1"}"#)), None);
        for typ in ["at+jwt", "JWS", "jwt", ""] {
            assert_eq!(
                refused_by(&with_header(&GOOD.replace("JWT", typ))),
                Some(Check::TYPE),
                "{typ:?}"
            );
        }
    }

    #[test]
    fn a_key_id_is_there_and_printable_and_bounded() {
        assert_eq!(
            refused_by(&with_header(r#"{"alg":"RS256"}"#)),
            Some(Check::KEY_ID)
        );
        for kid in ["", "a b", "\\u0000", "\\n", "\u{e9}", &"k".repeat(MAX_KID + 1)] {
            let header = GOOD.replace("k1", kid);
            assert_eq!(refused_by(&with_header(&header)), Some(Check::KEY_ID), "{kid:?}");
        }
        // A key id is a name and nothing else: these name keys that do not exist.
        for kid in [
            "../../etc/passwd",
            "'--",
            "https://evil.example/jwks",
            &"k".repeat(MAX_KID),
        ] {
            assert_eq!(
                refused_by(&with_header(&GOOD.replace("k1", kid))),
                None,
                "{kid:?}"
            );
        }
    }
}
