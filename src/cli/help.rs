//! The help: its texts, made from the table in [`super::commands`], and what an exit status says.

use super::arguments::command_named;
use super::commands::{COMMANDS, GLOBAL, Opt, Spec};
use super::{Arguments, CommandResult, print};

/// What the help says of each [`super::output::ExitStatus`], in the order of their numbers.
const EXITS: [&str; 5] = [
    "done, and well",
    "failed: the run failed, `check` found a fault, the token is refused",
    "the arguments make no sense",
    "not tried: the settings are wrong, no such run, not allowed",
    "tried, and how it ended is not known",
];

/// Read when no file is named by every command, but by `serve` only with a socket of its supervisor's; the first that
/// exists. The second is the Unraid plugin's.
pub const ENV_FILES: [&str; 2] = [
    "/etc/engram-deployer/env",
    "/boot/config/plugins/engram-deployer/engram-deployer.cfg",
];

/// `version`.
pub fn version(_: &Arguments) -> CommandResult {
    print(concat!("engram-deployer ", env!("CARGO_PKG_VERSION"), "\n"))
}

/// `help`: of the whole program, or of one command.
pub fn help(arguments: &Arguments) -> CommandResult {
    print(&match arguments.operand.as_str() {
        "" => general(),
        name => of(command_named(name)?),
    })
}

/// The help of the whole program.
pub fn general() -> String {
    let commands = COMMANDS.iter().map(|spec| row(spec.usage, spec.texts().0));
    format!(
        "Usage: engram-deployer [COMMAND] [OPTION]...\n\n\
         Commands:\n{}\n\
         Options of every command:\n{}\n\
         Settings are DEPLOYER_... variables of the environment. Commands other than\n\
         `serve` also read the first of these files that exists, when none is named, and\n\
         `serve` does so when systemd or inetd passes it a socket:\n  {}\n\n\
         {}\n\
         `engram-deployer help COMMAND` says more about one command.\n",
        commands.collect::<String>(),
        options(GLOBAL.iter()),
        ENV_FILES.join("\n  "),
        exit_statuses()
    )
}

/// The help of one command.
fn of(spec: &Spec) -> String {
    let more = match spec.options.is_empty() {
        true => "",
        false => " [OPTION]...",
    };
    format!(
        "Usage: engram-deployer {}{more}\n\n{}\n\nOptions:\n{}\n{}",
        spec.usage,
        spec.texts().1.trim_end(),
        options(spec.all_options()),
        exit_statuses()
    )
}

fn options<'a>(options: impl Iterator<Item = &'a Opt>) -> String {
    options.map(|option| row(option.usage, option.meaning)).collect()
}

fn row(left: &str, right: &str) -> String {
    format!("  {left:22}{right}\n")
}

fn exit_statuses() -> String {
    let rows = EXITS.iter().enumerate();
    let rows = rows.map(|(number, meaning)| format!("  {number:<3}{meaning}\n"));
    format!("Exit status:\n{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::ExitStatus;

    #[test]
    fn the_help_names_every_command_and_option_and_fits_a_terminal() {
        let all = general();
        for spec in COMMANDS {
            assert!(all.contains(&format!("\n  {}", spec.name())), "{}", spec.name());
            let own = of(spec);
            for option in spec.all_options() {
                assert!(
                    own.contains(option.usage) && own.contains(option.meaning),
                    "{}: {own}",
                    spec.name()
                );
            }
            for line in own.lines().chain(all.lines()) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        for (number, meaning) in EXITS.iter().enumerate() {
            assert!(all.contains(&format!("\n  {number}  {meaning}\n")), "{meaning}");
        }
        for (exit, meaning) in [
            (ExitStatus::Done, "done"),
            (ExitStatus::Failed, "failed"),
            (ExitStatus::Usage, "the arguments"),
            (ExitStatus::Unable, "not tried"),
            (ExitStatus::Unknown, "tried"),
        ] {
            assert!(EXITS[exit as usize].starts_with(meaning), "{meaning}");
        }
    }
}
