//! Two things cut out of a certificate by their places (RFC 5280, section 4.1), whatever else is in it: the public key,
//! and from when to when it holds. Bytes in, facts out; checks no signature and no name.

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// From when to when a certificate holds, both included: times in UTC as `YYYYMMDDThhmmssZ`, which sort as times do, and as
/// [`crate::os::clock::compact`] writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: String,
    pub until: String,
}

/// The SubjectPublicKeyInfo of a certificate in DER, header and all.
pub fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let validity = element(after_issuer(certificate)?, SEQUENCE)?;
    let subject = element(validity.rest, SEQUENCE)?;
    Some(element(subject.rest, SEQUENCE)?.whole)
}

/// From when to when a certificate in DER holds.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let validity = element(after_issuer(certificate)?, SEQUENCE)?;
    let (from, rest) = time(validity.content)?;
    let (until, rest) = time(rest)?;
    rest.is_empty().then_some(Validity { from, until })
}

/// Certificate = { TBSCertificate, ... } and
/// TBSCertificate = { [0] version?, serial, signature, issuer, validity, subject, subjectPublicKeyInfo, ... }.
fn after_issuer(certificate: &[u8]) -> Option<&[u8]> {
    let outer = element(certificate, SEQUENCE).filter(|outer| outer.rest.is_empty())?;
    let fields = element(outer.content, SEQUENCE)?.content;
    let fields = element(fields, VERSION).map_or(fields, |version| version.rest);
    let serial = element(fields, INTEGER)?;
    let signature = element(serial.rest, SEQUENCE)?;
    Some(element(signature.rest, SEQUENCE)?.rest)
}

/// `YYMMDDhhmmssZ` up to 2049, `YYYYMMDDhhmmssZ` from then on (RFC 5280, section 4.1.2.5); and what follows it.
fn time(bytes: &[u8]) -> Option<(String, &[u8])> {
    let short = element(bytes, UTC_TIME);
    let time = short.or_else(|| element(bytes, GENERALIZED_TIME))?;
    let digits = std::str::from_utf8(time.content).ok()?.strip_suffix('Z')?;
    let century = match short {
        Some(_) if digits < "5" => "20",
        Some(_) => "19",
        None => "",
    };
    let all = format!("{century}{digits}");
    let is_whole = all.len() == 14 && all.bytes().all(|byte| byte.is_ascii_digit());
    let (day, clock) = all.split_at_checked(8).filter(|_| is_whole)?;
    Some((format!("{day}T{clock}Z"), time.rest))
}

/// One DER element and what follows it.
#[derive(Clone, Copy)]
struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

/// Splits off the first element, which must have this tag: one-byte tags and definite lengths, which is all that a
/// certificate has here.
fn element(bytes: &[u8], tag: u8) -> Option<Element<'_>> {
    let (start, length) = match bytes {
        [first, length @ 0..=0x7f, ..] if *first == tag => (2, usize::from(*length)),
        [first, more @ 0x81..=0x83, rest @ ..] if *first == tag => {
            let digits = rest.get(..usize::from(more & 0x7f))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            (2 + digits.len(), length)
        }
        _ => return None,
    };
    let (whole, rest) = bytes.split_at_checked(start + length)?;
    let content = whole.get(start..)?;
    Some(Element { whole, content, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, text: &str) -> Option<String> {
        let whole = [&[tag, text.len() as u8], text.as_bytes()].concat();
        time(&whole).map(|(time, _)| time)
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
            (SEQUENCE, "260102030405Z"),
        ] {
            assert_eq!(at(tag, text), None, "{text}");
        }
    }
}
