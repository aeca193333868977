//! What the fetch role reports: what is accepted is the whole report and says what a plain JSON reader reads in its first
//! line, written again it is accepted as the same, and one that was cut or has bytes beyond is refused.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use engram_deployer::fetch::{FetchRequest, FetchResponse, understand};
use engram_deployer::limits::MAX_FETCH;
use engram_deployer::os::privilege::Identity;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

static REQUEST: LazyLock<FetchRequest> = LazyLock::new(|| {
    let identity = Identity { uid: 1, gid: 1 };
    FetchRequest::new("https://host/path", identity, Duration::from_secs(1), MAX_FETCH)
});

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    // The same as the body and as a header of a report, so that not every try is spent on its form.
    let report = |header: &str, length: usize| {
        json!({"answered": {"status": 200, "headers": [["date", header]], "length": length}}).to_string()
    };
    let whole = [report("", bytes.len()).as_bytes(), b"\n", bytes].concat();
    assert_eq!(check(&whole).expect("a whole report").body, bytes);
    let header = String::from_utf8_lossy(bytes);
    let whole = report(&header, 0) + "\n";
    assert_eq!(
        check(whole.as_bytes()).expect("a whole report").header("date"),
        Some(&*header)
    );
});

fn check(bytes: &[u8]) -> Option<FetchResponse> {
    let answer = match understand(bytes, &REQUEST) {
        Ok(answer) => answer,
        Err(why) => {
            let why = why
                .strip_prefix("get https://host/path: ")
                .expect("it says of what");
            assert!(why.len() <= bytes.len() + 64);
            return None;
        }
    };
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a first line");
    assert_eq!(answer.body, bytes[end + 1..]);
    let plain: Value = serde_json::from_slice(&bytes[..end]).expect("JSON");
    let said = &plain["answered"];
    // serde takes a list for an object as well.
    if said.is_object() {
        assert_eq!(said["status"], answer.status);
        assert_eq!(said["headers"], json!(answer.headers));
        assert_eq!(said["length"], answer.body.len());
    }
    let mut anew = json!({"answered": {
        "status": answer.status, "headers": answer.headers, "length": answer.body.len(),
    }})
    .to_string()
    .into_bytes();
    anew.push(b'\n');
    anew.extend(&answer.body);
    assert_eq!(understand(&anew, &REQUEST).as_ref(), Ok(&answer));
    anew.push(b'x');
    assert!(understand(&anew, &REQUEST).is_err(), "one byte beyond");
    anew.truncate(anew.len() - 2);
    assert!(understand(&anew, &REQUEST).is_err(), "one byte less");
    Some(answer)
}
