//! The lines on the wire, as files: `tests/data/wire/` is the contract with every client that parses them. What differs
//! from run to run is replaced by a word in capitals. `ENGRAM_GOLDEN=write cargo test deploy` writes the files anew; look
//! at the difference before it is committed.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::curl::Answer;
use crate::support::docker::docker;
use crate::support::host::Host;

/// Fails when the stream's lines are not those of `tests/data/wire/<name>.ndjson`.
#[track_caller]
pub fn assert_golden(name: &str, answer: &Answer, host: &Host) {
    let repository = host.deployer.setting("DEPLOYER_IMAGE");
    let registry = repository.split('/').next().unwrap_or_default();
    let mut known = vec![(registry, "REGISTRY"), (host.name.as_str(), "NAME")];
    let templates = host.unraid.as_ref().map(|unraid| unraid.templates());
    let script = host.unraid.as_ref().map(|unraid| unraid.update_container());
    known.extend(
        templates
            .iter()
            .filter_map(|path| Some((path.to_str()?, "TEMPLATES"))),
    );
    known.extend(
        script
            .iter()
            .filter_map(|path| Some((path.to_str()?, "UPDATE_CONTAINER"))),
    );
    assert_lines(name, answer, &known);
}

/// The same for a deploy without the parts of a [`Host`]; `known` are the texts of this test alone, and their words.
#[track_caller]
pub fn assert_lines(name: &str, answer: &Answer, known: &[(&str, &str)]) {
    let server = docker(&["version", "--format", "{{.Server.Version}}"]);
    let known = [known, &[(server.as_str(), "DOCKER")]].concat();
    let lines = answer.lines.iter().map(|(_, line)| line.as_str());
    let found: String = lines
        .filter(|line| !comes_and_goes(line))
        .map(|line| format!("{}\n", normal(line, &known)))
        .collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/wire/{name}.ndjson"));
    if std::env::var("ENGRAM_GOLDEN").is_ok_and(|word| word == "write") {
        std::fs::write(&path, &found).expect("writing a golden file");
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == found,
        "the lines are not those of {}; they are now\n{found}",
        path.display()
    );
}

/// Lines that depend on how fast the machine is, or on the version of docker's client.
fn comes_and_goes(line: &str) -> bool {
    let event: Value = serde_json::from_str(line).expect("a line is JSON");
    let message = event["message"].as_str().unwrap_or_default();
    let docker_pull = event["phase"] == "pull"
        && !["pull ", "Digest: ", "Status: "]
            .iter()
            .any(|begin| message.starts_with(begin));
    event["phase"] == "heartbeat" || docker_pull || message.contains("not healthy yet")
}

fn normal(line: &str, known: &[(&str, &str)]) -> String {
    let known = known
        .iter()
        .fold(line.to_owned(), |line, (text, word)| line.replace(text, word));
    let mut words = Vec::new();
    // Between these a text that differs from run to run stands alone.
    for piece in known.split_inclusive([' ', '"', ',', '}', '@']) {
        let end = piece.len() - usize::from(piece.ends_with([' ', '"', ',', '}', '@']));
        words.push(format!(
            "{}{}",
            word_for(&piece[..end]).unwrap_or(&piece[..end]),
            &piece[end..]
        ));
    }
    let line = words.concat();
    match line.split_once("\"duration_ms\":") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}\"duration_ms\":0{rest}")
        }
        None => line,
    }
}

fn word_for(word: &str) -> Option<&'static str> {
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_time = word.len() == 24 && word.as_bytes()[10] == b'T' && word.ends_with('Z');
    let is_run = word.len() == 25 && word.as_bytes()[8] == b'T' && word.as_bytes()[15] == b'Z';
    let is_span = word
        .strip_suffix('s')
        .is_some_and(|n| n.contains('.') && n.parse::<f64>().is_ok());
    match word.strip_prefix("sha256:") {
        Some(id) if digits(id, 64) => Some("sha256:ID"),
        Some(id) if digits(id, 12) => Some("sha256:SHORT"),
        _ if digits(word, 12) => Some("CONTAINER"),
        _ if is_time => Some("TIME"),
        _ if is_run => Some("RUN"),
        _ if is_span => Some("SECONDS"),
        _ => None,
    }
}
