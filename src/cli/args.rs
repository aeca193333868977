//! What was typed -> a [`Command`], in two steps: first words are sorted into a command, options and operands as the
//! table in [`super::commands`] knows them; then they are made sense of. Opens nothing, prints nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use super::commands::{Spec, Verb};
pub use super::words::UsageError;
use super::words::{Typed, asks_for_help, command_of, error, named, sort};
use crate::event::harmless;
use crate::queue::Urgency;

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
#[path = "args_tests.rs"]
mod tests;
