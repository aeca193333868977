//! What can be typed, as data: commands, their options and operands, and what each is for.
//!
//! The parser in [`super::arguments`] knows no option that is not here, and the help prints all that is, so neither can leave
//! one out. Commands look an option up by its constant.

use std::fmt;

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
    /// One line for the list of commands.
    pub summary: &'static str,
    /// What its own help says, wrapped by hand to fit a terminal.
    pub about: &'static str,
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
    TfPlan,
    TfApply,
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
pub const TAG_OF_NOW: Opt = flag(
    "--force",
    "take what the tag names now, where what was healthy is gone",
);
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

pub(super) const fn command(
    verb: Verb,
    usage: &'static str,
    options: &'static [Opt],
    summary: &'static str,
    about: &'static str,
) -> Spec {
    Spec {
        verb,
        usage,
        required: &[],
        options,
        summary,
        about,
    }
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Spec] = &[
    command(
        Verb::Serve,
        "serve",
        &[],
        "answer requests (also without any command)",
        "Answers requests until it is told to stop (TERM, INT). A HUP takes up a changed\n\
         configuration or certificate. Runs that are under way go on when it ends.\n\
         With a socket from systemd or inetd it binds none: a listening one is served\n\
         until nothing is left to do, a connection is answered.",
    ),
    command(
        Verb::Check,
        "check",
        &[],
        "report everything that is wrong with settings and host",
        "Reports every fault of the settings at once, whether docker, templates, key\n\
         files and the issuer's keys are usable, and what could be tighter.",
    ),
    command(
        Verb::Init,
        "init",
        &[],
        "prepare the state folder of a first installation",
        "Makes the state folder with an empty memory of used tokens. For a first\n\
         installation only: a memory that was lost is made anew by `serve`, which then\n\
         refuses the tokens that may have been used before.",
    ),
    command(
        Verb::Deploy,
        "deploy VERSION",
        &[BUILT_FROM, DRY_RUN, REPLACE, JSON],
        "deploy VERSION from this host, without a token",
        "Starts the same run as a request to /deploy and shows the same lines. VERSION is\n\
         X.Y.Z; SHA is 7 to 40 lower-case hex digits. When this command is ended, the run\n\
         goes on; `cancel` ends it.",
    ),
    command(
        Verb::Rollback,
        "rollback",
        &[DRY_RUN, TAG_OF_NOW, JSON],
        "deploy the version that was healthy before this one",
        "Deploys the last version that was healthy before the one that is live, and says\n\
         which and why. It runs the very image that was healthy then, without a registry\n\
         where that is still here. It never goes forward again: `deploy` does.\n\
         Refused while a run is at work.",
    ),
    command(
        Verb::Status,
        "status",
        &[JSON],
        "show how the last deploy ended, and what runs now",
        "Shows the result of the last finished deploy, those of terraform, and the run\n\
         that is under way. The exit status is that of the finished deploy; 3 when there\n\
         is none yet. As JSON it is the document of GET /status.",
    ),
    command(
        Verb::Runs,
        "runs",
        &[JSON],
        "list the last runs, newest first",
        "Lists the run that is under way and the last ones, newest first. As JSON it is\n\
         the document of GET /runs.",
    ),
    command(
        Verb::History,
        "history",
        &[JSON],
        "show who deployed what, when, and what became of it",
        "Shows every run that is kept, newest first: when it ended and how, what was\n\
         asked for, how long it took, and who asked: a CI job, by its token, or a user\n\
         of this host. As JSON it is a line for each run, with all that is known of it.",
    ),
    command(
        Verb::Log,
        "log RUN",
        &[FOLLOW, JSON],
        "show the log of a run",
        "Shows the log of RUN from its start. The exit status is that of the run, when it\n\
         has ended by then.",
    ),
    command(
        Verb::Cancel,
        "cancel RUN",
        &[FORCE],
        "end a run gently",
        "Tells RUN to end: one that waits ends at once, one that has changed nothing\n\
         stops, any other ends its step and puts back what was there before. An apply\n\
         of terraform ends when what it is creating is there; when that never comes,\n\
         --force ends it: terraform may not know then of what it made, and its state\n\
         may stay locked.",
    ),
    TF_PLAN,
    TF_APPLY,
    DRIFT,
    command(
        Verb::Pin,
        "pin",
        &[],
        "print the pins of the certificate",
        "Prints the SHA-256 of the certificate, and of its public key in the form that\n\
         curl takes as --pinnedpubkey. The second one stays when the certificate is\n\
         renewed with the same key.",
    ),
    command(
        Verb::CheckToken,
        "check-token",
        &[ENDPOINT],
        "say which rules a token passes and which not",
        "Reads a token from standard input and prints each rule with pass or fail. The\n\
         token is not used up.",
    ),
    command(
        Verb::Recover,
        "recover",
        &[],
        "complete the runs that died",
        "Completes every run that died with the host or was killed: undoes or finishes\n\
         the step it was in, and records it as interrupted. Doing it twice changes\n\
         nothing more.",
    ),
    command(
        Verb::Version,
        "version",
        &[],
        "print the version",
        "Prints the version.",
    ),
    command(
        Verb::Help,
        "help [COMMAND]",
        &[],
        "print help, in general or about one command",
        "Prints help, in general or about COMMAND.",
    ),
];

impl Spec {
    pub fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }

    pub fn operand(&self) -> Option<&'static str> {
        Some(self.usage.split_once(' ')?.1)
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
