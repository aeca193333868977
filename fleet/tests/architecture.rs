//! [architecture] Imports point one way, functions are short, and the crate is small.

use std::path::{Path, PathBuf};

/// Reading order: a room may import from those before it, and from itself.
const ROOMS: [&str; 10] = ["limits", "wire", "rollout", "os", "nats", "run", "host", "fleet", "mcp", "cli"];
/// Lines of code without blanks and comments, as they are now. The goal is 4,500; this number only goes down.
const LINES: usize = 4692;
const FUNCTION: usize = 50;

struct Source {
    path: PathBuf,
    room: String,
    /// Without tests.
    text: String,
}

fn sources() -> Vec<Source> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<Source>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
            let below = path.strip_prefix(root).unwrap().to_owned();
            let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
            let room = first.trim_end_matches(".rs").to_owned();
            found.push(Source { path: below, room, text: text[..end].to_owned() });
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 30);
    found
}

fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.split("//").next().unwrap()));
    lines.filter(|(_, line)| !line.trim().is_empty())
}

fn place(room: &str) -> usize {
    ROOMS.iter().position(|name| *name == room).unwrap_or_else(|| panic!("src/{room} has no place in the order"))
}

fn imports(line: &str) -> Vec<String> {
    let rest = line.split("crate::").skip(1);
    rest.flat_map(|rest| {
        let inside = rest.strip_prefix('{').map(|inside| inside.split('}').next().unwrap().to_owned());
        let names = inside.unwrap_or_else(|| rest.to_owned());
        let parts: Vec<&str> = if rest.starts_with('{') { names.split(',').collect() } else { vec![&names] };
        let name =
            |part: &str| part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        parts.into_iter().map(name).collect::<Vec<_>>()
    })
    .collect()
}

#[test]
fn architecture_no_import_points_up() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !["lib", "main"].contains(&source.room.as_str())) {
        for (number, line) in code(&source.text) {
            for name in imports(line).iter().filter(|name| **name != source.room && ROOMS.contains(&name.as_str())) {
                if place(name) >= place(&source.room) {
                    wrong.push(format!("src/{}:{number}: {}", source.path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up:\n{}", wrong.join("\n"));
    assert_eq!(imports("use crate::{wire, run::x};"), ["wire", "run"]);
    assert_eq!(imports("use crate::os::clock;"), ["os"]);
}

#[test]
fn architecture_what_decides_does_no_io() {
    let pure = |source: &&Source| {
        ["limits", "wire", "rollout"].contains(&source.room.as_str())
            || ["host/admission.rs", "host/link.rs", "run/judge.rs", "run/flake.rs", "mcp/guard.rs"]
                .iter()
                .any(|path| source.path == Path::new(path))
    };
    let never = ["std::fs", "std::net", "std::process", "std::env", "Instant", "SystemTime", "tokio", "async_nats"];
    for source in sources().iter().filter(pure) {
        for (number, line) in code(&source.text) {
            let found = never.iter().find(|word| line.contains(*word));
            assert!(found.is_none(), "src/{}:{number}: {line}", source.path.display());
        }
    }
    // Only the network half, the deployer and MCP know the network; a run does not.
    for source in sources().iter().filter(|source| ["run", "os"].contains(&source.room.as_str())) {
        assert!(!source.text.contains("nats"), "src/{}", source.path.display());
    }
    let keeper = ["host/keeper.rs", "host/active.rs", "host/unit.rs"];
    for source in sources().iter().filter(|source| keeper.iter().any(|path| source.path == Path::new(path))) {
        assert!(!source.text.contains("tokio") && !source.text.contains("nats::connect"), "{}", source.path.display());
    }
}

#[test]
fn architecture_functions_are_short() {
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let is_function = line.trim_start().split(' ').take(4).any(|word| word == "fn") && !line.contains(';');
            if !is_function {
                continue;
            }
            let end = lines[number..].iter().position(|line| *line == format!("{}}}", " ".repeat(indent)));
            let length = end.map_or(1, |end| end + 1);
            assert!(length <= FUNCTION, "src/{}:{}: {length} lines", source.path.display(), number + 1);
        }
    }
}

#[test]
fn architecture_the_crate_is_small() {
    let lines: usize = sources().iter().map(|source| code(&source.text).count()).sum();
    assert!(lines <= LINES, "{lines} lines of code");
}

#[test]
fn architecture_nothing_is_unsafe_and_the_daemon_knows_nothing_of_the_fleet() {
    let manifest = include_str!("../Cargo.toml");
    assert!(manifest.contains("unsafe_code = \"forbid\"") && manifest.contains("\n[workspace]\n"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for file in ["Cargo.toml", "Cargo.lock"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(!text.contains("homelab") && !text.contains("fleet") && !text.contains("async-nats"), "{file}");
    }
}

#[test]
fn architecture_each_dependency_has_a_line_in_the_security_document() {
    let manifest = include_str!("../Cargo.toml");
    let dependencies = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let security = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md")).unwrap();
    let lines = dependencies.lines().filter(|line| !line.starts_with('#'));
    let names: Vec<&str> = lines.filter_map(|line| line.split(" =").next()).collect();
    assert_eq!(names.len(), 12, "{names:?}");
    for name in names {
        assert!(security.lines().any(|line| line.starts_with(&format!("| `{name}` |"))), "{name}");
    }
}
