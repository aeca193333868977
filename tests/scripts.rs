//! [scripts] Every script of the repository parses, and shellcheck has nothing to say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::folder::Folder;
use crate::support::process::{installed, output_of, text};

/// Folders with scripts; a script is what its first lines say is one.
const FOLDERS: [&str; 4] = ["contrib", "package", "tests", ".ci"];

fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (Vec::new(), FOLDERS.map(|name| root.join(name)).to_vec());
    while let Some(folder) = folders.pop() {
        // One of them may not be there.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if is_script(&path) {
                found.push(path);
            }
        }
    }
    assert!(found.len() >= 12, "{} scripts were found", found.len());
    found
}

fn is_script(path: &Path) -> bool {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next().unwrap_or_default();
    let shells = [
        "#!/bin/sh",
        "#!/bin/bash",
        "#!/usr/bin/env sh",
        "#!/usr/bin/env bash",
    ];
    shells.iter().any(|shell| first.starts_with(shell))
        || text
            .lines()
            .take(5)
            .any(|line| line.starts_with("# shellcheck shell="))
}

#[test]
fn every_script_parses() {
    for script in scripts() {
        let text_of = fs::read_to_string(&script).expect("a script");
        let first = text_of.lines().next().unwrap_or_default();
        let shell = if first.contains("bash") { "bash" } else { "sh" };
        let output = output_of(installed(shell, shell).arg("-n").arg(&script), b"");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn shellcheck_has_nothing_to_say() {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut command = installed("shellcheck", "shellcheck");
    let output = output_of(command.arg("-x").args(scripts()).current_dir(root), b"");
    assert!(output.status.success(), "{}", text(&output.stdout));
}

/// What `tests/size.sh` says of this source, in a repository of its own.
fn measured(files: &[(&str, &str)], limits: &str) -> (bool, String) {
    let folder = Folder::new("measured");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/size.sh");
    let script = fs::read_to_string(script).expect("the script");
    let mut lines = script.lines();
    let current = lines
        .find_map(|line| line.strip_prefix("current="))
        .expect("a current row");
    let row = lines
        .find(|line| line.starts_with(&format!("{current} ")))
        .expect("a row");
    let place = folder.write(
        "tests/size.sh",
        script.replace(row, &format!("{current} {limits}")),
    );
    for (name, content) in files {
        folder.write(&format!("src/{name}"), content);
    }
    let output = output_of(Command::new("sh").arg(place), b"");
    let said = text(&output.stdout) + &text(&output.stderr);
    (output.status.success(), said)
}

/// Lines and characters of one row.
#[track_caller]
fn row(said: &str, name: &str) -> (usize, usize) {
    let row = said.lines().find_map(|line| line.strip_prefix(name));
    let row = row.unwrap_or_else(|| panic!("no {name}: {said}"));
    let mut numbers = row
        .split_whitespace()
        .skip(1)
        .map(|number| number.replace(',', ""));
    let mut next = || {
        numbers
            .next()
            .and_then(|number| number.parse().ok())
            .expect("a number")
    };
    (next(), next())
}

#[test]
fn the_size_of_the_source_is_that_of_code_without_comments_and_tests() {
    let cases: [(&str, (usize, usize)); 10] = [
        ("//! Head.\n\n/// Doc.\nfn f() {}  // why\n", (1, 9)),
        ("/* a /* nested */\n comment */ fn f() {}\n", (1, 9)),
        // Neither a comment nor a brace, in strings and letters of every kind.
        ("const A: &str = \"// { \\\" /*\";\n", (1, 29)),
        ("const A: &str = r#\"// \"{\"#;\nconst B: u8 = b'\"';\n", (2, 46)),
        (
            "fn f<'a>(c: char) -> bool { c == '\\'' || c == '{' } // }\n",
            (1, 51),
        ),
        ("const A: &str = \"one \\\n    // two\";\n", (2, 30)),
        (
            "#[cfg(test)]\nmod tests {\n    const A: char = '}';\n}\nfn f() {}\n",
            (1, 9),
        ),
        (
            "struct A {\n    #[cfg(test)]\n    a: Option<(u8, u8)>,\n    b: u8,\n}\n",
            (3, 17),
        ),
        (
            "#[cfg(all(test, unix))]\n#[allow(x)]\nfn f() {\n}\n#[cfg(not(test))]\nfn g() {}\n",
            (2, 26),
        ),
        ("#[cfg(any(test, unix))]\nfn f() {}\n", (2, 32)),
    ];
    for (source, size) in cases {
        let (_, said) = measured(&[("lib.rs", source)], "9 - 9");
        assert_eq!(row(&said, "all of it"), size, "{source}{said}");
    }
}

#[test]
fn files_of_test_modules_are_no_production_code_and_forgotten_ones_are() {
    let files = [
        ("lib.rs", "mod a;\n#[cfg(test)]\nmod b;\n"),
        (
            "a/mod.rs",
            "pub(crate) mod c;\n#[cfg(test)]\n#[path = \"d.rs\"]\nmod tests;\n",
        ),
        ("a/c.rs", "mod inner {\n    mod deep;\n}\n"),
        ("a/c/inner/deep.rs", "struct A;\nenum B {\n    C,\n    D,\n}\n"),
        ("a/d.rs", "mod e;\n"),
        ("a/e.rs", "fn test_code() {}\n"),
        ("a/d/e.rs", "fn test_code() {}\n"),
        ("b.rs", "fn test_code() {}\n"),
        ("x_tests.rs", "fn test_code() {}\n"),
        ("forgotten.rs", "struct A;\n"),
    ];
    let (within, said) = measured(&files, "12 1 9");
    assert_eq!(row(&said, "src/a/").0, 1 + 3 + 5 + 1, "{said}");
    assert_eq!(row(&said, "src/ ").0, 2, "{said}");
    assert!(said.contains("defined more than once: 1: A\n"), "{said}");
    assert!(said.contains("two variants and no data: 1\n"), "{said}");
    assert!(within, "{said}");
    let (within, said) = measured(&files, "11 1 9");
    assert!(!within && said.contains("ABOVE by 1\n"), "{said}");
}
