//! A container's declaration: what is accepted cannot hurt an argv, and written plainly it is read as the same.
#![no_main]

use engram_deployer::deploy::swap::declaration::Declaration;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};

fuzz_target!(|bytes: &[u8]| {
    let declared = match Declaration::read(bytes) {
        Ok(declared) => declared,
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            assert!(mistakes.iter().all(|mistake| !mistake.to_string().is_empty()));
            return;
        }
    };
    harmless(&declared);
    let anew = plainly(&declared).to_string();
    assert_eq!(Declaration::read(anew.as_bytes()).as_ref(), Ok(&declared));
});

fn harmless(declared: &Declaration) {
    let lists = [
        &declared.ports,
        &declared.volumes,
        &declared.networks,
        &declared.arguments,
        &declared.command,
    ];
    let pairs = declared
        .env
        .iter()
        .chain(&declared.labels)
        .flat_map(|(name, value)| [name, value]);
    let single = [&declared.env_file, &declared.user, &declared.hostname]
        .into_iter()
        .flatten();
    for text in lists.into_iter().flatten().chain(pairs).chain(single) {
        assert!(!text.contains('\0'));
    }
    // Each of these is the word after its flag, and none may look like a flag or be empty.
    for word in declared
        .ports
        .iter()
        .chain(&declared.volumes)
        .chain(&declared.networks)
    {
        assert!(!word.is_empty() && !word.starts_with('-'), "{word:?}");
    }
    assert!(!declared.restart.is_empty());
    let refused = [
        "--name",
        "--rm",
        "--env",
        "--network",
        "--net",
        "--volume",
        "--label",
        "--detach",
    ];
    for argument in &declared.arguments {
        assert!(argument.starts_with("--") && argument.len() > 2);
        assert!(!refused.contains(&argument.split('=').next().unwrap_or_default()));
    }
    assert!(
        declared
            .env
            .iter()
            .all(|(name, _)| !name.is_empty() && !name.contains('='))
    );
    assert!(
        declared
            .labels
            .iter()
            .all(|(name, _)| !name.starts_with("engram."))
    );
}

fn plainly(declared: &Declaration) -> Value {
    let map = |pairs: &[(String, String)]| -> Map<String, Value> {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect()
    };
    let mut plain = json!({
        "ports": declared.ports,
        "env": map(&declared.env),
        "volumes": declared.volumes,
        "networks": declared.networks,
        "restart": declared.restart,
        "labels": map(&declared.labels),
        "arguments": declared.arguments,
        "command": declared.command,
    });
    let optional = [
        ("env_file", &declared.env_file),
        ("user", &declared.user),
        ("hostname", &declared.hostname),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            plain[name] = value.as_str().into();
        }
    }
    plain
}
