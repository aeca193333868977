//! [documents] What the documents say is what the code does: settings, sentences, tests, dependencies.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use engram_deployer::config::{Preset, variables};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder of the repository that end in `end`, as one text.
fn below(folder: &str, end: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of ours").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.to_string_lossy().ends_with(end) => {
                    text += &fs::read_to_string(path).expect("a text")
                }
                _ => {}
            }
        }
    }
    text
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The part of a document under the heading `## name`.
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, rest) = text
        .split_once(&format!("\n## {name}\n"))
        .unwrap_or_else(|| panic!("no section {name}"));
    rest.split("\n## ").next().unwrap_or(rest)
}

fn names_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
    words
        .filter(|word| word.starts_with("DEPLOYER_") && word.len() > "DEPLOYER_".len())
        .collect()
}

#[test]
fn the_readme_has_every_setting_with_its_default() {
    let readme = read("README.md");
    let table = section(&readme, "Configuration");
    for (name, preset) in variables() {
        let begin = format!("| `{name}` | ");
        let row = table.lines().find_map(|line| line.strip_prefix(&begin));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        match preset {
            Preset::Text(text) => assert!(row.starts_with(&format!("`{text}` | ")), "{name}: {row}"),
            Preset::Required => assert!(row.starts_with("required | "), "{name}: {row}"),
            Preset::Unset => {
                assert!(!row.starts_with('`') || row.contains(" in "), "{row}")
            }
        }
    }
}

#[test]
fn no_document_or_sample_names_a_setting_that_does_not_exist() {
    let client = read("contrib/ci/engram-deploy.sh");
    let commands = [
        "DEPLOYER_IMAGE_REF",
        "DEPLOYER_VERSION",
        "DEPLOYER_SHA",
        "DEPLOYER_RUN_ID",
        "DEPLOYER_STATUS",
        "DEPLOYER_ENDPOINT",
    ];
    let known: BTreeSet<_> = variables()
        .map(|(name, _)| *name)
        .chain(commands)
        .chain(names_in(&client))
        .collect();
    let texts = [
        "README.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "contrib/ci/action.yml",
    ]
    .map(read);
    for text in texts.iter().chain([&below("contrib/ci/samples", ".yml")]) {
        assert!(
            names_in(text).is_subset(&known),
            "{:?}",
            names_in(text).difference(&known).collect::<Vec<_>>()
        );
    }
}

#[test]
fn every_sentence_of_the_troubleshooting_is_one_we_say() {
    let (readme, said) = (
        read("README.md"),
        below("src", ".rs") + &read("contrib/ci/engram-deploy.sh"),
    );
    let rows = section(&readme, "Troubleshooting")
        .lines()
        .filter_map(|line| line.strip_prefix("| "));
    let mut count = 0;
    for symptom in rows.skip(1).filter_map(|row| row.split(" | ").next()) {
        for sentence in quoted(symptom)
            .into_iter()
            .filter(|sentence| !sentence.starts_with("DEPLOYER_"))
        {
            // What varies comes last, and a token's rule is a name of its own.
            let fixed = sentence.strip_prefix("token rejected: ").unwrap_or(sentence);
            let fixed = fixed
                .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
                .trim_end();
            assert!(said.contains(fixed), "nobody says {sentence:?}");
            count += 1;
        }
    }
    assert!(count > 15, "{count} sentences were read");
}

#[test]
fn what_a_command_is_told_is_named_wherever_it_is_explained() {
    let source = read("src/deploy/mod.rs");
    let (_, told) = source.split_once("fn run_commands(").expect("what it is told");
    let told = names_in(told);
    assert!(told.len() > 2, "{told:?}");
    for (document, row) in [
        ("README.md", "| `DEPLOYER_COMMAND_PATH` |"),
        (
            "package/root/usr/local/emhttp/plugins/engram-deployer/include/fields.php",
            "'COMMAND_PATH' =>",
        ),
    ] {
        let text = read(document);
        let row = text.lines().find(|line| line.contains(row)).expect(document);
        assert!(told.is_subset(&names_in(row)), "{document}: {row}");
    }
}

#[test]
fn every_rule_on_a_tokens_times_is_explained_with_its_bound() {
    use engram_deployer::{jwt::Check, limits};
    let readme = read("README.md");
    let explained = quoted(section(&readme, "Troubleshooting")).join(" ");
    for check in [
        Check::ISSUED_AT,
        Check::NOT_BEFORE,
        Check::EXPIRY,
        Check::LIFETIME,
        Check::AGE,
    ] {
        assert!(explained.contains(check.0), "{check:?}");
    }
    // Both documents say one hour.
    for bound in [limits::MAX_TOKEN_LIFETIME, limits::MAX_TOKEN_AGE] {
        assert_eq!(bound.as_secs(), 3600);
    }
    assert!(read("contrib/ci/samples/gitlab.yml").contains("\n  timeout: 1 hour # At most.\n"));
}

#[test]
fn every_test_that_security_names_exists() {
    let (security, tests) = (read("SECURITY.md"), below("tests", ".rs") + &below("src", ".rs"));
    let named = quoted(&security)
        .into_iter()
        .filter(|word| word.matches('_').count() > 3 && !word.contains(' '));
    let named: Vec<_> = named
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    for name in &named {
        assert!(tests.contains(&format!("fn {name}()")), "no test {name}");
    }
    assert!(named.len() > 40, "{} names were read", named.len());
}

#[test]
fn security_has_a_line_for_each_dependency_and_no_other() {
    let (security, manifest) = (read("SECURITY.md"), read("Cargo.toml"));
    let rows = section(&security, "Dependencies")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    let rows: BTreeSet<_> = rows.filter_map(|row| row.split('`').next()).collect();
    let (_, list) = manifest.split_once("\n[dependencies]\n").expect("dependencies");
    let list = list.split("\n[").next().expect("their end").lines();
    let list: BTreeSet<_> = list
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(rows, list);
}

#[test]
fn the_changelog_knows_this_version() {
    assert!(read("CHANGELOG.md").contains(&format!("\n### {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn no_input_of_a_workflow_becomes_the_text_of_a_script() {
    let files = below("contrib/ci", ".yml");
    let mut script = None;
    for line in files.lines() {
        let depth = line.len() - line.trim_start().len();
        if script.is_some_and(|begun| depth <= begun && !line.trim().is_empty()) {
            script = None;
        }
        if line.trim_start().trim_start_matches("- ").starts_with("run:") || line.trim() == "script:" {
            script = Some(depth);
        }
        assert!(script.is_none() || !line.contains("${{"), "{line}");
    }
    assert!(files.contains("run: |") && files.contains("${{ inputs.version }}"));
}
