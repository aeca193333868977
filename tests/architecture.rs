//! The house stands: imports point one way, and what may be in one place only is in one place only.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::support::source::{self, Source};

/// Reading order. A module may import from the rows above its own, and from itself; never from its own row or below.
const ROWS: &[&[&str]] = &[
    &["limits", "secret", "hash", "checked_text"],
    &["event"],
    &["jwt", "http", "link", "config"],
    &["os"],
    &["fetch", "jail"],
    &["gate"],
    &["queue"],
    &["run"],
    &["deploy", "terraform"],
    &["runner", "front", "session"],
    &["listen"],
    &["cli"],
    &["main", "lib"],
];

/// What each role may import: whatever else it named would be code that runs with its privileges, or its bytes.
const ROLES: &[(&str, &[&str])] = &[
    (
        "front",
        &["config", "event", "http", "jwt", "limits", "link", "os", "secret"],
    ),
    ("fetch", &["config", "jwt", "limits", "os", "secret"]),
    (
        "gate",
        &[
            "checked_text",
            "config",
            "event",
            "fetch",
            "hash",
            "jwt",
            "limits",
            "link",
            "os",
        ],
    ),
    (
        "session",
        &["config", "event", "gate", "limits", "link", "os", "queue"],
    ),
    (
        "queue",
        &[
            "checked_text",
            "config",
            "event",
            "gate",
            "hash",
            "jwt",
            "limits",
            "os",
        ],
    ),
    ("jail", &["config", "limits", "os"]),
    (
        "run",
        &["config", "event", "jail", "limits", "os", "queue", "secret"],
    ),
    (
        "runner",
        &[
            "config",
            "deploy",
            "event",
            "gate",
            "limits",
            "os",
            "queue",
            "run",
            "terraform",
        ],
    ),
];

fn row(module: &str) -> usize {
    ROWS.iter()
        .position(|row| row.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} has no row in the house: give it one in this test"))
}

/// The modules that each file imports, as file, its module, imported module.
fn imports() -> BTreeSet<(String, String, String)> {
    let module = |path: &Path| {
        source::all()
            .iter()
            .find(|source| source.path == path)
            .unwrap()
            .module
            .clone()
    };
    let mut found = BTreeSet::new();
    for (path, imported) in source::imports() {
        let own = module(path);
        for other in imported
            .iter()
            .map(|path| module(path))
            .filter(|other| *other != own)
        {
            found.insert((path.display().to_string(), own.clone(), other));
        }
    }
    assert!(found.len() > 100, "the imports were not found");
    found
}

fn offenders(is_wrong: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in source::all() {
        for (number, line) in source.lines() {
            if is_wrong(source, line) {
                wrong.push(format!("src/{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    wrong
}

fn assert_only_in(what: &str, places: &[&str]) {
    assert_only(what, |source| {
        places.iter().any(|place| source.path == Path::new(place))
    });
}

#[test]
fn no_import_points_up() {
    let wrong: Vec<_> = imports()
        .into_iter()
        .filter(|(_, module, imported)| row(imported) >= row(module))
        .collect();
    assert!(wrong.is_empty(), "imports that point up the house: {wrong:#?}");
}

#[test]
fn each_role_imports_only_what_it_may() {
    let imports = imports();
    for (role, allowed) in ROLES {
        let wrong: Vec<_> = imports
            .iter()
            .filter(|(_, module, imported)| module == role && !allowed.contains(&imported.as_str()))
            .collect();
        assert!(wrong.is_empty(), "{role} may not import this: {wrong:#?}");
    }
}

#[test]
fn comments_and_strings_hide_no_code_from_these_tests() {
    let text = "let a = \"http://x\"; use crate::b; // c\n/* d /* e */ f */ let g = r#\"h\"i\"#; let j = '\"'; 'k: k";
    let (code, strings) = source::separate(text);
    assert_eq!(
        code,
        "let a = \"\"; use crate::b; \n let g = \"\"; let j = '\"'; 'k: k"
    );
    assert_eq!(strings, [(1, "http://x".to_owned()), (2, "h\"i".to_owned())]);
}

#[test]
fn every_module_of_the_library_has_a_row() {
    for source in source::all() {
        row(&source.module);
    }
}

#[test]
fn tls_http_and_cryptography_stand_where_they_belong() {
    // Sessions of rustls in the role that has no privileges; what reads PEM and keys takes rustls's names for them.
    let in_front = |source: &Source| source.module == "front";
    assert_only("rustls::Server", in_front);
    assert_only("ServerConnection", in_front);
    assert_only("ClientConnection", |_| false);
    assert_only("rustls", |source| {
        in_front(source)
            || ["jwt/sign.rs", "cli/pin.rs", "cli/check/certificate.rs"].contains(&name(source).as_str())
    });
    // Requests in the role that has none either; everybody may split a URL.
    let wrong = offenders(|source, line| {
        line.replace("ureq::http::Uri", "").contains("ureq") && source.path != Path::new("fetch/role.rs")
    });
    assert!(
        wrong.is_empty(),
        "ureq sends requests for fetch alone: {wrong:#?}"
    );
    assert_only("ring::", |source| {
        // Keys and signatures in jwt, the provider that rustls is given, random numbers; hashes in one file.
        source.module == "jwt"
            || in_front(source)
            || ["hash.rs", "os/random.rs"].contains(&name(source).as_str())
    });
}

fn name(source: &Source) -> String {
    source.path.display().to_string()
}

fn assert_only(what: &str, place: impl Fn(&Source) -> bool) {
    let inside = |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let named = |line: &str| line.match_indices(what).any(|(at, _)| !inside(&line[..at]));
    let wrong = offenders(|source, line| named(line) && !place(source));
    assert!(wrong.is_empty(), "{what} does not belong here: {wrong:#?}");
}

#[test]
fn unsafe_code_stands_in_one_file_once() {
    assert_only_in("unsafe ", &["os/descriptor.rs"]);
    assert_only_in("allow(unsafe_code)", &["os/descriptor.rs"]);
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/os/descriptor.rs")).unwrap();
    assert_eq!(text.matches("unsafe {").count(), 1);
}

#[test]
fn undeveloped_dependencies_are_used_in_one_file_each() {
    assert_only_in("fs2::", &["os/lock.rs"]);
}

#[test]
fn no_role_starts_a_thread_or_a_child_past_the_os_folder() {
    assert_only_in("std::thread", &[]);
    assert_only_in("thread::spawn", &[]);
    assert_only_in("std::process::Command", &[]);
    assert_only_in("posix_spawn(", &["os/child.rs"]);
}

#[test]
fn a_run_is_started_and_a_log_is_read_with_proof_alone() {
    // What a token gives: made once, after its use was recorded.
    assert_made_once("Grant {", "gate/mod.rs");
    // What the operator has: the commands alone may say so.
    let wrong = offenders(|source, line| line.contains("of_operator(") && source.module != "cli");
    let made: Vec<&String> = wrong
        .iter()
        .filter(|line| !line.contains("pub fn of_operator("))
        .collect();
    assert!(
        made.is_empty(),
        "only the commands act for the operator:\n{made:#?}"
    );
    assert_only_in("pub fn of_operator(", &["gate/mod.rs"]);
    // The role that runs is started for a reservation, and to complete dead runs.
    for source in source::all() {
        let starts_roles = source.code.contains("Command::role(\"\")");
        let names_it = source.strings.iter().any(|(_, string)| string == "run");
        let may = ["queue/reserve.rs", "queue/dead.rs", "runner/notice.rs"].contains(&name(source).as_str());
        assert!(may || !(starts_roles && names_it), "{} starts runs", name(source));
    }
    for proof in ["Permitted", "Grant", "Authority", "Reader"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gate/mod.rs")).unwrap();
        let declared = format!("#[derive(Debug)]\npub struct {proof} {{");
        assert!(text.contains(&declared), "{proof} can be copied");
    }
}

fn assert_made_once(what: &str, file: &str) {
    assert_only_in(what, &[file]);
    let made = offenders(|_, line| {
        line.contains(what) && !["struct ", "impl ", "->"].iter().any(|word| line.contains(word))
    });
    assert_eq!(
        made.len(),
        1,
        "{what} is made in more places than one:\n{made:#?}"
    );
}

#[test]
fn words_and_parsers_do_no_io() {
    let pure = ["limits", "event", "jwt", "http", "link"];
    let machine = [
        "std::fs",
        "std::net::Tcp",
        "std::os",
        "std::env",
        "std::time::Instant",
        "SystemTime::now",
        "nix::",
    ];
    let wrong = offenders(|source, line| {
        pure.contains(&source.module.as_str()) && machine.iter().any(|name| line.contains(name))
    });
    assert!(
        wrong.is_empty(),
        "these modules take bytes and give facts:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_daemon_has_its_nine_dependencies_and_no_more() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let section = manifest
        .split("[dependencies]")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let named: BTreeSet<&str> = section
        .lines()
        .filter(|line| line.contains(" = ") && !line.starts_with([' ', '#']))
        .map(|line| line.split(" = ").next().unwrap())
        .collect();
    let agreed = [
        "rustls",
        "ring",
        "ureq",
        "serde",
        "serde_json",
        "nix",
        "log",
        "env_logger",
        "fs2",
    ];
    assert_eq!(named, agreed.into_iter().collect());
}
