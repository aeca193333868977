//! What can be typed, as data: commands, their options and operands, and what each is for.
//!
//! The parser in [`super::args`] knows no option that is not here, and the help prints all that is, so neither can leave
//! one out.

use super::commands_terraform::{DRIFT, TF_APPLY, TF_PLAN};

/// What a command is called and takes.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which one.
    pub verb: Verb,
    /// As typed.
    pub name: &'static str,
    /// The one operand, if it takes any.
    pub operand: Option<Operand>,
    /// Its options, beside [`GLOBAL`].
    pub options: &'static [Opt],
    /// One line for the list of commands.
    pub summary: &'static str,
    /// What its own help says, wrapped by hand to fit a terminal.
    pub about: &'static str,
}

/// An operand.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// As the help writes it.
    pub name: &'static str,
    /// Whether the command can do without.
    pub need: Need,
}

/// Whether something must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It may be left out.
    Optional,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// Its long form, with the dashes.
    pub long: &'static str,
    /// Its short form, with the dash.
    pub short: Option<&'static str>,
    /// What its value is called, when it takes one.
    pub value: Option<&'static str>,
    /// Whether the command can do without.
    pub need: Need,
    /// What it is for.
    pub meaning: &'static str,
}

/// The commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is described in COMMANDS")]
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

/// Options that every command takes.
pub const GLOBAL: &[Opt] = &[
    valued(
        "--env-file",
        "FILE",
        "take settings from FILE, over the environment",
    ),
    Opt {
        long: "--help",
        short: Some("-h"),
        value: None,
        need: Need::Optional,
        meaning: "print help and exit",
    },
];

const DRY_RUN: Opt = flag(
    "--dry-run",
    None,
    "make every check that changes nothing, and stop",
);
pub(super) const JSON: Opt = flag("--json", None, "print JSON, also on a terminal");
const RUN: Option<Operand> = Some(Operand {
    name: "RUN",
    need: Need::Required,
});

pub(super) const fn flag(long: &'static str, short: Option<&'static str>, meaning: &'static str) -> Opt {
    Opt {
        long,
        short,
        value: None,
        need: Need::Optional,
        meaning,
    }
}

pub(super) const fn valued(long: &'static str, value: &'static str, meaning: &'static str) -> Opt {
    Opt {
        long,
        short: None,
        value: Some(value),
        need: Need::Optional,
        meaning,
    }
}

const fn simple(verb: Verb, name: &'static str, summary: &'static str, about: &'static str) -> Spec {
    Spec {
        verb,
        name,
        operand: None,
        options: &[],
        summary,
        about,
    }
}

/// All commands, in the order of the help.
pub const COMMANDS: &[Spec] = &[
    simple(
        Verb::Serve,
        "serve",
        "answer requests (also without any command)",
        "Answers requests until it is told to stop (TERM, INT). A HUP takes up a changed\n\
         configuration or certificate. Runs that are under way go on when it ends.\n\
         With a socket from systemd or inetd it binds none: a listening one is served\n\
         until nothing is left to do, a connection is answered.",
    ),
    simple(
        Verb::Check,
        "check",
        "report everything that is wrong with settings and host",
        "Reports every fault of the settings at once, whether docker, templates, key\n\
         files and the issuer's keys are usable, and what could be tighter.",
    ),
    simple(
        Verb::Init,
        "init",
        "prepare the state folder of a first installation",
        "Makes the state folder with an empty memory of used tokens. For a first\n\
         installation only: a memory that was lost is made anew by `serve`, which then\n\
         refuses the tokens that may have been used before.",
    ),
    Spec {
        verb: Verb::Deploy,
        name: "deploy",
        operand: Some(Operand {
            name: "VERSION",
            need: Need::Required,
        }),
        options: &[
            valued("--sha", "SHA", "the commit it was built from, for the record"),
            DRY_RUN,
            flag("--force", None, "replace containers that run it already, too"),
            JSON,
        ],
        summary: "deploy VERSION from this host, without a token",
        about: "Starts the same run as a request to /deploy and shows the same lines. VERSION is\n\
                X.Y.Z; SHA is 7 to 40 lower-case hex digits. When this command is ended, the run\n\
                goes on; `cancel` ends it.",
    },
    Spec {
        verb: Verb::Rollback,
        name: "rollback",
        operand: None,
        options: &[DRY_RUN, JSON],
        summary: "deploy the version that was healthy before this one",
        about: "Deploys the last version that was healthy before the one that is live, as the\n\
                kept runs tell; says which and why. It never goes forward again: `deploy` does.\n\
                Refused while a run is at work.",
    },
    Spec {
        verb: Verb::Status,
        name: "status",
        operand: None,
        options: &[JSON],
        summary: "show how the last deploy ended, and what runs now",
        about: "Shows the result of the last finished deploy, those of terraform, and the run\n\
                that is under way. The exit status is that of the finished deploy; 3 when there\n\
                is none yet. As JSON it is the document of GET /status.",
    },
    Spec {
        verb: Verb::Runs,
        name: "runs",
        operand: None,
        options: &[JSON],
        summary: "list the last runs, newest first",
        about: "Lists the run that is under way and the last ones, newest first. As JSON it is\n\
                the document of GET /runs.",
    },
    Spec {
        verb: Verb::History,
        name: "history",
        operand: None,
        options: &[JSON],
        summary: "show who deployed what, when, and what became of it",
        about: "Shows every run that is kept, newest first: when it ended and how, what was\n\
                asked for, how long it took, and who asked: a CI job, by its token, or a user\n\
                of this host. As JSON it is a line for each run, with all that is known of it.",
    },
    Spec {
        verb: Verb::Log,
        name: "log",
        operand: RUN,
        options: &[flag("--follow", Some("-f"), "go on until the run ends"), JSON],
        summary: "show the log of a run",
        about: "Shows the log of RUN from its start. The exit status is that of the run, when it\n\
                has ended by then.",
    },
    Spec {
        verb: Verb::Cancel,
        name: "cancel",
        operand: RUN,
        options: &[flag(
            "--force",
            None,
            "end terraform now, though something may be lost",
        )],
        summary: "end a run gently",
        about: "Tells RUN to end: one that waits ends at once, one that has changed nothing\n\
                stops, any other ends its step and puts back what was there before. An apply\n\
                of terraform ends when what it is creating is there; when that never comes,\n\
                --force ends it: terraform may not know then of what it made, and its state\n\
                may stay locked.",
    },
    TF_PLAN,
    TF_APPLY,
    DRIFT,
    simple(
        Verb::Pin,
        "pin",
        "print the pins of the certificate",
        "Prints the SHA-256 of the certificate, and of its public key in the form that\n\
         curl takes as --pinnedpubkey. The second one stays when the certificate is\n\
         renewed with the same key.",
    ),
    Spec {
        verb: Verb::CheckToken,
        name: "check-token",
        operand: None,
        options: &[valued(
            "--endpoint",
            "NAME",
            "whose rules to check (default: deploy)",
        )],
        summary: "say which rules a token passes and which not",
        about: "Reads a token from standard input and prints each rule with pass or fail. The\n\
                token is not used up.",
    },
    simple(
        Verb::Recover,
        "recover",
        "complete the runs that died",
        "Completes every run that died with the host or was killed: undoes or finishes\n\
         the step it was in, and records it as interrupted. Doing it twice changes\n\
         nothing more.",
    ),
    simple(
        Verb::Version,
        "version",
        "print the version",
        "Prints the version.",
    ),
    Spec {
        verb: Verb::Help,
        name: "help",
        operand: Some(Operand {
            name: "COMMAND",
            need: Need::Optional,
        }),
        options: &[],
        summary: "print help, in general or about one command",
        about: "Prints help, in general or about COMMAND.",
    },
];

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
            assert_eq!(spec.verb.spec().name, spec.name);
        }
        let mut names: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), COMMANDS.len());
        // A verb added to the enum and not to the table would be taken for the first entry.
        assert_eq!(Verb::Help as usize + 1, COMMANDS.len());
    }

    #[test]
    fn the_roles_are_not_offered() {
        let names: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
        for role in ["session", "front", "fetch", "run", "jail"] {
            assert!(!names.contains(&role), "{role}");
        }
    }
}
