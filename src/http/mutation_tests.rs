//! Smoke: good requests, spoiled at random from a fixed seed. Whatever comes of one, the readers neither panic nor keep more
//! than their bounds, and a request in one piece means what it means in any pieces.

use super::{BodyReader, Framing, Head, HeadReader, HttpError, Routes};
use crate::limits::{MAX_BODY, MAX_TARGET};

const ROUNDS: usize = 20_000;

const SEEDS: [&str; 5] = [
    "POST /deploy HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a.b.c\r\nContent-Length: 19\r\n\r\n{\"version\":\"1.2.3\"}",
    "POST /deploy HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
    "GET /status?x=1 HTTP/1.1\r\nHost: h:1\r\nAccept: */*\r\n\r\n",
    "HEAD /runs/20260102T030405Z-0123abcd/log HTTP/1.0\r\n\r\n",
    "POST /tf-plan HTTP/1.1\r\nhost: [::1]\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
];

/// Pieces that make the difference when put somewhere else.
const PIECES: [&[u8]; 18] = [
    b"\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b"%2e",
    b"..",
    b"/",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"\xff",
    b"Host: x\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"ffffffff",
];

/// A small generator with a full period (Marsaglia's xorshift), so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let to = (at + self.below(12)).min(bytes.len());
        match self.below(5) {
            0 if at < bytes.len() => bytes[at] = self.below(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 => drop(bytes.drain(at..to)),
            3 => drop(bytes.splice(at..at, bytes[at..to].to_vec())),
            _ => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].to_vec())),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Incomplete,
    Refused(HttpError),
    Request(Head, Vec<u8>, usize),
}

fn read(bytes: &[u8], mut piece: impl FnMut() -> usize) -> Outcome {
    let mut head_reader = HeadReader::default();
    let mut rest = bytes;
    let head = loop {
        let size = piece().clamp(1, rest.len().max(1)).min(rest.len());
        match head_reader.feed(&rest[..size]) {
            Err(refusal) => return Outcome::Refused(refusal),
            Ok((used, Some(head))) => {
                rest = &rest[used..];
                break head;
            }
            Ok((used, None)) => rest = &rest[used..],
        }
        if rest.is_empty() {
            return Outcome::Incomplete;
        }
    };
    let mut body_reader = BodyReader::new(head.framing);
    loop {
        let size = piece().clamp(1, rest.len().max(1)).min(rest.len());
        match body_reader.feed(&rest[..size]) {
            Err(refusal) => return Outcome::Refused(refusal),
            Ok((used, Some(body))) => return Outcome::Request(head, body, rest.len() - used),
            Ok((used, None)) => rest = &rest[used..],
        }
        if rest.is_empty() {
            return Outcome::Incomplete;
        }
    }
}

#[test]
fn spoiled_requests_are_refused_or_bounded_and_never_depend_on_their_pieces() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut taken, mut refused) = (0, std::collections::HashSet::new());
    for round in 0..ROUNDS {
        let mut bytes = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..random.below(4) {
            random.spoil(&mut bytes);
        }
        let whole = read(&bytes, || usize::MAX);
        assert_eq!(whole, read(&bytes, || 1), "{}", bytes.escape_ascii());
        assert_eq!(
            whole,
            read(&bytes, || 1 + random.below(9)),
            "{}",
            bytes.escape_ascii()
        );
        match whole {
            Outcome::Incomplete => {}
            Outcome::Refused(refusal) => drop(refused.insert(refusal.sentence)),
            Outcome::Request(head, body, _) => {
                taken += 1;
                check(&head, &body);
            }
        }
    }
    assert!(
        taken > ROUNDS / 20 && refused.len() > 10,
        "{taken} taken, {} ways refused",
        refused.len()
    );
}

fn check(head: &Head, body: &[u8]) {
    assert!(head.path.starts_with('/') && head.path.len() <= MAX_TARGET);
    assert!(!head.path.contains("/../") && !head.path.contains('%'));
    assert!(body.len() <= MAX_BODY);
    match head.framing {
        Framing::Length(length) => assert_eq!(body.len(), length),
        Framing::Chunked => assert!(!["GET", "HEAD"].contains(&&*head.method)),
    }
    let routes = Routes {
        endpoints: vec!["deploy".to_string(), "tf-plan".to_string()],
        modules: vec!["default".to_string()],
    };
    let _ = routes.find(&head.method, &head.path, &head.query);
}

#[test]
fn noise_is_refused_or_incomplete() {
    let mut random = Random(88_172_645_463_325_252);
    for _ in 0..ROUNDS {
        let length = random.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        let outcome = read(&bytes, || usize::MAX);
        assert!(
            !matches!(outcome, Outcome::Request(..)),
            "{}",
            bytes.escape_ascii()
        );
    }
}
