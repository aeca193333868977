//! A health answer: healthy is what says the version, as a plain JSON reader reads it, with status 200; what is quoted of
//! anything else is short.
#![no_main]

use engram_deployer::deploy::health::judge::{Answer, Verdict, answer};
use engram_deployer::jwt::json;
use engram_deployer::limits::MAX_QUOTE;
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::Value;

const VERSION: &str = "0.5.61";

/// Another way to read the same.
#[derive(Deserialize)]
struct Said {
    version: String,
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same as the inside of a version, so that not every try is spent on its name.
    check(&[b"{\"status\":\"ok\",\"version\":\"", bytes, b"\"}"].concat());
    let why = String::from_utf8_lossy(bytes).into_owned();
    quoted("no answer: ", &judge(Err(why)));
});

fn check(body: &[u8]) {
    let verdict = judge(Ok((200, body.to_vec())));
    let is_healthy = matches!(verdict, Verdict::Healthy(_));
    if let Ok(strict) = json::object(body) {
        let says_it = strict.get("version").is_some_and(|said| said == VERSION);
        assert_eq!(is_healthy, says_it);
    }
    if is_healthy {
        match serde_json::from_slice::<Said>(body) {
            Ok(said) => assert_eq!(said.version, VERSION),
            // Named twice: the last one counted.
            Err(error) => assert!(error.to_string().contains("duplicate field"), "{error}"),
        }
    }
    match &verdict {
        Verdict::NotYet(said) if said.starts_with("last version: ") => quoted("last version: ", &verdict),
        Verdict::NotYet(said) | Verdict::Healthy(said) => assert!(said.len() < 64, "{said}"),
        Verdict::Hopeless(said) => panic!("an answer says nothing for good: {said}"),
    }
    if let Ok(plain) = serde_json::from_slice::<Value>(body) {
        assert_eq!(judge(Ok((200, format!(" {plain}\r\n").into_bytes()))), verdict);
    }
    for status in [0, 199, 201, 204, 206, 301, 404, 500, u16::MAX] {
        let other = judge(Ok((status, body.to_vec())));
        assert_eq!(other, Verdict::NotYet(format!("last answer: {status}")));
    }
    let any = answer(&Ok((200, body.to_vec())), None);
    assert!(matches!(any, Verdict::Healthy(_)));
}

fn judge(seen: Answer) -> Verdict {
    answer(&seen, Some(VERSION))
}

fn quoted(before: &str, verdict: &Verdict) {
    let Verdict::NotYet(said) = verdict else {
        panic!("{verdict:?}");
    };
    let quote = said.strip_prefix(before).expect("what was seen");
    assert!(quote.chars().count() <= MAX_QUOTE + "...".len());
}
