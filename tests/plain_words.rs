//! Names and messages are in the words of the field, so that they can be searched for and need no second reading.

use crate::support::source::{self, Source};

/// Words that once had a meaning of their own here. In messages they are looked for as words, in names as parts.
const PRIVATE: &[&str] = &[
    "aside", "bury", "buried", "carry", "carried", "hands", "heed", "lexis", "mend", "mended", "sheet",
    "spoken", "starter", "walls",
];

/// Names of types and files that no stranger could guess.
const RENAMED: &[&str] = &[
    "Aftermath",
    "Bound",
    "Came",
    "Duty",
    "Errand",
    "Heard",
    "Heed",
    "Kin",
    "NoDoor",
    "Senseless",
    "Stood",
    "Trouble",
    "Unread",
    "Unspeakable",
    "Was",
    "cell",
    "door",
    "duty",
    "ending",
    "first",
    "given",
    "hold",
    "keeper",
    "leftover",
    "note",
    "opening",
    "origin",
    "out",
    "present",
    "words",
];

#[test]
fn no_file_or_type_has_a_name_that_only_we_know() {
    let mut wrong = Vec::new();
    for source in source::all() {
        for part in source
            .path
            .with_extension("")
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
        {
            if is_private(&part) || RENAMED.contains(&part.as_str()) {
                wrong.push(source.path.display().to_string());
            }
        }
        for name in declared(source) {
            if is_private(&name) || RENAMED.contains(&name.as_str()) {
                wrong.push(format!("{}: {name}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "rename these: {wrong:#?}");
}

#[test]
fn no_message_uses_a_word_that_only_we_know() {
    let wrong = messages(|text| {
        let mut words = text.split(|c: char| !c.is_alphanumeric());
        words.any(|word| PRIVATE.contains(&word.to_lowercase().as_str())) || text.contains("is told of")
    });
    assert!(wrong.is_empty(), "say these in plain words: {wrong:#?}");
}

#[test]
fn no_message_shows_the_debug_form_of_a_value() {
    let wrong = messages(|text| {
        text.split('{').skip(1).any(|rest| {
            let placeholder = rest.split('}').next().unwrap_or_default();
            placeholder.ends_with(":?") || placeholder.ends_with(":#?")
        })
    });
    assert!(wrong.is_empty(), "print these as a user reads them: {wrong:#?}");
}

fn messages(is_wrong: impl Fn(&str) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in source::all() {
        for (line, text) in &source.strings {
            if is_wrong(text) {
                wrong.push(format!("src/{}:{line}: {text}", source.path.display()));
            }
        }
    }
    wrong
}

/// Types, functions and modules that `source` declares.
fn declared(source: &Source) -> Vec<String> {
    let words: Vec<&str> = source
        .code
        .split(|c: char| !(c.is_alphanumeric() || c == '_'))
        .collect();
    let mut found = Vec::new();
    for pair in words.windows(2) {
        if ["struct", "enum", "trait", "type", "fn", "mod"].contains(&pair[0]) && !pair[1].is_empty() {
            found.push(pair[1].to_owned());
        }
    }
    found
}

/// Whether one of its parts (`carry_out`, `CarryOut`) is such a word.
fn is_private(name: &str) -> bool {
    let mut spaced = String::new();
    for character in name.chars() {
        if character.is_uppercase() || character == '_' {
            spaced.push(' ');
        }
        spaced.extend(character.to_lowercase());
    }
    spaced.split([' ', '_']).any(|part| PRIVATE.contains(&part))
}

#[test]
fn a_private_word_would_be_found() {
    assert!(is_private("carry_out") && is_private("SheetOf") && is_private("walls"));
    assert!(!is_private("forehands") && !is_private("recommend"));
}
