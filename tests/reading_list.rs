//! SECURITY.md's list of what must be read to believe its two sentences, and its table of what root parses, are those of
//! the source: complete, closed and bounded.
//!
//! With `UPDATE_SECURITY=1` the line numbers of the list are written anew; everything else of it is written by people.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::source;

/// Code lines of all listed files together.
const MOST_LINES: usize = 4800;
/// Files that listed files may import although they are not listed.
const MOST_EXCEPTIONS: usize = 8;
/// What turns bytes into values.
const PARSERS: &[&str] = &[
    "serde_json::from_",
    // Imported by its name.
    " from_value(",
    "Deserializer::from_",
    "json::object(",
    "RawValue",
    "StreamDeserializer",
];

fn document() -> String {
    fs::read_to_string(root().join("SECURITY.md")).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The rows of the table below `heading`, cells trimmed, without its first two lines.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let section = text
        .split(heading)
        .nth(1)
        .unwrap_or_else(|| panic!("SECURITY.md has no {heading:?}"));
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

fn file(cell: &str) -> PathBuf {
    let path = cell.trim_matches('`').strip_prefix("src/");
    PathBuf::from(path.unwrap_or_else(|| panic!("{cell} is no file of src/")))
}

#[test]
fn the_reading_list_is_the_source_and_is_closed() {
    let text = document();
    let listed = table(&text, "\n### The reading list\n");
    let exceptions = table(&text, "\n### Imported, and not on the list\n");
    let sources = source::all();
    let lines: BTreeMap<PathBuf, usize> = sources
        .iter()
        .map(|source| (source.path.clone(), source.lines().count()))
        .collect();
    let on_list: BTreeSet<PathBuf> = listed.iter().map(|row| file(&row[0])).collect();
    let excepted: BTreeSet<PathBuf> = exceptions.iter().map(|row| file(&row[0])).collect();
    assert_eq!(on_list.len(), listed.len(), "a file is listed twice");
    assert!(excepted.len() <= MOST_EXCEPTIONS, "{} exceptions", excepted.len());
    assert!(
        exceptions.iter().all(|row| row[1].len() > 20),
        "an exception without its reason"
    );
    let gone: Vec<_> = on_list
        .iter()
        .chain(&excepted)
        .filter(|path| !lines.contains_key(*path))
        .collect();
    assert!(gone.is_empty(), "listed, and not there: {gone:#?}");

    let mut open = Vec::new();
    for source in sources.iter().filter(|source| on_list.contains(&source.path)) {
        for imported in &source::imports()[&source.path] {
            if !on_list.contains(imported) && !excepted.contains(imported) {
                open.push(format!(
                    "{} imports {}",
                    source.path.display(),
                    imported.display()
                ));
            }
        }
    }
    assert!(open.is_empty(), "the list is not closed: {open:#?}");

    let sum: usize = on_list.iter().map(|path| lines[path]).sum();
    assert!(sum <= MOST_LINES, "{sum} lines to read, at most {MOST_LINES}");
    let wrong: Vec<_> = listed
        .iter()
        .filter(|row| row[1] != lines[&file(&row[0])].to_string())
        .collect();
    let said = text.contains(&format!("{} files, {sum} lines", listed.len()));
    if (!wrong.is_empty() || !said) && std::env::var_os("UPDATE_SECURITY").is_some() {
        update(&text, &lines, listed.len(), sum);
    } else {
        assert!(
            wrong.is_empty(),
            "these have other lengths now (UPDATE_SECURITY=1 writes them): {wrong:#?}"
        );
        assert!(said, "SECURITY.md must say: {} files, {sum} lines", listed.len());
    }
}

fn update(text: &str, lines: &BTreeMap<PathBuf, usize>, files: usize, sum: usize) {
    let heading = "\n### The reading list\n";
    let (before, rest) = text.split_once(heading).unwrap();
    let (section, after) = rest.split_once("\n### ").unwrap();
    let mut new = String::new();
    for line in section.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells[0].starts_with("`src/") {
            true => new += &format!("| {} | {} | {} |\n", cells[0], lines[&file(cells[0])], cells[2]),
            false if line.contains(" files, ") && line.contains(" lines") => {
                let start = line.find(|c: char| c.is_ascii_digit()).unwrap();
                let end = line.find(" lines").unwrap();
                new += &format!("{}{files} files, {sum}{}\n", &line[..start], &line[end..]);
            }
            false => new += &format!("{line}\n"),
        }
    }
    fs::write(
        root().join("SECURITY.md"),
        format!("{before}{heading}{new}\n### {}", after),
    )
    .unwrap();
}

#[test]
fn every_place_that_parses_is_in_the_table_with_its_bound_and_fuzz_target() {
    let rows = table(&document(), "\n### What is parsed\n");
    let known: BTreeSet<PathBuf> = rows.iter().map(|row| file(&row[0])).collect();
    let found: BTreeSet<PathBuf> = source::all()
        .iter()
        .filter(|source| PARSERS.iter().any(|parser| source.code.contains(parser)))
        .map(|source| source.path.clone())
        .collect();
    let missing: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not in the table: {missing:#?}; parses nothing: {gone:#?}"
    );
    for row in &rows {
        assert!(
            row.len() == 6 && row.iter().all(|cell| !cell.is_empty()),
            "a cell is empty: {row:?}"
        );
        if let Some(target) = row[5].strip_prefix('`').and_then(|cell| cell.strip_suffix('`')) {
            let path = root().join("fuzz/fuzz_targets").join(format!("{target}.rs"));
            assert!(path.exists(), "{target} is no fuzz target");
        }
    }
}
