//! Two things cut out of a certificate by their places (RFC 5280, section 4.1), whatever else is in it: the public key,
//! and from when to when it holds. Bytes in, facts out; checks no signature and no name.

use std::fmt;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// A time in UTC as `YYYYMMDDThhmmssZ`, which sorts as times do; [`crate::os::clock::compact`] writes the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(String);

/// From when to when a certificate holds, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub from: Moment,
    /// The last moment.
    pub until: Moment,
}

/// The SubjectPublicKeyInfo of a certificate in DER, header and all.
pub fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let rest = skip(fields(certificate)?, &["issuer", "validity", "subject"])?;
    Some(element(rest)?.of(SEQUENCE)?.whole)
}

/// From when to when a certificate in DER holds.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let rest = skip(fields(certificate)?, &["issuer"])?;
    let from = element(element(rest)?.of(SEQUENCE)?.content)?;
    let until = element(from.rest).filter(|until| until.rest.is_empty())?;
    Some(Validity {
        from: moment(from)?,
        until: moment(until)?,
    })
}

/// The fields of the TBSCertificate from the issuer on: Certificate = { TBSCertificate, ... } and
/// TBSCertificate = { [0] version?, serial, signature, issuer, validity, subject, subjectPublicKeyInfo, ... }.
fn fields(certificate: &[u8]) -> Option<&[u8]> {
    let outer = element(certificate)
        .filter(|outer| outer.rest.is_empty())?
        .of(SEQUENCE)?;
    let mut rest = element(outer.content)?.of(SEQUENCE)?.content;
    if let Some(version) = element(rest)?.of(VERSION) {
        rest = version.rest;
    }
    let serial = element(rest)?.of(INTEGER)?;
    skip(serial.rest, &["signature"])
}

/// What follows these fields, all of them sequences.
fn skip<'a>(fields: &'a [u8], names: &[&str]) -> Option<&'a [u8]> {
    names
        .iter()
        .try_fold(fields, |rest, _| Some(element(rest)?.of(SEQUENCE)?.rest))
}

/// `YYMMDDhhmmssZ` up to 2049, `YYYYMMDDhhmmssZ` from then on (RFC 5280, section 4.1.2.5).
fn moment(time: Element<'_>) -> Option<Moment> {
    let text = std::str::from_utf8(time.content).ok()?;
    let digits = text.strip_suffix('Z')?;
    let century = match time.tag {
        UTC_TIME if *digits.as_bytes().first()? < b'5' => "20",
        UTC_TIME => "19",
        GENERALIZED_TIME => "",
        _ => return None,
    };
    let all = format!("{century}{digits}");
    let whole = all.len() == 14 && all.bytes().all(|byte| byte.is_ascii_digit());
    let (day, time) = all.split_at_checked(8).filter(|_| whole)?;
    Some(Moment(format!("{day}T{time}Z")))
}

impl Moment {
    /// From text as `clock::compact` writes it.
    pub fn of_compact(text: String) -> Self {
        Self(text)
    }
}

/// `2026-01-02`.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |range: std::ops::Range<usize>| self.0.get(range).unwrap_or_default();
        write!(f, "{}-{}-{}", part(0..4), part(4..6), part(6..8))
    }
}

/// One DER element and what follows it.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    whole: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn of(self, tag: u8) -> Option<Element<'a>> {
        (self.tag == tag).then_some(self)
    }
}

/// Splits off the first element: one-byte tags and definite lengths, which is all that a certificate has here.
fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
    let (start, length) = match first {
        0..=0x7f => (2, usize::from(first)),
        0x81..=0x83 => {
            let start = 2 + usize::from(first & 0x7f);
            let digits = bytes.get(2..start)?;
            (
                start,
                digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)),
            )
        }
        _ => return None,
    };
    let (whole, rest) = bytes.split_at_checked(start.checked_add(length)?)?;
    Some(Element {
        tag,
        whole,
        content: whole.get(start..)?,
        rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tag: u8, text: &str) -> Option<String> {
        let whole = [&[tag, text.len() as u8], text.as_bytes()].concat();
        moment(element(&whole)?).map(|moment| moment.0)
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

    #[test]
    fn a_moment_is_shown_as_a_date() {
        let moment = Moment::of_compact("20260102T030405Z".into());
        assert_eq!(moment.to_string(), "2026-01-02");
    }
}
