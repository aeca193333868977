//! The lines of a deploy as golden files. What differs from run to run is a word in capitals there.

use serde_json::Value;

use crate::support::curl::Answer;
use crate::support::docker::docker;
use crate::support::golden;
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
        .map(|line| format!("{}\n", without_ids(line)))
        .collect();
    golden::assert_golden(&format!("{name}.ndjson"), &found, &known);
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

/// A line whose ids and durations are words; times and runs are [`golden`]'s affair.
fn without_ids(line: &str) -> String {
    let ends = [' ', '"', ',', '@'];
    let word_of = |piece: &str| {
        let (word, end) = piece.split_at(piece.len() - usize::from(piece.ends_with(ends)));
        format!("{}{end}", word_for(word).unwrap_or(word))
    };
    line.split_inclusive(ends).map(word_of).collect()
}

fn word_for(word: &str) -> Option<&'static str> {
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    let is_span = |text: &str| text.contains('.') && text.parse::<f64>().is_ok();
    match word.strip_prefix("sha256:") {
        Some(id) if digits(id, 64) => Some("sha256:ID"),
        Some(id) if digits(id, 12) => Some("sha256:SHORT"),
        _ if digits(word, 12) => Some("CONTAINER"),
        _ if word.strip_suffix('s').is_some_and(is_span) => Some("SECONDS"),
        _ => None,
    }
}
