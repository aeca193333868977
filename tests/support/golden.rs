//! Golden files: `tests/data/wire/` is the contract with everyone who parses what we write. What differs from run to run
//! is a word in capitals there. `ENGRAM_GOLDEN=write cargo test WORD` writes the files anew; look at the difference
//! before it is committed.

use std::path::PathBuf;

/// Fails when `text`, with what varies replaced, is not `tests/data/wire/<name>`; `known` are texts of this test alone,
/// and their words.
#[track_caller]
pub fn assert_golden(name: &str, text: &str, known: &[(&str, &str)]) {
    let known = known
        .iter()
        .fold(text.to_owned(), |text, (part, word)| text.replace(part, word));
    let found = normal(&known);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/wire/{name}"));
    if std::env::var("ENGRAM_GOLDEN").is_ok_and(|word| word == "write") {
        std::fs::write(&path, &found).expect("writing a golden file");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == found,
        "it is not {}; it is now\n{found}",
        path.display()
    );
}

fn normal(text: &str) -> String {
    let mut before = "";
    let pieces = text.split_inclusive(['"', ',', '}']);
    pieces
        .map(|piece| normal_piece(piece, std::mem::replace(&mut before, piece)))
        .collect()
}

fn normal_piece(piece: &str, before: &str) -> String {
    let (word, end) = piece.split_at(piece.len() - usize::from(piece.ends_with(['"', ',', '}'])));
    let at = |index: usize, byte: u8| word.as_bytes().get(index) == Some(&byte);
    match word {
        _ if word.len() == 24 && at(10, b'T') && at(23, b'Z') => format!("TIME{end}"),
        _ if word.len() == 25 && at(8, b'T') && at(15, b'Z') => format!("RUN{end}"),
        _ if before == "duration_ms\"" => format!(":0{end}"),
        _ => piece.to_owned(),
    }
}
