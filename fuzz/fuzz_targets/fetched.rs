//! What the fetch role answers: what is accepted says what a plain JSON reader reads, written again it is accepted as the same,
//! and one that was cut, or has bytes beyond, is refused.
#![no_main]

use engram_deployer::fetch::FetchResponse;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// As the caller of the role reads it.
type Answer = Result<FetchResponse, String>;

fuzz_target!(|bytes: &[u8]| {
    let _ = check(bytes);
    // The same as the body, as a header and as the reason of a failure, so that not every try is spent on the form.
    let text = String::from_utf8_lossy(bytes);
    let whole = json!({"Ok": {"status": 200, "headers": [["retry-after", text]], "body": bytes}}).to_string();
    let answer = check(whole.as_bytes())
        .expect("a whole answer")
        .expect("one of the peer");
    assert_eq!(
        (answer.header("retry-after"), answer.body.as_slice()),
        (Some(&*text), bytes)
    );
    let failed = json!({"Err": text}).to_string();
    assert_eq!(check(failed.as_bytes()), Some(Err(text.into_owned())));
    // As the parts of an answer.
    let _ = check(&[&b"{\"Ok\":{\"status\":"[..], bytes, b"}}"].concat());
});

fn check(bytes: &[u8]) -> Option<Answer> {
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let plain: Value = serde_json::from_slice(bytes).expect("JSON");
    match &answer {
        Err(why) => assert_eq!(plain, json!({"Err": why})),
        Ok(answer) => {
            let said = &plain["Ok"];
            assert_eq!(plain.as_object().map(|members| members.len()), Some(1));
            // serde takes a list for an object as well.
            let part = |name: &str, at: usize| said.get(name).or(said.get(at)).expect("all of it is there");
            assert_eq!(*part("status", 0), answer.status);
            assert_eq!(*part("headers", 1), json!(answer.headers));
            assert_eq!(*part("body", 2), json!(answer.body));
            assert!(
                2 * answer.body.len() <= bytes.len(),
                "a byte of the body is a digit and a comma"
            );
        }
    }
    let anew = serde_json::to_vec(&answer).expect("JSON");
    assert_eq!(
        serde_json::from_slice::<Answer>(&anew).as_ref().ok(),
        Some(&answer)
    );
    let beyond = [&anew[..], b"}"].concat();
    for bad in [&beyond[..], &anew[..anew.len() - 1], &anew[..anew.len() / 2]] {
        assert!(serde_json::from_slice::<Answer>(bad).is_err());
    }
    Some(answer)
}
