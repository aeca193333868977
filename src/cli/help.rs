//! The help: its texts, made from the table in [`super::commands`], and what an exit status says.

use super::commands::{COMMANDS, GLOBAL, Opt, Spec};

/// What an exit status says; the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
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

/// Each with what the help says of it, in the order of their numbers.
const EXITS: [(ExitStatus, &str); 5] = [
    (ExitStatus::Done, "done, and well"),
    (
        ExitStatus::Failed,
        "failed: the run failed, `check` found a fault, the token is refused",
    ),
    (ExitStatus::Usage, "the arguments make no sense"),
    (
        ExitStatus::Unable,
        "not tried: the settings are wrong, no such run, not allowed",
    ),
    (ExitStatus::Unknown, "tried, and how it ended is not known"),
];

impl ExitStatus {
    /// The number for exit(3).
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// Read when no file is named by every command, but by `serve` only with a socket of its supervisor's; the first that
/// exists. The second is the Unraid plugin's.
pub const ENV_FILES: [&str; 2] = [
    "/etc/engram-deployer/env",
    "/boot/config/plugins/engram-deployer/engram-deployer.cfg",
];

/// The help of the whole program.
pub fn general() -> String {
    let commands: String = COMMANDS
        .iter()
        .map(|spec| row(spec.usage, spec.texts().0))
        .collect();
    format!(
        "Usage: engram-deployer [COMMAND] [OPTION]...\n\n\
         Commands:\n{commands}\n\
         Options of every command:\n{}\n\
         Settings are DEPLOYER_... variables of the environment. Commands other than\n\
         `serve` also read the first of these files that exists, when none is named, and\n\
         `serve` does so when systemd or inetd passes it a socket:\n  {}\n\n\
         {}\n\
         `engram-deployer help COMMAND` says more about one command.\n",
        options(GLOBAL.iter()),
        ENV_FILES.join("\n  "),
        exit_statuses()
    )
}

/// The help of one command.
pub fn of(spec: &Spec) -> String {
    let required: String = spec.required.iter().map(|option| format!(" {option}")).collect();
    let more = match spec.required.is_empty() && spec.options.is_empty() {
        true => "",
        false => " [OPTION]...",
    };
    format!(
        "Usage: engram-deployer {}{required}{more}\n\n{}\n\nOptions:\n{}\n{}",
        spec.usage,
        spec.texts().1.trim_end(),
        options(spec.all_options()),
        exit_statuses()
    )
}

fn options<'a>(options: impl Iterator<Item = &'a Opt>) -> String {
    let line = |option: &Opt| {
        let short = option.short.map(|short| format!("{short}, "));
        row(&format!("{}{option}", short.unwrap_or_default()), option.meaning)
    };
    options.map(line).collect()
}

fn row(left: &str, right: &str) -> String {
    format!("  {left:22}{right}\n")
}

fn exit_statuses() -> String {
    let rows = EXITS.map(|(exit, meaning)| format!("  {:<3}{meaning}\n", exit.code()));
    format!("Exit status:\n{}", rows.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_command_and_option_and_fits_a_terminal() {
        let all = general();
        for spec in COMMANDS {
            assert!(all.contains(&format!("\n  {}", spec.name())), "{}", spec.name());
            let own = of(spec);
            for option in spec.all_options() {
                assert!(
                    own.contains(option.long) && own.contains(option.meaning),
                    "{}: {own}",
                    spec.name()
                );
            }
            for line in own.lines().chain(all.lines()) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        for (number, (exit, meaning)) in EXITS.iter().enumerate() {
            assert_eq!(usize::from(exit.code()), number);
            assert!(all.contains(&format!("\n  {number}  {meaning}\n")), "{meaning}");
        }
    }
}
