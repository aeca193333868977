//! A journal: cut anywhere, it says the same and less; written anew, it says the same.
#![no_main]

use engram_deployer::queue::parse_journal;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    let Ok(whole) = parse_journal(bytes) else { return };
    for cut in [bytes.len() / 4, bytes.len() / 2, bytes.len().saturating_sub(1)] {
        let part = parse_journal(&bytes[..cut]).expect("a part of a good journal is good");
        let Some(part) = part else { continue };
        let whole = whole.as_ref().expect("the whole says more");
        assert_eq!(part.run_id, whole.run_id);
        assert!(whole.entries.starts_with(&part.entries));
    }
    let Some(whole) = whole else { return };
    let torn = [bytes, b"\n{\"torn"].concat();
    let ended = [bytes, b"\n"].concat();
    if let Ok(ended) = parse_journal(&ended) {
        assert_eq!(
            parse_journal(&torn).expect("only the torn line is passed over"),
            ended
        );
    }

    // serde_json's reading of a fraction is not exact, and what is no object is no entry of ours.
    if !whole.entries.iter().all(Value::is_object) || whole.entries.iter().any(has_fraction) {
        return;
    }
    let mut anew = serde_json::to_vec(&serde_json::json!({"run_id": whole.run_id})).expect("JSON");
    for entry in &whole.entries {
        anew.push(b'\n');
        anew.extend(serde_json::to_vec(entry).expect("JSON"));
    }
    anew.push(b'\n');
    let again = parse_journal(&anew).expect("its own writing").expect("its head");
    assert_eq!((again.run_id, again.entries), (whole.run_id, whole.entries));
});

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}
