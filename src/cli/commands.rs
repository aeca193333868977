//! What can be typed, as data: commands, their options and operands; what each command is for stands in `contrib/commands.txt`.
//!
//! The parser in [`super::arguments`] knows no option that is not here, and the help prints all that is, so neither can leave
//! one out. Commands look an option up by its constant.

#[cfg(feature = "terraform")]
use super::terraform::{DRIFT, TF_APPLY, TF_PLAN};
use super::{Args, Result, check, check_token, deploy, follow, help, init, pin, recover, rollback, runs};

type Run = fn(&Args) -> Result;

/// What a command is called and takes, and what does it.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name, its operand, that in brackets where the command can do without, and the options that it needs.
    pub usage: &'static str,
    /// None for `serve`, which gets the sockets of a supervisor too.
    pub run: Option<Run>,
    /// Its options, beside [`GLOBAL`].
    pub options: &'static [Opt],
}

#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// As the help shows it: `-f, --follow`, `--sha SHA`.
    pub usage: &'static str,
    pub meaning: &'static str,
}

impl Opt {
    /// With the dashes.
    pub fn long(&self) -> &'static str {
        let mut parts = self.parts();
        parts.find(|part| part.starts_with("--")).unwrap_or_default()
    }

    /// With the dash.
    pub fn short(&self) -> Option<&'static str> {
        Some(self.usage.split_once(", ")?.0)
    }

    /// What its value is called, when it takes one.
    pub fn value(&self) -> Option<&'static str> {
        self.parts().find(|part| !part.starts_with('-'))
    }

    fn parts(&self) -> impl Iterator<Item = &'static str> {
        self.usage.split(' ')
    }
}

pub const ENV_FILE: Opt = option("--env-file FILE", "take settings from FILE, over the environment");
const HELP: Opt = option("-h, --help", "print help and exit");
pub const JSON: Opt = option("--json", "print JSON, also on a terminal");
pub const DRY_RUN: Opt = option("--dry-run", "make every check that changes nothing, and stop");
pub const BUILT_FROM: Opt = option("--sha SHA", "the commit it was built from, for the record");
pub const TAG_OF_NOW: Opt = option("--force", "use the tag's image where the healthy one is gone");
pub const REPLACE: Opt = option("--force", "replace containers that run it already, too");
pub const FOLLOW: Opt = option("-f, --follow", "go on until the run ends");
pub const FORCE: Opt = option("--force", "end terraform now, though something may be lost");
pub const ENDPOINT: Opt = option("--endpoint NAME", "whose rules to check (default: deploy)");

/// Options that every command takes.
pub const GLOBAL: &[Opt] = &[ENV_FILE, HELP];

pub(super) const fn option(usage: &'static str, meaning: &'static str) -> Opt {
    Opt { usage, meaning }
}

pub(super) const fn command(usage: &'static str, run: Run, options: &'static [Opt]) -> Spec {
    Spec {
        usage,
        run: Some(run),
        options,
    }
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Spec] = &[
    Spec {
        usage: "serve",
        run: None,
        options: &[],
    },
    command("check", check::check, &[]),
    command("init", init::init, &[]),
    command(
        "deploy VERSION",
        deploy::deploy,
        &[BUILT_FROM, DRY_RUN, REPLACE, JSON],
    ),
    command("rollback", rollback::rollback, &[DRY_RUN, TAG_OF_NOW, JSON]),
    command("status", runs::status, &[JSON]),
    command("runs", runs::runs, &[JSON]),
    command("history", runs::history, &[JSON]),
    command("log RUN", follow::log, &[FOLLOW, JSON]),
    command("cancel RUN", follow::cancel, &[FORCE]),
    #[cfg(feature = "terraform")]
    TF_PLAN,
    #[cfg(feature = "terraform")]
    TF_APPLY,
    #[cfg(feature = "terraform")]
    DRIFT,
    command("pin", pin::pin, &[]),
    command("check-token", check_token::check_token, &[ENDPOINT]),
    command("recover", recover::recover, &[]),
    command("version", help::version, &[]),
    command("help [COMMAND]", help::help, &[]),
];

/// Of each command its name, a summary, and what its help says; then what the help says of settings and exit statuses. A
/// blank line between them.
const TEXTS: &str = include_str!("../../contrib/commands.txt");

impl Spec {
    pub fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }

    pub fn operand(&self) -> Option<&'static str> {
        self.usage.split(' ').nth(1).filter(|word| !word.starts_with('-'))
    }

    pub fn all_options(&self) -> impl Iterator<Item = &'static Opt> {
        self.options.iter().chain(GLOBAL)
    }
}

/// One line for the list of commands, and what the help of `name` says, wrapped by hand to fit a terminal.
pub fn texts_of(name: &str) -> (&'static str, &'static str) {
    let of_this = |text: &'static str| text.strip_prefix(name)?.strip_prefix(": ");
    let text = TEXTS.trim_end().split("\n\n").find_map(of_this);
    text.and_then(|text| text.split_once('\n')).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_own_and_has_its_texts() {
        let mut names: Vec<_> = COMMANDS.iter().map(Spec::name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
        assert!(TEXTS.split("\n\n").count() >= COMMANDS.len());
        for (summary, about) in COMMANDS.iter().map(|spec| texts_of(spec.name())) {
            assert!(
                !summary.is_empty() && about.trim_end().ends_with('.'),
                "{summary}: {about}"
            );
        }
    }

    #[test]
    fn the_roles_are_not_offered() {
        let names: Vec<_> = COMMANDS.iter().map(Spec::name).collect();
        for role in ["session", "front", "fetch", "run", "jail"] {
            assert!(!names.contains(&role), "{role}");
        }
    }
}
