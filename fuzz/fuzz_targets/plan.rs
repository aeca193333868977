//! What `terraform show -json` prints of a plan, and the plan's archive behind a NUL: the counts are those that a plain JSON
//! reader comes to, blanks change nothing, and the digest is another one when a value, a name or the place of a value is.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use engram_deployer::hash::sha256;
use engram_deployer::jwt::base64url::hex;
use engram_deployer::jwt::json;
use engram_deployer::terraform::summary::{self, Summary};
use engram_deployer_fuzz::dice;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// What is read stands in this folder, in memory; the folder of the module is empty.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = PathBuf::from("/dev/shm").join(format!("fuzz-plan-{}", std::process::id()));
    fs::create_dir_all(folder.join("module")).expect("a folder");
    folder
});

fn read(shown: &[u8], plan: &[u8]) -> Option<Summary> {
    let [shown_at, plan_at, module] = ["shown", "plan", "module"].map(|name| FOLDER.join(name));
    fs::write(&shown_at, shown).expect("room");
    fs::write(&plan_at, plan).expect("room");
    summary::read(&shown_at, &plan_at, &module).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let (shown, plan) = match bytes.iter().position(|byte| *byte == 0) {
        Some(end) => (&bytes[..end], Some(&bytes[end + 1..])),
        None => (bytes, None),
    };
    let files: [(&str, &[u8]); 2] = [("tfconfig/m-/main.tf", b"text"), (".terraform.lock.hcl", b"")];
    let good = archive(&files);
    let summary = read(shown, &good);
    if let Some(plan) = plan {
        let _ = read(shown, plan);
        archives(shown, plan);
    }
    // The same with something to count around it, so that not every try is spent on names.
    let (member, list) = (
        br#"{"resource_changes":[{"address":"a","change":{"actions":["#,
        br#"]}}],"errored":false}"#,
    );
    for shown in [shown, &[&member[..], shown, &list[..]].concat()] {
        let Some(summary) = read(shown, &good) else {
            continue;
        };
        let Ok(strict) = json::object(shown) else { continue };
        let document = Value::Object(strict.into_iter().collect());
        counts(&summary, &document);
        digests(&document, &good, bytes);
    }
    let Some(summary) = summary else { return };
    // What is in a text that nobody uses may be of another encoding.
    let text = String::from_utf8_lossy(shown);
    assert!(
        serde_json::from_str::<IgnoredAny>(&text).is_ok(),
        "what is read is JSON"
    );
    let later = read(&[b" \n", shown, b" "].concat(), &good).expect("the same with blanks around it");
    assert_eq!((&later.digest, later.counts), (&summary.digest, summary.counts));
});

/// The children of an object or a list.
fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Object(members) => members.values().collect(),
        Value::Array(values) => values.iter().collect(),
        _ => Vec::new(),
    }
}

fn counts(summary: &Summary, document: &Value) {
    let all = |kind: &str| -> Option<Vec<Vec<String>>> {
        let entries = children(&document[kind]).into_iter();
        let changes = entries.map(|entry| {
            if kind == "output_changes" {
                entry
            } else {
                &entry["change"]
            }
        });
        // serde takes a list for an object as well, but for those there are no names here.
        changes
            .map(|change| serde_json::from_value(change["actions"].clone()).ok())
            .collect()
    };
    let changed = |actions: &&Vec<String>| actions.iter().any(|action| action != "no-op");
    if let Some(all) = all("resource_changes") {
        let count = |word: &str| all.iter().flatten().filter(|action| *action == word).count();
        let counts = summary.counts;
        let expected = (count("create"), count("update"), count("delete"));
        assert_eq!((counts.add, counts.change, counts.destroy), expected);
    }
    if let Some(all) = all("resource_drift") {
        assert_eq!(summary.drifted, all.iter().filter(changed).count());
    }
    if let Some(all) = all("output_changes") {
        assert_eq!(summary.outputs, all.iter().filter(changed).count());
    }
    assert_eq!(document["errored"], false, "an interrupted plan is not read");
    assert!(
        summary
            .digest
            .strip_prefix("sha256:")
            .is_some_and(|digits| digits.len() == 64)
    );
}

/// Changes a document in some places, chosen by `bytes`, and compares the digests.
fn digests(document: &Value, plan: &[u8], bytes: &[u8]) {
    let digest = |document: &Value| Some(read(document.to_string().as_bytes(), plan)?.digest);
    let Some(before) = digest(document) else { return };
    let mut later = document.clone();
    later["timestamp"] = "later".into();
    assert_eq!(digest(&later).as_ref(), Some(&before));
    if let Some(Value::Array(list)) = later.get_mut("relevant_attributes") {
        list.reverse();
        assert_eq!(digest(&later).as_ref(), Some(&before));
    }
    let mut dice = dice(bytes);
    for _ in 0..4 {
        let mut other = document.clone();
        if !change(&mut other, &mut dice, true, false) {
            continue;
        }
        if let Some(after) = digest(&other) {
            assert_ne!(after, before, "{document} and {other}");
        }
    }
}

/// Changes one value, one name, or the places of two values in one object. False when nothing was changed that must count: of
/// a data source only what a change needs counts.
fn change(value: &mut Value, dice: &mut impl FnMut() -> usize, is_top: bool, is_state: bool) -> bool {
    // As an object, or as the list that serde takes for one as well.
    let is_data = |value: &Value| value["mode"] == "data" || value[1] == "data";
    if is_state && is_data(value) {
        return false;
    }
    let done = match value {
        Value::Object(members) => in_object(members, dice, is_top, is_state),
        Value::Array(values) if !values.is_empty() => {
            let count = values.len();
            change(&mut values[dice() % count], dice, false, is_state)
        }
        Value::Array(_) => false,
        Value::String(text) => {
            text.push('x');
            true
        }
        Value::Bool(flag) => {
            *flag = !*flag;
            true
        }
        Value::Number(_) | Value::Null => {
            *value = "x".into();
            true
        }
    };
    done && !(is_state && is_data(value))
}

fn in_object(
    members: &mut Map<String, Value>,
    dice: &mut impl FnMut() -> usize,
    is_top: bool,
    is_state: bool,
) -> bool {
    let names: Vec<String> = members
        .keys()
        .filter(|name| !is_top || *name != "timestamp")
        .cloned()
        .collect();
    if names.is_empty() {
        return false;
    }
    let (one, two) = (&names[dice() % names.len()], &names[dice() % names.len()]);
    match dice() % 8 {
        0 if !members.contains_key(&format!("{one}x")) => {
            let value = members.remove(one).expect("its name");
            members.insert(format!("{one}x"), value);
            true
        }
        1 if members[one] != members[two] && !(is_state && (is_module(one) || is_module(two))) => {
            let (first, second) = (members[one].clone(), members[two].clone());
            // A list of data sources counts for nothing, wherever it stands.
            if is_state && (holds_data(&first) || holds_data(&second)) {
                return false;
            }
            members.insert(one.clone(), second);
            members.insert(two.clone(), first);
            true
        }
        _ => {
            let is_state = is_state || is_top && one == "prior_state";
            change(members.get_mut(one).expect("its name"), dice, false, is_state)
        }
    }
}

/// Of the levels of a state, which all are the same thing.
fn is_module(name: &str) -> bool {
    ["", "values", "root_module", "child_modules"].contains(&name)
}

fn holds_data(value: &Value) -> bool {
    *value == "data" || children(value).into_iter().any(holds_data)
}

/// A plan's archive with `content` for a file: each byte of it counts, and so does its name.
fn archives(shown: &[u8], content: &[u8]) {
    let digest = |name: &str, content: &[u8]| {
        let plan = archive(&[("tfplan", b"x"), (name, content)]);
        read(shown, &plan).map(|summary| summary.digest)
    };
    let Some(before) = digest("tfconfig/m-/main.tf", content) else {
        return;
    };
    assert_eq!(digest("tfconfig/m-/main.tf", content).as_ref(), Some(&before));
    assert_ne!(digest("tfconfig/m-/other.tf", content).as_ref(), Some(&before));
    let mut other = content.to_vec();
    match dice(content)() % content.len().max(1) {
        at if at < other.len() => other[at] ^= 1,
        _ => other.push(0),
    }
    assert_ne!(digest("tfconfig/m-/main.tf", &other).as_ref(), Some(&before));
    // Nobody can name one file so that it counts as two.
    let two = archive(&[("tfconfig/m-/a", content), ("tfconfig/m-/b", b"")]);
    let two = read(shown, &two).expect("two files are read as one is").digest;
    let one = format!("tfconfig/m-/a\n{} file tfconfig/m-/b", hex(&sha256(&[0])));
    assert_ne!(digest(&one, content), Some(two));
}

/// A ZIP archive in which nothing is packed.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let offset = (archive.len() as u32).to_le_bytes();
        let length = (content.len() as u32).to_le_bytes();
        let names = (name.len() as u16).to_le_bytes();
        let header = [&[0; 14][..], &length, &length, &names, &[0, 0]].concat();
        archive.extend([b"PK\x03\x04", &header[..], name.as_bytes(), content].concat());
        directory.extend([b"PK\x01\x02\0\0", &header[..], &[0; 10], &offset, name.as_bytes()].concat());
    }
    let (length, start) = (directory.len() as u32, archive.len() as u32);
    let end = [
        &b"PK\x05\x06"[..],
        &[0; 8],
        &length.to_le_bytes(),
        &start.to_le_bytes(),
        &[0, 0],
    ]
    .concat();
    [archive, directory, end].concat()
}
