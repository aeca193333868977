//! A request, head and body: cut anywhere, the same verdict as at once. What is accepted means the same to httparse, and
//! written plainly it is read as the same.
#![no_main]

use engram_deployer::http::{BodyReader, Framing, Head, HeadReader, HttpError, Routes, Version};
use engram_deployer::limits::{MAX_BODY, MAX_HEAD, MAX_HEADERS, MAX_TARGET};
use engram_deployer_fuzz::pieces;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Incomplete,
    Refused(HttpError),
    /// The head, its length, and what came after it.
    Head(Head, usize, Rest),
}

#[derive(Debug, PartialEq, Eq)]
enum Rest {
    Incomplete,
    Refused(HttpError),
    Body(Vec<u8>, usize),
}

enum State {
    Head(HeadReader),
    Body(Head, usize, BodyReader),
}

fn verdict<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Verdict {
    let mut state = State::Head(HeadReader::default());
    let mut used = 0;
    for mut piece in pieces {
        if let State::Head(reader) = &mut state {
            match reader.feed(piece) {
                Err(refusal) => return Verdict::Refused(refusal),
                Ok((taken, progress)) => {
                    (used, piece) = (used + taken, &piece[taken..]);
                    match progress {
                        None => assert!(piece.is_empty()),
                        Some(head) => {
                            let reader = BodyReader::new(head.framing);
                            state = State::Body(head, used, reader);
                        }
                    }
                }
            }
        }
        if let State::Body(head, length, reader) = &mut state {
            match reader.feed(piece) {
                Err(refusal) => return Verdict::Head(head.clone(), *length, Rest::Refused(refusal)),
                Ok((taken, Some(body))) => {
                    return Verdict::Head(head.clone(), *length, Rest::Body(body, used + taken));
                }
                Ok((taken, None)) => {
                    assert_eq!(taken, piece.len());
                    used += taken;
                }
            }
        }
    }
    match state {
        State::Head(_) => Verdict::Incomplete,
        State::Body(head, length, _) => Verdict::Head(head, length, Rest::Incomplete),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = verdict(std::iter::once(bytes));
    assert_eq!(verdict(bytes.chunks(1)), whole);
    assert_eq!(verdict(pieces(bytes)), whole);
    match whole {
        Verdict::Incomplete => assert!(bytes.len() <= MAX_HEAD),
        Verdict::Refused(refusal) => assert!(!refusal.sentence.is_empty()),
        Verdict::Head(head, length, rest) => {
            bounded(&head, length, &rest);
            agrees_with_httparse(&bytes[..length], &head);
            assert_eq!(plainly(&head), head);
            let routes = Routes {
                endpoints: vec!["deploy".into(), "tf-plan".into()],
                modules: vec!["default".into()],
            };
            let _ = routes.find(&head.method, &head.path, &head.query);
        }
    }
});

fn bounded(head: &Head, length: usize, rest: &Rest) {
    assert!(length <= MAX_HEAD && head.authorization.len() <= MAX_HEADERS);
    assert!(head.path.starts_with('/') && head.path.len() <= MAX_TARGET);
    assert!(!head.path.contains(['%', '?', '#', ' ', '\\']));
    assert!(head.query.bytes().all(|b| b.is_ascii_graphic()) && head.query.len() < MAX_TARGET);
    assert!(
        !head
            .path
            .split('/')
            .any(|segment| segment == "." || segment == "..")
    );
    if let Rest::Body(body, _) = rest {
        assert!(body.len() <= MAX_BODY);
        match head.framing {
            Framing::Length(length) => assert_eq!(body.len(), length),
            Framing::Chunked => assert_eq!(head.version, Version::Http11),
        }
    }
}

/// What we accept must have one meaning; httparse is lenient, so it accepts whatever we do.
fn agrees_with_httparse(text: &[u8], head: &Head) {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    assert_eq!(request.parse(text), Ok(httparse::Status::Complete(text.len())));
    assert_eq!(request.method, Some(head.method.as_str()));
    let path = request.path.and_then(|target| target.split('?').next());
    assert_eq!(path, Some(head.path.as_str()));
    assert_eq!(request.version, Some((head.version == Version::Http11).into()));

    let values = |name: &str| -> Vec<String> {
        let named = request
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        let text = |header: &httparse::Header| String::from_utf8_lossy(header.value).into_owned();
        named.map(text).collect()
    };
    let trimmed = |name| -> Vec<String> {
        let values = values(name).into_iter();
        values
            .map(|value| value.trim_matches([' ', '\t']).to_owned())
            .collect()
    };
    assert_eq!(trimmed("authorization"), head.authorization);
    let lengths = trimmed("content-length");
    match head.framing {
        Framing::Chunked => assert!(lengths.is_empty() && trimmed("transfer-encoding").len() == 1),
        Framing::Length(length) => assert!(lengths.iter().all(|one| one.parse() == Ok(length))),
    }
    assert!(lengths.len() <= 1 && values("host").len() <= 1);
}

/// The head as a plain client would have written it, read again.
fn plainly(head: &Head) -> Head {
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1\r\nHost: h",
    };
    let mark = if head.query.is_empty() { "" } else { "?" };
    let mut text = format!("{} {}{mark}{} {version}\r\n", head.method, head.path, head.query);
    match head.framing {
        Framing::Length(length) => text += &format!("Content-Length: {length}\r\n"),
        Framing::Chunked => text += "Transfer-Encoding: chunked\r\n",
    }
    if head.expects_continue {
        text += "Expect: 100-continue\r\n";
    }
    for value in &head.authorization {
        text += &format!("Authorization: {value}\r\n");
    }
    text += "\r\n";
    match HeadReader::default().feed(text.as_bytes()) {
        Ok((used, Some(head))) if used == text.len() => head,
        // Bytes that are no UTF-8 have become three each, and a line has grown by its name's usual case.
        Err(HttpError::HEAD_TOO_LARGE) => head.clone(),
        other => panic!("{other:?} for {text}"),
    }
}
