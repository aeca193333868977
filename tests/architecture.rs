//! The house stands: imports point one way, and what may be in one place only is in one place only.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Reading order. A module may import from the rows above its own, and from itself; never from its own row or below.
const ROWS: &[&[&str]] = &[
    &["limits", "event", "secret"],
    &["jwt", "http", "link", "config"],
    &["os"],
    &["fetch", "jail"],
    &["gate"],
    &["queue"],
    &["run"],
    &["deploy", "terraform"],
    &["runner", "front", "session"],
    &["door"],
    &["cli"],
    &["main", "lib"],
];

/// A source file without its comments and its tests.
struct Source {
    path: PathBuf,
    module: String,
    lines: Vec<(usize, String)>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && !is_test_file(&path) {
                found.push(read(&root, path));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn is_test_file(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy();
    name == "tests" || name.ends_with("_tests") || path.components().any(|part| part.as_os_str() == "tests")
}

fn read(root: &Path, path: PathBuf) -> Source {
    let text = fs::read_to_string(&path).unwrap();
    let of_tests =
        ["mod tests {", "pub(crate) mod testing {"].map(|start| format!("\n#[cfg(test)]\n{start}"));
    let ends = of_tests.iter().filter_map(|start| text.find(start));
    let code = &text[..ends.min().unwrap_or(text.len())];
    let lines = code
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.split("//").next().unwrap().to_owned()))
        .collect();
    let below = path.strip_prefix(root).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy();
    Source {
        module: first.trim_end_matches(".rs").to_owned(),
        path: below.to_owned(),
        lines,
    }
}

fn row(module: &str) -> usize {
    ROWS.iter()
        .position(|row| row.contains(&module))
        .unwrap_or_else(|| panic!("src/{module} has no row in the house: give it one in this test"))
}

/// The modules that a line of code names after `crate::`.
fn imports(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for after in line.split("crate::").skip(1) {
        let list = after
            .strip_prefix('{')
            .map_or(after, |inside| inside.split('}').next().unwrap());
        let parts: Vec<&str> = if after.starts_with('{') {
            list.split(',').collect()
        } else {
            vec![list]
        };
        for part in parts {
            let name: String = part
                .trim()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.push(name);
        }
    }
    names
}

fn offenders(is_wrong: impl Fn(&Source, &str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, line) in &source.lines {
            if is_wrong(&source, line) {
                wrong.push(format!("src/{}:{number}: {}", source.path.display(), line.trim()));
            }
        }
    }
    wrong
}

fn assert_only_in(what: &str, places: &[&str]) {
    let wrong = offenders(|source, line| {
        line.contains(what) && !places.iter().any(|place| source.path == Path::new(place))
    });
    assert!(
        wrong.is_empty(),
        "{what} belongs in {places:?} alone:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_import_points_up() {
    let wrong = offenders(|source, line| {
        imports(line)
            .iter()
            .filter(|name| **name != source.module && ROWS.iter().any(|row| row.contains(&name.as_str())))
            .any(|name| row(name) >= row(&source.module))
    });
    assert!(
        wrong.is_empty(),
        "imports that point up the house:\n{}",
        wrong.join("\n")
    );
    // What the reader above would not see.
    let hidden = offenders(|_, line| {
        (line.contains("crate::{") && !line.contains('}')) || line.contains("super::super")
    });
    assert!(
        hidden.is_empty(),
        "imports written so that this test cannot read them:\n{}",
        hidden.join("\n")
    );
}

#[test]
fn an_arrow_that_points_up_would_be_seen() {
    assert_eq!(imports("use crate::os::{child, lock};"), ["os"]);
    assert_eq!(
        imports("use crate::{limits, session::slots};"),
        ["limits", "session"]
    );
    assert_eq!(
        imports("    let x = crate::gate::admit(&a, crate::queue::b());"),
        ["gate", "run"]
    );
}

#[test]
fn every_module_of_the_library_has_a_row() {
    for source in sources() {
        row(&source.module);
    }
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
    assert_only_in("rustls_pemfile", &["jwt/pem.rs"]);
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
    assert_only_in(
        "Command::role(\"run\")",
        &["run/queue.rs", "run/dead.rs", "run/notice.rs"],
    );
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
fn the_daemon_has_its_ten_dependencies_and_no_more() {
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
        "rustls-pemfile",
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
