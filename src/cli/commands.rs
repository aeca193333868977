//! What can be typed, as data: commands, their options and operands; what each command is for stands in `contrib/commands.txt`.
//!
//! The parser in [`super::arguments`] knows no option that is not here, and the help prints all that is, so neither can leave
//! one out. Commands look an option up by its constant.

use std::fmt;

#[cfg(feature = "terraform")]
use super::commands_terraform::{DRIFT, TF_APPLY, TF_PLAN};

/// What a command is called and takes.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub verb: Verb,
    /// Its name and its operand, that in brackets where the command can do without.
    pub usage: &'static str,
    /// The options that it cannot do without.
    pub required: &'static [Opt],
    /// Its other options, beside [`GLOBAL`].
    pub options: &'static [Opt],
}

#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// With the dashes.
    pub long: &'static str,
    /// With the dash.
    pub short: Option<&'static str>,
    /// What its value is called, when it takes one.
    pub value: Option<&'static str>,
    pub meaning: &'static str,
}

/// As the help shows it, without its short form: `--sha SHA`.
impl fmt::Display for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.long)?;
        self.value.map_or(Ok(()), |value| write!(f, " {value}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Serve,
    Check,
    Init,
    Deploy,
    Rollback,
    Status,
    Runs,
    History,
    Log,
    Cancel,
    #[cfg(feature = "terraform")]
    TfPlan,
    #[cfg(feature = "terraform")]
    TfApply,
    #[cfg(feature = "terraform")]
    Drift,
    Pin,
    CheckToken,
    Recover,
    Version,
    Help,
}

pub const ENV_FILE: Opt = valued(
    "--env-file",
    "FILE",
    "take settings from FILE, over the environment",
);
const HELP: Opt = Opt {
    short: Some("-h"),
    ..flag("--help", "print help and exit")
};
pub const JSON: Opt = flag("--json", "print JSON, also on a terminal");
pub const DRY_RUN: Opt = flag("--dry-run", "make every check that changes nothing, and stop");
pub const BUILT_FROM: Opt = valued("--sha", "SHA", "the commit it was built from, for the record");
pub const TAG_OF_NOW: Opt = flag("--force", "use the tag's image where the healthy one is gone");
pub const REPLACE: Opt = flag("--force", "replace containers that run it already, too");
pub const FOLLOW: Opt = Opt {
    short: Some("-f"),
    ..flag("--follow", "go on until the run ends")
};
pub const FORCE: Opt = flag("--force", "end terraform now, though something may be lost");
pub const ENDPOINT: Opt = valued("--endpoint", "NAME", "whose rules to check (default: deploy)");

/// Options that every command takes.
pub const GLOBAL: &[Opt] = &[ENV_FILE, HELP];

pub(super) const fn flag(long: &'static str, meaning: &'static str) -> Opt {
    Opt {
        long,
        short: None,
        value: None,
        meaning,
    }
}

pub(super) const fn valued(long: &'static str, value: &'static str, meaning: &'static str) -> Opt {
    Opt {
        value: Some(value),
        ..flag(long, meaning)
    }
}

pub(super) const fn command(verb: Verb, usage: &'static str, options: &'static [Opt]) -> Spec {
    Spec {
        verb,
        usage,
        required: &[],
        options,
    }
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Spec] = &[
    command(Verb::Serve, "serve", &[]),
    command(Verb::Check, "check", &[]),
    command(Verb::Init, "init", &[]),
    command(
        Verb::Deploy,
        "deploy VERSION",
        &[BUILT_FROM, DRY_RUN, REPLACE, JSON],
    ),
    command(Verb::Rollback, "rollback", &[DRY_RUN, TAG_OF_NOW, JSON]),
    command(Verb::Status, "status", &[JSON]),
    command(Verb::Runs, "runs", &[JSON]),
    command(Verb::History, "history", &[JSON]),
    command(Verb::Log, "log RUN", &[FOLLOW, JSON]),
    command(Verb::Cancel, "cancel RUN", &[FORCE]),
    #[cfg(feature = "terraform")]
    TF_PLAN,
    #[cfg(feature = "terraform")]
    TF_APPLY,
    #[cfg(feature = "terraform")]
    DRIFT,
    command(Verb::Pin, "pin", &[]),
    command(Verb::CheckToken, "check-token", &[ENDPOINT]),
    command(Verb::Recover, "recover", &[]),
    command(Verb::Version, "version", &[]),
    command(Verb::Help, "help [COMMAND]", &[]),
];

/// Of each command its name, a summary, and what its help says; a blank line between them.
const TEXTS: &str = include_str!("../../contrib/commands.txt");

impl Spec {
    pub fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }

    pub fn operand(&self) -> Option<&'static str> {
        Some(self.usage.split_once(' ')?.1)
    }

    /// One line for the list of commands, and what its own help says, wrapped by hand to fit a terminal.
    pub fn texts(&self) -> (&'static str, &'static str) {
        let of_this = |text: &'static str| text.strip_prefix(self.name())?.strip_prefix(": ");
        let text = TEXTS.split("\n\n").find_map(of_this).unwrap_or_default();
        text.split_once('\n').unwrap_or((text, ""))
    }

    pub fn all_options(&self) -> impl Iterator<Item = &'static Opt> {
        self.required.iter().chain(self.options).chain(GLOBAL)
    }
}

impl Verb {
    /// The command's entry. Every verb has one, which a test sees to.
    pub fn spec(self) -> &'static Spec {
        COMMANDS
            .iter()
            .find(|spec| spec.verb == self)
            .unwrap_or(&COMMANDS[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_its_entry_and_every_name_is_its_own() {
        for spec in COMMANDS {
            assert_eq!(spec.verb.spec().usage, spec.usage);
        }
        let mut names: Vec<_> = COMMANDS.iter().map(Spec::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
        assert!(TEXTS.split("\n\n").count() >= COMMANDS.len());
        for (summary, about) in COMMANDS.iter().map(Spec::texts) {
            assert!(
                !summary.is_empty() && about.trim_end().ends_with('.'),
                "{summary}: {about}"
            );
        }
        // A verb added to the enum and not to the table would be taken for the first entry.
        assert_eq!(Verb::Help as usize + 1, COMMANDS.len());
    }

    #[test]
    fn the_roles_are_not_offered() {
        let names: Vec<_> = COMMANDS.iter().map(Spec::name).collect();
        for role in ["session", "front", "fetch", "run", "jail"] {
            assert!(!names.contains(&role), "{role}");
        }
    }
}
