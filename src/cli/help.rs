//! The help: its texts, made from the table in [`super::commands`], and what an exit status says.

use std::fmt::Write;

use super::commands::{COMMANDS, GLOBAL, Need, Operand, Opt, Spec, Verb};

/// What an exit status says; the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It is done, and it is well.
    Done,
    /// It was tried and it is not well: a failed run, a fault that `check` found, a token that would be refused.
    Failed,
    /// The arguments make no sense.
    Usage,
    /// It could not be tried: the settings are wrong, no such run, not allowed.
    Unable,
    /// It was tried, and how it ended is not known.
    Unknown,
}

impl Exit {
    /// The number for exit(3).
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unable => 3,
            Exit::Unknown => 4,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done, and well",
            Exit::Failed => "failed: the run failed, `check` found a fault, the token is refused",
            Exit::Usage => "the arguments make no sense",
            Exit::Unable => "not tried: the settings are wrong, no such run, not allowed",
            Exit::Unknown => "tried, and how it ended is not known",
        }
    }
}

const EXITS: [Exit; 5] = [Exit::Done, Exit::Failed, Exit::Usage, Exit::Unable, Exit::Unknown];

/// Read when no file is named by every command, but by `serve` only where it was handed a socket; the first that exists. The second is the Unraid plugin's.
pub const ENV_FILES: [&str; 2] = [
    "/etc/engram-deployer/env",
    "/boot/config/plugins/engram-deployer/engram-deployer.cfg",
];

/// The help of the whole program.
pub fn general() -> String {
    let mut text = String::from("Usage: engram-deployer [COMMAND] [OPTION]...\n\nCommands:\n");
    for spec in COMMANDS {
        row(&mut text, 22, &invocation(spec), spec.summary);
    }
    text.push_str("\nOptions of every command:\n");
    GLOBAL
        .iter()
        .for_each(|option| row(&mut text, 22, &written(option), option.meaning));
    text.push_str("\nSettings are DEPLOYER_... variables of the environment. Commands other than\n");
    text.push_str("`serve` also read the first of these files that exists, when none is named, and\n`serve` does so when systemd or inetd hands it a socket:\n");
    ENV_FILES
        .iter()
        .for_each(|file| writeln(&mut text, &format!("  {file}")));
    text.push_str("\nExit status:\n");
    EXITS
        .iter()
        .for_each(|exit| row(&mut text, 3, &exit.code().to_string(), exit.meaning()));
    text.push_str("\n`engram-deployer help COMMAND` says more about one command.\n");
    text
}

/// The help of one command.
pub fn of(verb: Verb) -> String {
    let spec = verb.spec();
    let mut text = String::new();
    let options = if spec.options.is_empty() {
        ""
    } else {
        " [OPTION]..."
    };
    let needed = spec.options.iter().filter(|option| option.need == Need::Required);
    let needed: String = needed.map(|option| format!(" {}", written(option))).collect();
    writeln(
        &mut text,
        &format!("Usage: engram-deployer {}{needed}{options}\n", invocation(spec)),
    );
    writeln(&mut text, spec.about);
    text.push_str("\nOptions:\n");
    for option in spec.options.iter().chain(GLOBAL) {
        row(&mut text, 22, &written(option), option.meaning);
    }
    text.push_str("\nExit status:\n");
    EXITS
        .iter()
        .for_each(|exit| row(&mut text, 3, &exit.code().to_string(), exit.meaning()));
    text
}

fn invocation(spec: &Spec) -> String {
    match spec.operand {
        None => spec.name.to_owned(),
        Some(Operand {
            name,
            need: Need::Required,
        }) => format!("{} {name}", spec.name),
        Some(Operand {
            name,
            need: Need::Optional,
        }) => format!("{} [{name}]", spec.name),
    }
}

/// An option as the help shows it: `-f, --follow`, `--sha SHA`.
fn written(option: &Opt) -> String {
    let short = option.short.map(|short| format!("{short}, ")).unwrap_or_default();
    let value = option.value.map(|value| format!(" {value}")).unwrap_or_default();
    format!("{short}{}{value}", option.long)
}

fn row(text: &mut String, width: usize, left: &str, right: &str) {
    writeln(text, &format!("  {left:width$}{right}"));
}

fn writeln(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_command_and_option_and_fits_a_terminal() {
        let all = general();
        for spec in COMMANDS {
            assert!(all.contains(&format!("\n  {}", spec.name)), "{}", spec.name);
            let own = of(spec.verb);
            for option in spec.options.iter().chain(GLOBAL) {
                assert!(
                    own.contains(option.long) && own.contains(option.meaning),
                    "{}: {own}",
                    spec.name
                );
            }
            for line in own.lines().chain(all.lines()) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        for exit in EXITS {
            assert!(
                all.contains(&format!("\n  {}  {}", exit.code(), exit.meaning())),
                "{exit:?}"
            );
        }
    }
}
