//! What was typed, sorted by the table in [`super::commands`]: the command, its operand, its options.
//!
//! Opens nothing, prints nothing and never guesses: a word that the table does not know is refused, with the nearest one
//! that it does know. What values mean, the commands find out.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::commands::{COMMANDS, ENV_FILE, Opt, Spec};
use super::{CommandError, ExitStatus, Result};
use crate::config::nearest;
use crate::event::harmless;

/// A command with its operand and its options, all of them in the table.
#[derive(Clone, Debug)]
pub struct Args {
    pub spec: &'static Spec,
    /// Empty only where the command can do without.
    pub operand: String,
    /// By their long forms; the value of a flag is empty. All but that of `--env-file` are UTF-8.
    options: Vec<(&'static str, OsString)>,
}

impl Args {
    pub fn has(&self, option: &Opt) -> bool {
        self.value(option).is_some()
    }

    pub fn value(&self, option: &Opt) -> Option<&str> {
        self.raw(option)?.to_str()
    }

    /// The value, if there is one, by the same rule as in a request's body.
    pub fn checked<T: TryFrom<String, Error = &'static str>>(&self, option: &Opt) -> Result<Option<T>> {
        let value = self.value(option).map(|value| T::try_from(value.to_owned()));
        value.transpose().map_err(|rule| self.wrong(rule))
    }

    fn raw(&self, option: &Opt) -> Option<&OsStr> {
        let found = self.options.iter().find(|(long, _)| *long == option.long());
        found.map(|(_, value)| value.as_os_str())
    }

    /// `--env-file`; relative to where it was typed.
    pub fn env_file(&self) -> Option<&Path> {
        self.raw(&ENV_FILE).map(Path::new)
    }

    /// `what` is wrong with the operand or a value.
    pub fn wrong(&self, what: &str) -> CommandError {
        misused(self.spec, &harmless(what))
    }

    /// Sorts the words behind the command's name, and checks that all is there that it needs.
    fn of(spec: &'static Spec, words: Vec<OsString>) -> Result<Self, String> {
        let mut args = Args {
            spec,
            operand: String::new(),
            options: Vec::new(),
        };
        let (mut words, mut operands) = (words.into_iter(), Vec::new());
        while let Some(word) = words.next() {
            if word == "--" {
                operands.extend(words.by_ref());
            } else if is_option(&word) {
                args.add(&word, &mut words)?;
            } else {
                operands.push(word);
            }
        }
        let (name, mut operands) = (spec.name(), operands.into_iter());
        if let Some(operand) = spec.operand() {
            args.operand = text(&operands.next().unwrap_or_default(), operand)?;
            if args.operand.is_empty() && !operand.starts_with('[') {
                return Err(format!("`{name}` needs a {operand}"));
            }
        }
        if let Some(extra) = operands.next() {
            let extra = harmless(&extra.to_string_lossy());
            return Err(format!("`{name}` takes no `{extra}`"));
        }
        let is_missing = |option: &&Opt| spec.usage.contains(option.usage) && !args.has(option);
        match spec.options.iter().find(is_missing) {
            None => Ok(args),
            Some(option) => Err(format!("`{name}` needs {}", option.usage)),
        }
    }

    /// Adds an option, with its value from behind `=` or from the next word.
    fn add(&mut self, word: &OsStr, rest: &mut impl Iterator<Item = OsString>) -> Result<(), String> {
        let mut parts = word.as_bytes().splitn(2, |byte| *byte == b'=');
        let name = String::from_utf8_lossy(parts.next().unwrap_or_default());
        let inline = parts.next().map(|value| OsStr::from_bytes(value).to_owned());
        let mut known = self.spec.all_options();
        let Some(option) = known.find(|option| option.long() == name || option.short() == Some(&name)) else {
            let hint = did_you_mean(&name, self.spec.all_options().map(Opt::long), 3);
            let (command, name) = (self.spec.name(), harmless(&name));
            return Err(format!("`{command}` has no option `{name}`{hint}"));
        };
        let long = option.long();
        if self.raw(option).is_some() {
            return Err(format!("`{long}` is there twice"));
        }
        let value = match (option.value(), inline) {
            (None, Some(_)) => return Err(format!("`{long}` takes no value")),
            (None, None) => OsString::new(),
            (Some(_), inline) => inline
                .or_else(|| rest.next().filter(|next| !is_option(next)))
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("`{long}` needs a value: {}", option.usage))?,
        };
        if long != ENV_FILE.long() {
            text(&value, long)?;
        }
        self.options.push((long, value));
        Ok(())
    }
}

/// Makes sense of the arguments after the program's name. Without any it is `serve`, which is how the daemon has always
/// been started.
///
/// # Errors
/// A sentence with a hint.
pub fn parse(typed: impl IntoIterator<Item = OsString>) -> Result<Args> {
    let mut words: Vec<OsString> = typed.into_iter().collect();
    // The first word that is no option, and not the value of `--env-file`, names the command.
    let names_it = |at: &usize| {
        let is_value = *at > 0 && words[at - 1] == ENV_FILE.long();
        is_version(&words[*at]) || !is_value && !is_option(&words[*at])
    };
    let named = (0..words.len()).find(names_it).map(|at| words.remove(at));
    let mut spec = match &named {
        None => command_named("serve"),
        Some(word) if is_version(word) => command_named("version"),
        Some(word) => command_named(&word.to_string_lossy()),
    }?;
    // `--help` wins over whatever else is wrong, so that help can be had in the middle of typing.
    let mut before_operands = words.iter().take_while(|word| *word != "--");
    if before_operands.any(|word| word == "--help" || word == "-h") {
        let name = named.map(|_| spec.name().into());
        (spec, words) = (command_named("help")?, name.into_iter().collect());
    }
    Args::of(spec, words).map_err(|what| misused(spec, &what))
}

/// The command `name`.
///
/// # Errors
/// When there is none: a sentence with the nearest one.
pub fn command_named(name: &str) -> Result<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.name() == name).ok_or_else(|| {
        let hint = did_you_mean(name, COMMANDS.iter().map(Spec::name), 2);
        usage(&format!("there is no command `{}`{hint}", harmless(name)), "help")
    })
}

fn misused(spec: &Spec, what: &str) -> CommandError {
    usage(what, &format!("help {}", spec.name()))
}

/// What is wrong, and which command says more.
fn usage(what: &str, help: &str) -> CommandError {
    let line = format!("{what}; `engram-deployer {help}` says more");
    CommandError(ExitStatus::Usage, vec![line])
}

fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>, most: usize) -> String {
    nearest(name, known, most).map_or_else(String::new, |known| format!(" (did you mean `{known}`?)"))
}

fn is_version(word: &OsStr) -> bool {
    word == "--version" || word == "-V"
}

fn is_option(word: &OsStr) -> bool {
    word.as_bytes().starts_with(b"-")
}

fn text(value: &OsStr, name: &str) -> Result<String, String> {
    let text = value.to_str().ok_or_else(|| format!("{name} is not UTF-8"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;
