//! The help: its texts, made from the table in [`super::commands`], and what an exit status says.

use super::arguments::command_named;
use super::commands::{COMMANDS, GLOBAL, Opt, Spec, texts_of};
use super::{Args, Result, print};

/// Read when no file is named by every command, but by `serve` only with a socket of its supervisor's; the first that
/// exists. The second is the Unraid plugin's.
pub const ENV_FILES: [&str; 2] = [
    "/etc/engram-deployer/env",
    "/boot/config/plugins/engram-deployer/engram-deployer.cfg",
];

/// `version`.
pub fn version(_: &Args) -> Result {
    print(concat!("engram-deployer ", env!("CARGO_PKG_VERSION"), "\n"))
}

/// `help`: of the whole program, or of one command.
pub fn help(args: &Args) -> Result {
    print(&match args.operand.as_str() {
        "" => general(),
        name => of(command_named(name)?),
    })
}

/// The help of the whole program.
pub fn general() -> String {
    let commands = COMMANDS
        .iter()
        .map(|spec| row(spec.usage, texts_of(spec.name()).0));
    format!(
        "Usage: engram-deployer [COMMAND] [OPTION]...\n\n\
         Commands:\n{}\n\
         Options of every command:\n{}\n{}\n\n{}\n\n\
         `engram-deployer help COMMAND` says more about one command.\n",
        commands.collect::<String>(),
        options(GLOBAL.iter()),
        texts_of("settings").1,
        texts_of("exit-status").1
    )
}

/// The help of one command.
fn of(spec: &Spec) -> String {
    let more = match spec.options.is_empty() {
        true => "",
        false => " [OPTION]...",
    };
    format!(
        "Usage: engram-deployer {}{more}\n\n{}\n\nOptions:\n{}\n{}\n",
        spec.usage,
        texts_of(spec.name()).1,
        options(spec.all_options()),
        texts_of("exit-status").1
    )
}

fn options<'a>(options: impl Iterator<Item = &'a Opt>) -> String {
    options.map(|option| row(option.usage, option.meaning)).collect()
}

fn row(left: &str, right: &str) -> String {
    format!("  {left:22}{right}\n")
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
        for file in ENV_FILES {
            assert!(all.contains(&format!("\n  {file}\n")), "{file}");
        }
        for (exit, meaning) in [
            (ExitStatus::Done, "done"),
            (ExitStatus::Failed, "failed"),
            (ExitStatus::Usage, "the arguments"),
            (ExitStatus::Unable, "not tried"),
            (ExitStatus::Unknown, "tried"),
        ] {
            let line = format!("\n  {}  {meaning}", exit as usize);
            assert!(all.contains(&line), "{meaning}");
        }
    }
}
