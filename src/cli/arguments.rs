//! What was typed, sorted by the table in [`super::commands`]: the command, its operand, its options.
//!
//! Opens nothing, prints nothing and never guesses: a word that the table does not know is refused, with the nearest one
//! that it does know. What values mean, the commands find out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::commands::{COMMANDS, ENV_FILE, Opt, Spec, Verb};
use super::output::CommandError;
use crate::config::nearest;
use crate::event::harmless;

/// A command with its operand and its options, all of them in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    pub verb: Verb,
    operand: Option<String>,
    /// By their long forms; the value of a flag is empty.
    options: Vec<(&'static str, String)>,
    env_file: Option<PathBuf>,
}

impl Arguments {
    fn of(spec: &Spec) -> Self {
        Self {
            verb: spec.verb,
            operand: None,
            options: Vec::new(),
            env_file: None,
        }
    }

    pub fn has(&self, option: &Opt) -> bool {
        self.value(option).is_some()
    }

    pub fn value(&self, option: &Opt) -> Option<&str> {
        let mut options = self.options.iter();
        let found = options.find(|(long, _)| *long == option.long)?;
        Some(&found.1)
    }

    /// The operand; empty only where the command can do without.
    pub fn operand(&self) -> &str {
        self.operand.as_deref().unwrap_or_default()
    }

    /// `--env-file`; relative to where it was typed. It need not be UTF-8.
    pub fn env_file(&self) -> Option<&Path> {
        self.env_file.as_deref()
    }

    /// `what` is wrong with the operand or a value.
    pub fn wrong(&self, what: &str) -> CommandError {
        CommandError::Usage(usage(self.verb.spec(), &harmless(what)))
    }

    /// Adds an option, with its value from behind `=` or from the next word.
    fn add(
        &mut self,
        spec: &Spec,
        word: &OsString,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        use std::os::unix::ffi::OsStringExt;
        let bytes = word.as_encoded_bytes();
        let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
        let name = String::from_utf8_lossy(&bytes[..end]);
        let inline = bytes
            .get(end + 1..)
            .map(|value| OsString::from_vec(value.to_vec()));
        let known = || spec.all_options();
        let Some(option) = known().find(|option| option.long == name || option.short == Some(&name)) else {
            let hint = did_you_mean(&name, known().map(|option| option.long), 3);
            return Err(format!(
                "`{}` has no option `{}`{hint}",
                spec.name(),
                harmless(&name)
            ));
        };
        let long = option.long;
        if self.has(option) || long == ENV_FILE.long && self.env_file.is_some() {
            return Err(format!("`{long}` is there twice"));
        }
        let value = match (option.value, inline) {
            (None, Some(_)) => return Err(format!("`{long}` takes no value")),
            (None, None) => OsString::new(),
            (Some(name), inline) => inline
                .or_else(|| {
                    rest.next()
                        .filter(|next| !next.as_encoded_bytes().starts_with(b"-"))
                })
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("`{long}` needs a value: {long} {name}"))?,
        };
        if long == ENV_FILE.long {
            self.env_file = Some(value.into());
        } else {
            self.options.push((long, text(value, long)?));
        }
        Ok(())
    }

    /// Takes the operands, and checks that all is there that the command needs.
    fn complete(&mut self, spec: &Spec, mut operands: impl Iterator<Item = String>) -> Result<(), String> {
        let name = spec.name();
        if spec.operand().is_some() {
            self.operand = operands.next().filter(|operand| !operand.is_empty());
        }
        if let Some(extra) = operands.next() {
            return Err(format!("`{name}` takes no `{}`", harmless(&extra)));
        }
        match spec.operand() {
            Some(operand) if self.operand.is_none() && !operand.starts_with('[') => {
                return Err(format!("`{name}` needs a {operand}"));
            }
            _ => {}
        }
        match spec.required.iter().find(|option| !self.has(option)) {
            None => Ok(()),
            Some(option) => Err(format!("`{name}` needs {option}")),
        }
    }
}

/// Makes sense of the arguments after the program's name. Without any it is `serve`, which is how the daemon has always
/// been started.
///
/// # Errors
/// A sentence with a hint.
pub fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Arguments, String> {
    let words: Vec<OsString> = typed.into_iter().collect();
    let named = command_of(&words)?;
    if asks_for_help(&words) {
        return Ok(Arguments {
            operand: named.map(|spec| spec.name().to_owned()),
            ..Arguments::of(Verb::Help.spec())
        });
    }
    let spec = named.unwrap_or(Verb::Serve.spec());
    sort(spec, words).map_err(|what| usage(spec, &what))
}

/// What is wrong with the arguments of a command, and where its help is.
fn usage(spec: &Spec, what: &str) -> String {
    format!("{what}; `engram-deployer help {}` says more", spec.name())
}

/// The command `name`.
///
/// # Errors
/// When there is none: a sentence with the nearest one.
pub fn command_named(name: &str) -> Result<&'static Spec, String> {
    COMMANDS.iter().find(|spec| spec.name() == name).ok_or_else(|| {
        let hint = did_you_mean(name, COMMANDS.iter().map(Spec::name), 2);
        format!(
            "there is no command `{}`{hint}; `engram-deployer help` says more",
            harmless(name)
        )
    })
}

fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>, most: usize) -> String {
    nearest(name, known, most).map_or_else(String::new, |known| format!(" (did you mean `{known}`?)"))
}

/// The first word that is no option, and not the value of `--env-file`, names the command.
fn command_of(words: &[OsString]) -> Result<Option<&'static Spec>, String> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if is_version(word) {
            return Ok(Some(Verb::Version.spec()));
        }
        if word == ENV_FILE.long {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return command_named(&word.to_string_lossy()).map(Some);
        }
    }
    Ok(None)
}

fn is_version(word: &OsString) -> bool {
    word == "--version" || word == "-V"
}

/// `--help` wins over whatever else is wrong, so that help can be had in the middle of typing.
fn asks_for_help(words: &[OsString]) -> bool {
    let mut words = words.iter().take_while(|word| *word != "--");
    words.any(|word| word == "--help" || word == "-h")
}

fn sort(spec: &Spec, words: Vec<OsString>) -> Result<Arguments, String> {
    let mut arguments = Arguments::of(spec);
    let (mut operands, mut only_operands) = (Vec::new(), false);
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let bytes = word.as_encoded_bytes();
        if only_operands || !bytes.starts_with(b"-") || bytes == b"-" {
            operands.push(text(word, spec.operand().unwrap_or("an operand"))?);
        } else if word == "--" {
            only_operands = true;
        } else if spec.verb == Verb::Version && is_version(&word) {
            operands.push(spec.name().to_owned());
        } else {
            arguments.add(spec, &word, &mut words)?;
        }
    }
    // The first one is the command itself, but for a `serve` that was not typed.
    arguments.complete(spec, operands.into_iter().skip(1))?;
    Ok(arguments)
}

fn text(value: OsString, name: &str) -> Result<String, String> {
    value.into_string().map_err(|_| format!("{name} is not UTF-8"))
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
