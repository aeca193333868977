//! [scripts] Every script of the repository parses, and shellcheck has nothing to say.

use std::fs;
use std::path::{Path, PathBuf};

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
