//! What is cut out of a certificate by its place (RFC 5280, section 4.1), whatever else is in it: the public key, and
//! from when to when it holds. Bytes in, facts out; checks no signature and no name.

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// Of a certificate.
pub struct Certificate<'a> {
    /// The SubjectPublicKeyInfo, header and all.
    pub key: &'a [u8],
    /// From when to when it holds, both included: times in UTC as `YYYYMMDDThhmmssZ`, which sort as times do, and as
    /// [`crate::os::clock::compact`] writes them.
    pub from: String,
    pub until: String,
}

/// Reads a certificate in DER.
///
/// Certificate = { TBSCertificate, ... } and
/// TBSCertificate = { [0] version?, serial, signature, issuer, validity, subject, subjectPublicKeyInfo, ... }.
pub fn read(certificate: &[u8]) -> Option<Certificate<'_>> {
    let &[outer] = elements(certificate)?.as_slice() else {
        return None;
    };
    let fields = elements(elements(outer.content)?.first()?.content)?;
    let fields = match fields.first()?.tag {
        VERSION => &fields[1..],
        _ => &fields,
    };
    let &[_serial, _signature, _issuer, validity, _subject, key, ..] = fields else {
        return None;
    };
    let &[from, until] = elements(validity.content)?.as_slice() else {
        return None;
    };
    Some(Certificate {
        key: key.whole,
        from: time(from)?,
        until: time(until)?,
    })
}

/// `YYMMDDhhmmssZ` up to 2049, `YYYYMMDDhhmmssZ` from then on (RFC 5280, section 4.1.2.5).
fn time(element: Element<'_>) -> Option<String> {
    let digits = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let century = match element.tag {
        UTC_TIME if digits < "5" => "20",
        UTC_TIME => "19",
        GENERALIZED_TIME => "",
        _ => return None,
    };
    let all = format!("{century}{digits}");
    let is_whole = all.len() == 14 && all.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| format!("{}T{}Z", &all[..8], &all[8..]))
}

#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: &'a [u8],
}

/// The DER elements of which `bytes` consists: one-byte tags and definite lengths, which is all that a certificate has
/// here.
fn elements(mut bytes: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut found = Vec::new();
    while let [tag, first, rest @ ..] = bytes {
        let (start, length) = match first {
            0..=0x7f => (2, usize::from(*first)),
            0x81..=0x83 => {
                let digits = rest.get(..usize::from(first & 0x7f))?;
                let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
                (2 + digits.len(), length)
            }
            _ => return None,
        };
        let whole = bytes.get(..start + length)?;
        found.push(Element {
            tag: *tag,
            whole,
            content: &whole[start..],
        });
        bytes = &bytes[whole.len()..];
    }
    bytes.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, text: &str) -> Option<String> {
        let whole = [&[tag, text.len() as u8], text.as_bytes()].concat();
        time(elements(&whole)?[0])
    }

    #[test]
    fn times_are_read_as_the_standard_writes_them() {
        for (tag, text, expected) in [
            (UTC_TIME, "260102030405Z", "20260102T030405Z"),
            (UTC_TIME, "491231235959Z", "20491231T235959Z"),
            (UTC_TIME, "500101000000Z", "19500101T000000Z"),
            (GENERALIZED_TIME, "99991231235959Z", "99991231T235959Z"),
        ] {
            assert_eq!(at(tag, text).as_deref(), Some(expected));
        }
        for (tag, text) in [
            (UTC_TIME, "20260102030405Z"),
            (UTC_TIME, "260102030405"),
            (UTC_TIME, "2601020304Z"),
            (UTC_TIME, "Z"),
            (GENERALIZED_TIME, "260102030405Z"),
            (GENERALIZED_TIME, "2026010203040\u{e9}Z"),
            (0x30, "260102030405Z"),
        ] {
            assert_eq!(at(tag, text), None, "{text}");
        }
    }
}
