use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

/// A folder with what terraform leaves of a plan.
struct Left {
    folder: PathBuf,
}

impl Left {
    fn new(name: &str) -> Left {
        let folder = std::env::temp_dir().join(format!("summary-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let left = Left { folder };
        left.archive(&[
            ("tfplan", "x"),
            ("tfconfig/m-/main.tf", "text"),
            (".terraform.lock.hcl", ""),
        ]);
        left
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the plan file, nothing in it packed.
    fn archive(&self, files: &[(&str, &str)]) {
        let (mut archive, mut directory) = (Vec::new(), Vec::new());
        for (name, content) in files {
            let offset = (archive.len() as u32).to_le_bytes();
            let length = (content.len() as u32).to_le_bytes();
            let names = (name.len() as u16).to_le_bytes();
            let header = [&[0; 14][..], &length, &length, &names, &[0, 0]].concat();
            archive.extend([b"PK\x03\x04", &header[..], name.as_bytes(), content.as_bytes()].concat());
            let record = [b"PK\x01\x02\0\0", &header[..], &[0; 10], &offset, name.as_bytes()].concat();
            directory.extend(record);
        }
        let place = [
            (directory.len() as u32).to_le_bytes(),
            (archive.len() as u32).to_le_bytes(),
        ]
        .concat();
        archive.extend([&directory[..], b"PK\x05\x06", &[0; 8], &place, &[0, 0]].concat());
        fs::write(self.file("plan.bin"), archive).unwrap();
    }

    fn read(&self, document: &str) -> io::Result<Summary> {
        fs::write(self.file("show.json"), document).unwrap();
        self.read_again()
    }

    fn read_again(&self) -> io::Result<Summary> {
        read(&self.file("show.json"), &self.file("plan.bin"), &self.folder)
    }

    fn digest(&self, document: &Value) -> String {
        self.read(&document.to_string()).unwrap().digest
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A plan that changes `thing.a`, leaves `thing.b` alone and has read `who.me`.
fn plan() -> Value {
    let state = |mode, kind, name, values| {
        let address = if mode == "data" {
            format!("data.{kind}.{name}")
        } else {
            format!("{kind}.{name}")
        };
        json!({"address": address, "mode": mode, "type": kind, "name": name, "values": values})
    };
    let change = |name, actions| {
        json!({
            "address": format!("thing.{name}"), "mode": "managed", "type": "thing", "name": name,
            "change": {"before": null, "after": {"x": [1]}, "actions": [actions]},
        })
    };
    json!({
        "terraform_version": "1.11.4",
        "variables": {"region": {"value": "eu"}},
        "resource_changes": [change("a", "update"), change("b", "no-op")],
        "resource_drift": [],
        "output_changes": {"o": {"actions": ["no-op"], "before": 1}},
        "prior_state": {"values": {"root_module": {
            "resources": [
                state("data", "who", "me", json!({"id": "1", "arn": "one"})),
                state("managed", "thing", "a", json!({"x": 0})),
            ],
            "child_modules": [{"address": "module.m", "resources": [state("data", "who", "me", json!({"id": "2"}))]}],
        }}},
        "configuration": {
            "provider_config": {"cloud": {"expressions": {"region": {"references": ["var.region"]}}}},
            "root_module": {"resources": [{"mode": "managed", "type": "thing", "name": "a"}]},
        },
        "relevant_attributes": [{"resource": "thing.b", "attribute": ["x"]}, {"resource": "thing.a", "attribute": []}],
        "timestamp": "2026-01-02T03:04:05Z",
        "errored": false,
    })
}

fn set(document: &mut Value, pointer: &str, value: Value) {
    let (place, name) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(place).unwrap() {
        Value::Array(list) => list[name.parse::<usize>().unwrap()] = value,
        object => object[name] = value,
    }
}

const ARN: &str = "/prior_state/values/root_module/resources/0/values/arn";
const IN_MODULE: &str = "/prior_state/values/root_module/child_modules/0/resources/0/values/id";

#[test]
fn changes_are_counted_as_terraform_counts_them() {
    let left = Left::new("counted");
    let all: [&[&str]; 7] = [
        &["create"],
        &["update"],
        &["delete"],
        &["delete", "create"],
        &["create", "delete"],
        &["no-op"],
        &["read"],
    ];
    let change = |actions: &&[&str]| json!({"address": "a", "change": {"actions": actions}});
    let mut document = plan();
    document["resource_changes"] = all.iter().map(change).collect();
    document["resource_drift"] = [&["update"][..], &["no-op"]].iter().map(change).collect();
    document["output_changes"]["p"] = json!({"actions": ["update"]});
    let summary = left.read(&document.to_string()).unwrap();
    assert_eq!((summary.drifted, summary.outputs), (1, 1));
    assert_eq!(
        summary.counts,
        Counts {
            add: 3,
            change: 1,
            destroy: 3
        }
    );
    assert_eq!(summary.counts.to_string(), "3 to add, 1 to change, 3 to destroy");
}

#[test]
fn a_plan_counts_as_whole_only_where_it_says_so() {
    let left = Left::new("whole");
    for (errored, complete) in [("false", true), ("true", false), ("null", false)] {
        let read = left.read(&format!("{{\"errored\":{errored}}}\n"));
        assert_eq!(read.is_ok(), complete, "{errored}");
    }
    assert!(left.read("{}").is_err());
}

#[test]
fn whatever_may_change_what_is_done_changes_the_digest() {
    let left = Left::new("changes");
    let before = left.digest(&plan());
    for (pointer, value) in [
        ("/terraform_version", json!("1.11.5")),
        ("/variables/region/value", json!("us")),
        ("/variables", json!({"zone": {"value": "eu"}})),
        (
            "/output_changes",
            json!({"p": {"actions": ["no-op"], "before": 1}}),
        ),
        ("/resource_changes/0/change/after/x", json!([2])),
        ("/resource_changes/1/change/importing", json!({"id": "i-1"})),
        ("/resource_changes/1/previous_address", json!("thing.c")),
        (
            "/resource_drift",
            json!([{"address": "thing.a", "change": {"actions": ["update"]}}]),
        ),
        ("/output_changes/o/before", json!(2)),
        ("/prior_state/values/root_module/resources/1/values/x", json!(1)),
        ("/prior_state/values/outputs", json!({})),
        ("/configuration/root_module/resources/0/name", json!("z")),
        ("/of_a_later_version", json!([])),
    ] {
        let mut other = plan();
        set(&mut other, pointer, value);
        assert_ne!(left.digest(&other), before, "{pointer}");
    }
    for files in [
        [("tfconfig/m-/main.tf", "other text"), (".terraform.lock.hcl", "")],
        [
            ("tfconfig/m-/main.tf", "text"),
            (".terraform.lock.hcl", "provider"),
        ],
        [("tfconfig/m-/moved.tf", "text"), (".terraform.lock.hcl", "")],
    ] {
        left.archive(&files);
        assert_ne!(left.digest(&plan()), before, "{files:?}");
    }
}

#[test]
fn what_changes_nothing_leaves_the_digest() {
    let left = Left::new("same");
    let before = left.digest(&plan());
    for (pointer, value) in [
        ("/timestamp", json!("later")),
        (ARN, json!("two")),
        (IN_MODULE, json!("3")),
    ] {
        let mut other = plan();
        set(&mut other, pointer, value);
        assert_eq!(left.digest(&other), before, "{pointer}");
    }
    let mut other = plan();
    other["relevant_attributes"].as_array_mut().unwrap().reverse();
    assert_eq!(left.digest(&other), before, "the order");
    left.archive(&[
        ("tfplan", "y"),
        (".terraform.lock.hcl", ""),
        ("tfconfig/m-/main.tf", "text"),
    ]);
    assert_eq!(left.digest(&plan()), before, "the rest of the plan file");
}

#[test]
fn of_a_data_source_that_a_change_needs_the_attributes_that_it_needs_count() {
    let left = Left::new("relevant");
    let differs = |resource: &str, attribute: Value, pointer: &str| {
        let mut document = plan();
        document["relevant_attributes"] = json!([{"resource": resource, "attribute": attribute}]);
        let before = left.digest(&document);
        set(&mut document, pointer, json!("another"));
        left.digest(&document) != before
    };
    for (resource, attribute, pointer, expected) in [
        ("data.who.me", json!(["arn"]), ARN, true),
        ("data.who.me", json!(["id", 0]), ARN, false),
        ("data.who.me", json!([]), ARN, true),
        ("data.who.me", json!(["gone"]), ARN, true),
        ("data.who.other", json!([]), ARN, false),
        ("module.m.data.who.me", json!(["id"]), IN_MODULE, true),
        (
            "module.m[\"a]\"].data.who.me[\"data.x.y\"]",
            json!(["id"]),
            IN_MODULE,
            true,
        ),
        ("module.m.data.who.me", json!(["arn"]), IN_MODULE, true),
    ] {
        assert_eq!(
            differs(resource, attribute.clone(), pointer),
            expected,
            "{resource} {attribute} {pointer}"
        );
    }
}

#[test]
fn where_data_may_act_unseen_all_of_it_counts() {
    let left = Left::new("unseen");
    let differs = |document: &Value| {
        let mut other = document.clone();
        set(&mut other, ARN, json!("two"));
        left.digest(document) != left.digest(&other)
    };
    let provisioned = json!([{"mode": "managed", "type": "thing", "name": "a", "provisioners": [{}]}]);
    let idle = json!([{"mode": "managed", "type": "thing", "name": "b", "provisioners": [{}]}]);
    let ephemeral = json!([{"mode": "ephemeral", "type": "token", "name": "t"}]);
    let provider =
        |reference: &str| json!({"expressions": {"endpoints": [{"s3": {"references": [reference]}}]}});
    let (resources, cloud) = (
        "/configuration/root_module/resources",
        "/configuration/provider_config/cloud",
    );
    let calls = "/configuration/root_module/module_calls";
    for (pointer, value, expected) in [
        (resources, provisioned.clone(), true),
        (resources, idle.clone(), false),
        (resources, ephemeral, true),
        (calls, json!({"m": {"module": {"resources": provisioned}}}), true),
        (
            calls,
            json!({"m": {"module": {"module_calls": {"n": {"module": {"resources": idle}}}}}}),
            false,
        ),
        (cloud, provider("data.who.me.arn"), true),
        (cloud, provider("thing.b.x"), true),
        (cloud, provider("local.x"), true),
        (cloud, provider("ephemeral.token.t"), true),
        (cloud, provider("var.x"), false),
        (cloud, provider("path.module"), false),
        (cloud, json!({"module_address": "module.m"}), true),
        ("/action_invocations", json!([{}]), true),
    ] {
        let mut document = plan();
        set(&mut document, pointer, value);
        assert_eq!(differs(&document), expected, "{pointer}: {document}");
    }
    for act in [("importing", json!({"id": "i-1"})), ("previous", json!(null))] {
        let mut document = plan();
        set(
            &mut document,
            resources,
            json!([{"mode": "managed", "type": "thing", "name": "b", "provisioners": [{}]}]),
        );
        match act.0 {
            "previous" => set(
                &mut document,
                "/resource_changes/1/previous_address",
                json!("thing.c"),
            ),
            _ => set(&mut document, "/resource_changes/1/change/importing", act.1),
        }
        assert!(differs(&document), "{}", act.0);
    }
    for (name, text, expected) in [
        (
            "main.tf",
            "provider \"cloud\" {\n dynamic \"endpoints\" {} }",
            true,
        ),
        ("main.tf", "provider/**/cloud { dynamic x {} }", true),
        (
            "main.tf",
            "provider = cloud.west\n dynamic \"rule\" {} required_providers {}",
            false,
        ),
        ("main.tf", "provider \"cloud\" {}", false),
        ("notes.txt", "provider dynamic", false),
        ("a.tf.json", "{\"provider\":{\"cloud\":{\"dynamic\":{}}}}", true),
        (
            "a.tf.json",
            "{\"provider\":{\"cloud\":{\"\\u0064ynamic\":{}}}}",
            true,
        ),
        ("a.tofu", "provider cloud { dynamic x {} }", true),
    ] {
        fs::write(left.file(name), text).unwrap();
        assert_eq!(differs(&plan()), expected, "{name}: {text}");
        fs::remove_file(left.file(name)).unwrap();
    }
}

#[test]
fn what_is_no_plan_is_an_error_and_no_panic() {
    let left = Left::new("bad");
    for bad in [
        "",
        "{",
        "7",
        "\"a\"",
        "{}{}",
        "{}x",
        "{\"a\":\"",
        "{\"errored\":false,\"a\":\"b\"\u{a0}}",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1}}",
        "{\"resource_changes\":7}",
        "{\"resource_changes\":[{}]}",
        "{\"resource_changes\":[,]}",
        "{\"resource_drift\":[{}]}",
        "{\"output_changes\":[1]}",
        "{\"errored\":7}",
        "{1:2}",
    ] {
        // With what makes it a whole plan, so that nothing else is why it is none.
        let whole = bad.replacen('{', "{\"errored\":false,", 1).replace(",}", "}");
        for bad in [bad, &whole] {
            let read = left.read(bad);
            assert!(read.is_err(), "{bad}: {:?}", read.map(|read| read.digest));
        }
    }
    let whole = plan().to_string();
    for end in (0..whole.len()).step_by(7) {
        assert!(left.read(&whole[..end]).is_err(), "{end}");
    }
    left.read(&whole).unwrap();
    let archive = fs::read(left.file("plan.bin")).unwrap();
    for at in 0..archive.len() {
        fs::write(left.file("plan.bin"), &archive[..at]).unwrap();
        assert!(left.read_again().is_err(), "cut at {at}");
        for value in [0, 0xff] {
            let mut damaged = archive.clone();
            damaged[at] = value;
            fs::write(left.file("plan.bin"), damaged).unwrap();
            let _ = left.read_again();
        }
    }
}

#[test]
fn a_plan_that_is_too_large_is_refused_before_it_is_read() {
    let left = Left::new("large");
    let refused = |text: &str, length| {
        fs::write(left.file("show.json"), text).unwrap();
        let file = fs::File::options()
            .write(true)
            .open(left.file("show.json"))
            .unwrap();
        file.set_len(length).unwrap();
        left.read_again().unwrap_err().to_string()
    };
    let said = refused("{", crate::limits::MAX_PLAN_JSON + 1);
    assert!(said.contains("larger than 256 MiB"), "{said}");
    // A text without end.
    let said = refused("{\"resource_changes\":[{\"address\":\"", 1024 * 1024);
    assert!(said.contains("while parsing a string"), "{said}");
    let one = format!(
        "{{\"errored\":false,\"resource_changes\":[{{\"name\":\"{}\"}}]}}",
        "x".repeat(crate::limits::MAX_PLAN_VALUE as usize)
    );
    let said = left.read(&one).unwrap_err().to_string();
    assert!(said.contains("a value of more than"), "{said}");
    let many = format!(
        "{{\"errored\":false,\"variables\":[{}1]}}",
        "1,".repeat(crate::limits::MAX_PLAN_PARTS)
    );
    let said = left.read(&many).unwrap_err().to_string();
    assert!(said.contains("more values"), "{said}");
    let deep = |text: &str| text.repeat(10_000);
    let nested = format!(
        "{{\"errored\":false,\"prior_state\":{{\"values\":{{\"root_module\":{}",
        deep("{\"child_modules\":[{")
    );
    assert!(left.read(&nested).is_err());
    let closed = format!("{}{}", deep("{\"child_modules\":["), deep("]}"));
    left.read(&format!(
        "{{\"errored\":false,\"prior_state\":{{\"root_module\":{closed}}}}}"
    ))
    .unwrap();
}
