//! What was typed -> a [`Command`], in two steps: first words are sorted into a command, options and operands as the
//! table in [`super::commands`] knows them; then they are made sense of. Opens nothing, prints nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use super::commands::{Spec, Verb};
pub use super::words::UsageError;
use super::words::{Typed, asks_for_help, command_of, error, named, sort};
use crate::event::harmless;
use crate::run::Urgency;

/// A command with what every command takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// `--env-file`; relative to where it was typed.
    pub env_file: Option<PathBuf>,
}

/// What to do. Versions, commits and run ids are as typed: whoever acts on them holds them to the same rules as a
/// request's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Answer requests.
    Serve,
    /// Report faults and advice.
    Check,
    /// Make the state of a first installation.
    Init,
    /// Start a run and follow it.
    Deploy(Deploy),
    /// Deploy the version before.
    Rollback {
        /// Whether anything is to be changed.
        effect: Effect,
        /// How to print the lines.
        form: Form,
    },
    /// The last finished deploy.
    Status(Form),
    /// The last runs.
    Runs(Form),
    /// All runs that are kept.
    History(Form),
    /// The log of a run.
    Log {
        /// Its id, as typed.
        run: String,
        /// Whether to stay until it ends.
        follow: Follow,
        /// How to print it.
        form: Form,
    },
    /// End a run.
    Cancel {
        /// Its id, as typed.
        run: String,
        /// Whether something may be lost by it.
        urgency: Urgency,
    },
    /// Start a run of terraform and follow it.
    Terraform(Terraform),
    /// The certificate's pins.
    Pin,
    /// Rule by rule, for the token on standard input.
    CheckToken {
        /// Whose rules; `None` is the one called `deploy`.
        endpoint: Option<String>,
    },
    /// Complete dead runs.
    Recover,
    /// The version.
    Version,
    /// Help, in general or about one command.
    Help(Option<Verb>),
}

/// What `deploy` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deploy {
    /// As typed.
    pub version: String,
    /// As typed.
    pub sha: Option<String>,
    /// Whether anything is to be changed.
    pub effect: Effect,
    /// Whether containers are replaced that run that version already.
    pub already_there: AlreadyThere,
    /// How to print the lines.
    pub form: Form,
}

/// What `tf-plan`, `tf-apply` or `drift` was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terraform {
    /// Which of them.
    pub verb: Verb,
    /// As typed; only `drift` can do without.
    pub sha: Option<String>,
    /// As typed.
    pub module: Option<String>,
    /// As typed.
    pub plan_digest: Option<String>,
    /// How much may be destroyed.
    pub destroy: Destroy,
    /// How to print the lines.
    pub form: Form,
}

/// How much an apply may destroy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroy {
    /// What `DEPLOYER_TF_DESTROY_LIMIT` allows.
    Limited,
    /// Anything.
    Allowed,
}

/// How far a run may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// All the way.
    Real,
    /// Only checks that change nothing.
    DryRun,
}

/// What becomes of containers that run the version already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlreadyThere {
    /// They are left as they are.
    Kept,
    /// They are made anew all the same.
    Replaced,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For a person on a terminal, JSON elsewhere.
    ByTerminal,
    /// JSON.
    Json,
}

/// Whether to stay until a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// What is there now.
    No,
    /// To the end.
    ToTheEnd,
}

/// Makes sense of the arguments after the program's name. Without any it is [`Command::Serve`], which is how the
/// daemon has always been started.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, UsageError> {
    let words: Vec<OsString> = arguments.into_iter().collect();
    let spec = command_of(&words)?;
    if asks_for_help(&words) {
        return Ok(Invocation {
            command: Command::Help(spec.map(|spec| spec.verb)),
            env_file: None,
        });
    }
    let spec = spec.unwrap_or(Verb::Serve.spec());
    let mut typed = sort(spec, words)?;
    let env_file = typed.take("--env-file").map(PathBuf::from);
    let command = command(spec, &mut typed)?;
    Ok(Invocation { command, env_file })
}

/// Second step: options and operands become the command.
fn command(spec: &'static Spec, typed: &mut Typed) -> Result<Command, UsageError> {
    let operand = typed.operand(spec)?;
    typed.has_what_it_needs(spec)?;
    if let Some(extra) = extra(spec, operand.as_deref(), typed) {
        return Err(error(
            spec.verb,
            format!("`{}` takes no `{}`", spec.name, harmless(&extra)),
        ));
    }
    let given = || match (operand.clone(), spec.operand) {
        (Some(text), _) if !text.is_empty() => Ok(text),
        (_, operand) => {
            let name = operand.map_or("operand", |operand| operand.name);
            Err(error(spec.verb, format!("`{}` needs a {name}", spec.name)))
        }
    };
    Ok(match spec.verb {
        Verb::Serve => Command::Serve,
        Verb::Check => Command::Check,
        Verb::Init => Command::Init,
        Verb::Deploy => Command::Deploy(deploy(given()?, typed)?),
        Verb::Rollback => Command::Rollback {
            effect: effect(typed),
            form: typed.form(),
        },
        Verb::Status => Command::Status(typed.form()),
        Verb::Runs => Command::Runs(typed.form()),
        Verb::History => Command::History(typed.form()),
        Verb::Log => Command::Log {
            run: given()?,
            follow: follow(typed),
            form: typed.form(),
        },
        Verb::Cancel => Command::Cancel {
            run: given()?,
            urgency: urgency(typed),
        },
        Verb::TfPlan | Verb::TfApply | Verb::Drift => Command::Terraform(terraform(spec.verb, typed)?),
        Verb::Pin => Command::Pin,
        Verb::CheckToken => Command::CheckToken {
            endpoint: typed.text("--endpoint")?,
        },
        Verb::Recover => Command::Recover,
        Verb::Version => Command::Version,
        Verb::Help => Command::Help(operand.as_deref().map(named).transpose()?.map(|spec| spec.verb)),
    })
}

/// What is one word too many.
fn extra(spec: &Spec, operand: Option<&str>, typed: &Typed) -> Option<String> {
    let beyond = typed
        .operands
        .first()
        .map(|word| word.to_string_lossy().into_owned());
    match spec.operand {
        None => operand.map(str::to_owned),
        Some(_) => beyond,
    }
}

fn deploy(version: String, typed: &mut Typed) -> Result<Deploy, UsageError> {
    let already_there = if typed.has("--force") {
        AlreadyThere::Replaced
    } else {
        AlreadyThere::Kept
    };
    Ok(Deploy {
        version,
        sha: typed.text("--sha")?,
        effect: effect(typed),
        already_there,
        form: typed.form(),
    })
}

fn terraform(verb: Verb, typed: &mut Typed) -> Result<Terraform, UsageError> {
    let destroy = if typed.has("--allow-destroy") {
        Destroy::Allowed
    } else {
        Destroy::Limited
    };
    Ok(Terraform {
        verb,
        sha: typed.text("--sha")?,
        module: typed.text("--module")?,
        plan_digest: typed.text("--plan-digest")?,
        destroy,
        form: typed.form(),
    })
}

fn urgency(typed: &mut Typed) -> Urgency {
    if typed.has("--force") {
        Urgency::Force
    } else {
        Urgency::Gentle
    }
}

fn effect(typed: &mut Typed) -> Effect {
    if typed.has("--dry-run") {
        Effect::DryRun
    } else {
        Effect::Real
    }
}

fn follow(typed: &mut Typed) -> Follow {
    if typed.has("--follow") {
        Follow::ToTheEnd
    } else {
        Follow::No
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands::{COMMANDS, Need};
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn typed(line: &str) -> Result<Invocation, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    fn command(line: &str) -> Command {
        typed(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
            .command
    }

    #[test]
    fn every_command_is_understood() {
        let deploy = |sha: Option<&str>, effect, form| {
            Command::Deploy(Deploy {
                version: "0.5.61".into(),
                sha: sha.map(str::to_owned),
                effect,
                already_there: AlreadyThere::Kept,
                form,
            })
        };
        let cancel = |run: &str, urgency| Command::Cancel {
            run: run.into(),
            urgency,
        };
        let terraform = |verb, sha: Option<&str>| {
            Command::Terraform(Terraform {
                verb,
                sha: sha.map(str::to_owned),
                module: None,
                plan_digest: None,
                destroy: Destroy::Limited,
                form: Form::ByTerminal,
            })
        };
        let log = |follow, form| Command::Log {
            run: "R".into(),
            follow,
            form,
        };
        for (line, expected) in [
            ("", Command::Serve),
            ("serve", Command::Serve),
            ("check", Command::Check),
            ("init", Command::Init),
            ("deploy 0.5.61", deploy(None, Effect::Real, Form::ByTerminal)),
            (
                "deploy --sha abc1234 0.5.61 --dry-run --json",
                deploy(Some("abc1234"), Effect::DryRun, Form::Json),
            ),
            (
                "deploy 0.5.61 --sha=abc1234",
                deploy(Some("abc1234"), Effect::Real, Form::ByTerminal),
            ),
            ("deploy -- 0.5.61", deploy(None, Effect::Real, Form::ByTerminal)),
            (
                "rollback",
                Command::Rollback {
                    effect: Effect::Real,
                    form: Form::ByTerminal,
                },
            ),
            (
                "rollback --json --dry-run",
                Command::Rollback {
                    effect: Effect::DryRun,
                    form: Form::Json,
                },
            ),
            ("history", Command::History(Form::ByTerminal)),
            ("history --json", Command::History(Form::Json)),
            ("status", Command::Status(Form::ByTerminal)),
            ("status --json", Command::Status(Form::Json)),
            ("runs --json", Command::Runs(Form::Json)),
            ("log R", log(Follow::No, Form::ByTerminal)),
            ("log -f R", log(Follow::ToTheEnd, Form::ByTerminal)),
            ("log R --follow --json", log(Follow::ToTheEnd, Form::Json)),
            ("cancel R", cancel("R", Urgency::Gentle)),
            ("cancel cancel", cancel("cancel", Urgency::Gentle)),
            ("cancel R --force", cancel("R", Urgency::Force)),
            ("tf-plan --sha S", terraform(Verb::TfPlan, Some("S"))),
            ("tf-apply --sha=S", terraform(Verb::TfApply, Some("S"))),
            ("drift", terraform(Verb::Drift, None)),
            (
                "tf-apply --plan-digest D --allow-destroy --sha S --module M --json",
                Command::Terraform(Terraform {
                    verb: Verb::TfApply,
                    sha: Some("S".into()),
                    module: Some("M".into()),
                    plan_digest: Some("D".into()),
                    destroy: Destroy::Allowed,
                    form: Form::Json,
                }),
            ),
            ("pin", Command::Pin),
            ("check-token", Command::CheckToken { endpoint: None }),
            (
                "check-token --endpoint deploy",
                Command::CheckToken {
                    endpoint: Some("deploy".into()),
                },
            ),
            ("recover", Command::Recover),
            ("version", Command::Version),
            ("--version", Command::Version),
            ("-V", Command::Version),
            ("help", Command::Help(None)),
            ("help log", Command::Help(Some(Verb::Log))),
            ("help help", Command::Help(Some(Verb::Help))),
            ("--help", Command::Help(None)),
            ("deploy --help", Command::Help(Some(Verb::Deploy))),
            ("-h log", Command::Help(Some(Verb::Log))),
            ("log --nonsense -h", Command::Help(Some(Verb::Log))),
            ("--env-file serve check", Command::Check),
        ] {
            assert_eq!(command(line), expected, "{line:?}");
        }
    }

    #[test]
    fn the_settings_file_may_stand_before_and_after_the_command() {
        for line in [
            "--env-file F check",
            "check --env-file F",
            "check --env-file=F",
            "--env-file=F check",
        ] {
            assert_eq!(
                typed(line).map(|one| one.env_file),
                Ok(Some(PathBuf::from("F"))),
                "{line}"
            );
        }
        assert_eq!(typed("--env-file F").map(|one| one.command), Ok(Command::Serve));
        let odd = OsString::from_vec(b"--env-file=/x/\xff".to_vec());
        let path = parse([OsString::from("check"), odd])
            .expect("a path is bytes")
            .env_file
            .expect("a file");
        assert_eq!(path.as_os_str().as_encoded_bytes(), b"/x/\xff");
    }

    #[test]
    fn what_makes_no_sense_is_said_with_a_hint() {
        for (line, what, hint) in [
            (
                "deploi 1.2.3",
                "no command `deploi` (did you mean `deploy`?)",
                "help`",
            ),
            ("frobnicate", "no command `frobnicate`", "help`"),
            ("front", "no command `front`", "help`"),
            ("help frobnicate", "no command `frobnicate`", "help`"),
            ("deploy", "needs a VERSION", "help deploy`"),
            ("deploy --sha abc1234", "needs a VERSION", "help deploy`"),
            (
                "deploy 1.2.3 --sha",
                "`--sha` needs a value: --sha SHA",
                "help deploy`",
            ),
            (
                "deploy 1.2.3 --sha --json",
                "`--sha` needs a value",
                "help deploy`",
            ),
            ("deploy 1.2.3 --sha=", "`--sha` needs a value", "help deploy`"),
            ("deploy 1.2.3 1.2.4", "takes no `1.2.4`", "help deploy`"),
            (
                "deploy 1.2.3 --dryrun",
                "no option `--dryrun` (did you mean `--dry-run`?)",
                "help deploy`",
            ),
            (
                "deploy 1.2.3 --dry-run=yes",
                "`--dry-run` takes no value",
                "help deploy`",
            ),
            (
                "deploy 1.2.3 --json --json",
                "`--json` is there twice",
                "help deploy`",
            ),
            ("deploy 1.2.3 -f", "no option `-f`", "help deploy`"),
            ("log", "needs a RUN", "help log`"),
            ("cancel", "needs a RUN", "help cancel`"),
            ("serve now", "takes no `now`", "help serve`"),
            ("tf-plan", "`tf-plan` needs --sha SHA", "help tf-plan`"),
            (
                "tf-apply --module m",
                "`tf-apply` needs --sha SHA",
                "help tf-apply`",
            ),
            (
                "tf-plan --sha S --plan-digest D",
                "no option `--plan-digest`",
                "help tf-plan`",
            ),
            ("tf-apply S --sha S", "takes no `S`", "help tf-apply`"),
            ("rollback 1.2.3", "takes no `1.2.3`", "help rollback`"),
            ("status --follow", "no option `--follow`", "help status`"),
            ("--json", "`serve` has no option `--json`", "help serve`"),
            ("check --env-file", "`--env-file` needs a value", "help check`"),
            ("check --env-file a --env-file b", "twice", "help check`"),
            ("help log runs", "takes no `runs`", "help help`"),
        ] {
            let error = typed(line).expect_err(line);
            assert!(error.contains(what) && error.contains(hint), "{line}: {error}");
        }
        let escape = parse([OsString::from("--\u{1b}[2J")])
            .expect_err("no such option")
            .to_string();
        assert!(!escape.contains('\u{1b}'));
        let odd = || OsString::from_vec(vec![b'1', 0xff]);
        assert!(parse(["deploy".into(), odd()]).is_err());
        assert!(parse(["check-token".into(), "--endpoint".into(), odd()]).is_err());
    }

    /// The words without which the command makes no sense.
    fn needed(spec: &Spec) -> String {
        let operand = spec.operand.filter(|operand| operand.need == Need::Required);
        let options = spec.options.iter().filter(|option| option.need == Need::Required);
        let options = options.map(|option| format!(" {} X", option.long));
        operand
            .map(|_| " X".to_owned())
            .into_iter()
            .chain(options)
            .collect()
    }

    #[test]
    fn no_option_of_the_table_is_ignored() {
        for spec in COMMANDS {
            let needed = needed(spec);
            let bare = typed(&format!("{}{needed}", spec.name)).expect("as the table says");
            for option in spec.options {
                let value = option.value.map(|_| " Y").unwrap_or_default();
                let line = format!("{}{needed} {}{value}", spec.name, option.long);
                assert_ne!(typed(&line), Ok(bare.clone()), "{line}");
            }
            assert_eq!(!needed.is_empty(), typed(spec.name).is_err(), "{}", spec.name);
        }
    }
}
