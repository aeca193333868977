//! [manual] The manual is what the program is: its lists are made from the program's own tables, by
//! `ENGRAM_GOLDEN=write cargo test manual`, and compared with them at all other times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use engram_deployer::cli::commands::{COMMANDS, GLOBAL, Opt, Spec, texts_of};
use engram_deployer::cli::help::ENV_FILES;
use engram_deployer::config::{Config, FOR_CHILDREN, Settings, is_secret, variables};

use crate::support::process::{installed, output_of, text};

const PAGES: [&str; 2] = ["engram-deployer.8", "engram-deployer.env.5"];

fn path(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib/man")
        .join(page)
}

fn read(page: &str) -> String {
    fs::read_to_string(path(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// A page with its generated part replaced.
fn with_part(page: &str, made: &str) -> String {
    const MARKS: [&str; 2] = [
        ".\\\" ---- made from the program's tables: ENGRAM_GOLDEN=write cargo test manual\n",
        ".\\\" ---- written by hand\n",
    ];
    let (before, rest) = page.split_once(MARKS[0]).expect("the mark of the made part");
    let (_, after) = rest.split_once(MARKS[1]).expect("the mark of its end");
    [before, MARKS[0], made, MARKS[1], after].concat()
}

#[track_caller]
fn assert_made(page: &str, made: &str) {
    let expected = with_part(&read(page), made);
    if std::env::var("ENGRAM_GOLDEN").is_ok_and(|word| word == "write") {
        fs::write(path(page), &expected).expect("writing a page");
    }
    assert!(
        read(page) == expected,
        "{page} is not what the program's tables say: ENGRAM_GOLDEN=write cargo test manual"
    );
}

/// For roff: no escape is begun, and no line of text is taken for a request.
fn plain(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

/// A line for each sentence, as mdoc wants it, so that it can set them apart.
fn sentences(text: &str) -> String {
    let text = text.replace('\n', " ").replace(". ", ".\n");
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn option_line(option: &Opt) -> String {
    let dashed = |flag: &str| flag.trim_start_matches('-').replace('-', "\\-");
    let short = option.short().map(|short| format!("Fl {} , ", dashed(short)));
    let value = option.value().map(|value| format!(" Ar {value}"));
    format!(
        ".It {}Fl \\-{}{}\n{}\n",
        short.unwrap_or_default(),
        dashed(option.long()),
        value.unwrap_or_default(),
        plain(option.meaning)
    )
}

fn command(spec: &Spec) -> String {
    let operand = spec.operand().map(|operand| match operand.strip_prefix('[') {
        None => format!(" Ar {operand}"),
        Some(optional) => format!(" Op Ar {}", optional.trim_end_matches(']')),
    });
    let mut made = format!(
        ".It Cm {}{}\n{}\n",
        plain(spec.name()),
        operand.unwrap_or_default(),
        sentences(texts_of(spec.name()).1)
    );
    if !spec.options.is_empty() {
        made += ".Bl -tag -width Ds\n";
        spec.options
            .iter()
            .for_each(|option| made += &option_line(option));
        made += ".El\n";
    }
    made
}

fn commands() -> String {
    let mut made = String::from(".Bl -tag -width Ds\n");
    COMMANDS.iter().for_each(|spec| made += &command(spec));
    made += ".El\n.Pp\nEvery command takes these:\n.Bl -tag -width Ds\n";
    GLOBAL.iter().for_each(|option| made += &option_line(option));
    made + ".El\n"
}

/// What `contrib/settings.txt` says of a setting.
#[derive(Default)]
struct Text {
    default: String,
    roles: String,
    kind: String,
    example: String,
    about: String,
}

fn texts() -> BTreeMap<String, Text> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/settings.txt");
    let file = fs::read_to_string(path).expect("contrib/settings.txt");
    let parts = file.split("\n\n").skip(1).map(|part| {
        let (name, rest) = part.split_once('\n').expect("a name");
        let mut text = Text::default();
        for line in rest.lines() {
            match line.split_once(": ") {
                Some(("default", value)) => text.default = value.to_owned(),
                Some(("read by", value)) => text.roles = value.to_owned(),
                Some(("type", value)) => text.kind = value.to_owned(),
                Some(("example", value)) => text.example = value.to_owned(),
                _ if text.about.is_empty() => text.about = line.to_owned(),
                _ => text.about = format!("{} {line}", text.about),
            }
        }
        (name.to_owned(), text)
    });
    parts.collect()
}

fn setting(name: &str, text: &Text) -> String {
    let mut made = format!(".It Ev {name}\n{}.\n", plain(&text.about));
    let mut row = |what: &str, text: &str| writeln!(made, ".br\n{what}: {}", plain(text));
    row("Type", &text.kind)
        .and(row("Default", &text.default))
        .and(row("Example", &text.example))
        .and(row("Read by", &text.roles))
        .expect("a text");
    made
}

fn settings() -> String {
    let mut made = String::from(".Bl -tag -width Ds\n");
    let texts = texts();
    variables().for_each(|(name, _)| made += &setting(name, &texts[*name]));
    made + ".El\n"
}

#[test]
fn the_commands_and_options_of_the_manual_are_those_of_the_parser() {
    assert_made("engram-deployer.8", &commands());
    let page = read("engram-deployer.8");
    for spec in COMMANDS {
        assert!(
            page.contains(&format!(".It Cm {}", plain(spec.name()))),
            "{}",
            spec.name()
        );
    }
    for file in ENV_FILES {
        assert!(page.contains(file), "{file}");
    }
}

#[test]
fn the_variables_of_the_manual_are_those_of_the_parser() {
    assert_made("engram-deployer.env.5", &settings());
    let known: BTreeSet<&str> = variables().map(|(name, _)| *name).collect();
    let texts = texts();
    let listed: BTreeSet<&str> = texts.keys().map(String::as_str).collect();
    assert_eq!(listed, known, "contrib/settings.txt");
    let page = read("engram-deployer.env.5");
    let shown = page.lines().filter_map(|line| line.strip_prefix(".It Ev "));
    assert_eq!(shown.collect::<BTreeSet<_>>(), known);
    // What is written by hand names none that does not exist, in either page.
    for page in PAGES.map(read) {
        for name in page.lines().filter_map(|line| line.strip_prefix(".Ev DEPLOYER_")) {
            let name = format!("DEPLOYER_{}", name.split(' ').next().unwrap_or_default());
            assert!(known.contains(name.as_str()), "{name}");
        }
    }
}

#[test]
fn what_tools_get_of_our_environment_is_in_the_manual() {
    let page = read("engram-deployer.env.5");
    let (_, rest) = page.split_once(".Sh ENVIRONMENT\n").expect("a section");
    let (section, _) = rest.split_once(".Sh ").expect("its end");
    let names = section.lines().filter_map(|line| line.strip_prefix(".Ev "));
    let names: Vec<&str> = names.map(|name| name.trim_end_matches(" ,")).collect();
    assert_eq!(names, FOR_CHILDREN);
}

#[test]
fn every_example_of_the_manual_is_one_that_the_parser_takes() {
    let texts = texts();
    let all = texts.iter().fold(Settings::default(), |all, (name, text)| {
        all.with(name, &text.example)
    });
    let complaints = match Config::from_settings(&all) {
        Ok(_) => Vec::new(),
        Err(complaints) => complaints,
    };
    assert_eq!(complaints, [""; 0]);
    for (name, text) in &texts {
        assert_eq!(text.kind.starts_with("a secret"), is_secret(name), "{name}");
    }
}

#[test]
fn the_pages_are_good_mdoc_and_readable() {
    for page in PAGES {
        let lint = output_of(
            installed("mandoc", "mandoc")
                .args(["-Tlint", "-Wwarning"])
                .arg(path(page)),
            b"",
        );
        assert!(lint.status.success(), "{page}: {}", text(&lint.stdout));
        let shown = output_of(
            installed("mandoc", "mandoc")
                .args(["-Tascii", "-Owidth=80"])
                .arg(path(page)),
            b"",
        );
        let shown = text(&shown.stdout);
        assert!(shown.contains("SEE ALSO") || shown.contains("S\u{8}SE"), "{page}");
        assert!(shown.lines().count() > 60, "{page}: {shown}");
    }
}

#[test]
fn the_exit_statuses_of_the_manual_are_those_of_the_help() {
    let page = read("engram-deployer.8");
    let help = engram_deployer::cli::help::general();
    let (_, statuses) = help.split_once("\nExit status:\n").expect("exit statuses");
    let mut count = 0;
    for line in statuses.lines().take_while(|line| line.starts_with("  ")) {
        let (number, meaning) = line.trim().split_once(' ').expect("a number and its meaning");
        let row = format!(".It {number}\n{}\n", plain(meaning.trim()));
        assert!(page.contains(&row), "{row}");
        count += 1;
    }
    assert_eq!(count, 5);
}
