//! What `docker inspect` prints, a line for each: what is read of a container and of an image is what a plain JSON reader
//! reads, written plainly it is the same, and healthy is judged by whole words.
#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use engram_deployer::deploy::docker::{Container, Image, ImageId};
use engram_deployer::deploy::health::judge::{self, Verdict};
use engram_deployer::limits::{RESTARTS_TOLERATED, STEADY};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    for line in text.trim().lines() {
        check(line);
    }
    // The same in the place of a state, a configuration and networks, so that not every try is spent on ids.
    if let Ok(inside) = serde_json::from_str::<Value>(&text) {
        let id = format!("sha256:{}", "ab".repeat(32));
        for (state, other) in [(&inside, &json!({})), (&json!({"Status": "running"}), &inside)] {
            let whole = json!({
                "Id": "3f2a", "Name": "/app", "Image": id, "RestartCount": 1, "State": state,
                "Config": other, "HostConfig": other, "NetworkSettings": other,
            });
            check(&whole.to_string());
        }
        check(&json!({"Id": id, "RepoDigests": inside, "Config": inside}).to_string());
    }
});

fn check(line: &str) {
    if let Ok(container) = serde_json::from_str(line) {
        check_container(&container, &serde_json::from_str(line).expect("JSON"));
    }
    if let Ok(image) = serde_json::from_str(line) {
        check_image(&image, &serde_json::from_str(line).expect("JSON"));
    }
}

fn check_container(seen: &Container, plain: &Value) {
    let anew: Container = serde_json::from_str(&plain.to_string()).expect("the same, written plainly");
    // serde_json's reading of a fraction is not exact.
    if !has_fraction(plain) {
        assert_eq!(format!("{anew:?}"), format!("{seen:?}"));
    }

    assert_eq!(plain["Id"], seen.id.as_str());
    assert_eq!(plain["Image"], id(&seen.image));
    let name = plain["Name"].as_str().expect("a name");
    assert!(name.ends_with(seen.name()) && !seen.name().starts_with('/'));
    assert_eq!(
        seen.restart_count,
        plain
            .get("RestartCount")
            .map_or(0, |count| count.as_u64().unwrap())
    );
    assert_eq!(
        plain["State"]["Status"].as_str().unwrap_or_default(),
        seen.status()
    );
    let states = [
        seen.is_running(),
        seen.status() == "paused",
        seen.status() == "restarting",
    ];
    assert_eq!(seen.is_active(), states.contains(&true));
    assert!(!(seen.is_active() && seen.is_lost()));

    let networks = plain["NetworkSettings"]["Networks"].as_object();
    let names: BTreeSet<&str> = networks
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect();
    assert!(seen.networks().iter().eq(&names));
    for name in &names {
        let _ = seen.has_own_address(name);
    }
    for network in seen.networks_without_alias("app") {
        let aliases = &plain["NetworkSettings"]["Networks"][network]["Aliases"];
        assert!(names.contains(network) && !["bridge", "host", "none"].contains(&network));
        assert!(
            !aliases
                .as_array()
                .is_some_and(|aliases| aliases.contains(&json!("app")))
        );
    }
    for (name, value) in plain["Config"]["Labels"].as_object().into_iter().flatten() {
        assert_eq!(seen.label(name), value.as_str());
    }
    let reference = plain["Config"]["Image"].as_str().unwrap_or_default();
    assert!(reference.starts_with(seen.reference()) && !seen.reference().contains('@'));
    assert!(!seen.restart_policy().is_empty() && !seen.network_mode().starts_with("container:"));
    assert_eq!(
        seen.removes_itself(),
        plain["HostConfig"]["AutoRemove"] == json!(true)
    );
    assert!(seen.describe().len() >= seen.status().len().min("exited".len()));
    check_health(seen, plain);
}

fn check_health(seen: &Container, plain: &Value) {
    for steady in [Duration::ZERO, STEADY] {
        let verdict = judge::container(seen, steady);
        let ended = ["exited", "dead", "removing", "created"].contains(&seen.status());
        assert!(!ended || matches!(verdict, Verdict::Hopeless(_)));
        if let Verdict::Healthy(_) = verdict {
            assert!(seen.is_running() && seen.restart_count <= RESTARTS_TOLERATED + 1);
            match seen.health() {
                Some((word, _)) => assert_eq!(word, "healthy"),
                None => assert_eq!(steady, STEADY),
            }
        }
    }
    let Some((word, output)) = seen.health() else {
        return;
    };
    assert!(word != "none" && !output.contains(['\n', '\r']));
    assert_eq!(plain["State"]["Health"]["Status"], word);
}

fn check_image(image: &Image, plain: &Value) {
    assert_eq!(plain["Id"], id(&image.id));
    let names = plain["RepoDigests"].as_array().into_iter().flatten();
    let names: Vec<(&str, &str)> = names.filter_map(|name| name.as_str()?.rsplit_once('@')).collect();
    for (_, digest) in &names {
        assert!(image.has_digest(digest));
        for other in [format!("{digest}0"), digest.chars().skip(1).collect()] {
            assert_eq!(
                image.has_digest(&other),
                names.iter().any(|(_, has)| *has == other)
            );
        }
    }
    if let Some(revision) = image.revision() {
        assert!(!revision.is_empty());
        assert_eq!(
            plain["Config"]["Labels"]["org.opencontainers.image.revision"],
            revision
        );
    }
}

/// An id, which is one wherever it is read.
fn id(id: &ImageId) -> &str {
    let digits = id.as_str().strip_prefix("sha256:").expect("its kind");
    assert!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    id.as_str()
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(members) => members.values().any(has_fraction),
        _ => false,
    }
}
