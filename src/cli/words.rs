//! Arguments as typed, sorted by the table in [`super::commands`]: the command, its options, its operands. Knows nothing of
//! what they mean; never guesses: a word that is no option of this command is refused, with the nearest one that is.

use std::ffi::OsString;
use std::fmt;

use super::args::Form;
use super::commands::{COMMANDS, GLOBAL, Need, Opt, Spec, Verb};
use crate::config::nearest;
use crate::event::harmless;

/// What was typed makes no sense: exit status 2. Shown as one line with a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    what: String,
    verb: Option<Verb>,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.verb {
            Some(verb) => write!(
                f,
                "{}; `engram-deployer help {}` says more",
                self.what,
                verb.spec().name
            ),
            None => write!(f, "{}; `engram-deployer help` says more", self.what),
        }
    }
}

impl std::error::Error for UsageError {}

/// Words, sorted by the table.
pub(super) struct Typed {
    verb: Verb,
    options: Vec<(&'static str, OsString)>,
    pub operands: Vec<OsString>,
}

impl Typed {
    pub fn take(&mut self, long: &str) -> Option<OsString> {
        let at = self.options.iter().position(|(name, _)| *name == long)?;
        Some(self.options.swap_remove(at).1)
    }

    pub fn has(&mut self, long: &str) -> bool {
        self.take(long).is_some()
    }

    pub fn text(&mut self, long: &str) -> Result<Option<String>, UsageError> {
        let verb = self.verb;
        self.take(long).map(|value| text(value, long, verb)).transpose()
    }

    pub fn operand(&mut self, spec: &Spec) -> Result<Option<String>, UsageError> {
        let (verb, name) = (self.verb, spec.operand.map_or("operand", |operand| operand.name));
        if self.operands.is_empty() {
            return Ok(None);
        }
        text(self.operands.remove(0), name, verb).map(Some)
    }

    /// Whether every option that the command cannot do without is there.
    pub fn has_what_it_needs(&self, spec: &Spec) -> Result<(), UsageError> {
        let needed = spec.options.iter().filter(|option| option.need == Need::Required);
        let there = |option: &&Opt| self.options.iter().any(|(long, _)| *long == option.long);
        match needed.into_iter().find(|option| !there(option)) {
            None => Ok(()),
            Some(option) => {
                let value = option.value.map(|value| format!(" {value}")).unwrap_or_default();
                Err(error(
                    spec.verb,
                    format!("`{}` needs {}{value}", spec.name, option.long),
                ))
            }
        }
    }

    pub fn form(&mut self) -> Form {
        if self.has("--json") {
            Form::Json
        } else {
            Form::ByTerminal
        }
    }
}

fn text(value: OsString, name: &str, verb: Verb) -> Result<String, UsageError> {
    value
        .into_string()
        .map_err(|_| error(verb, format!("{name} is not UTF-8")))
}

pub(super) fn error(verb: Verb, what: impl Into<String>) -> UsageError {
    UsageError {
        what: what.into(),
        verb: Some(verb),
    }
}

/// The first word that is no option, and not the value of `--env-file`, names the command.
pub(super) fn command_of(words: &[OsString]) -> Result<Option<&'static Spec>, UsageError> {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--version" || word == "-V" {
            return Ok(Some(Verb::Version.spec()));
        }
        if GLOBAL
            .iter()
            .any(|option| option.value.is_some() && word == option.long)
        {
            words.next();
        } else if !word.as_encoded_bytes().starts_with(b"-") {
            return named(&word.to_string_lossy()).map(Some);
        }
    }
    Ok(None)
}

pub(super) fn named(word: &str) -> Result<&'static Spec, UsageError> {
    if let Some(spec) = COMMANDS.iter().find(|spec| spec.name == word) {
        return Ok(spec);
    }
    let hint = match nearest(word, COMMANDS.iter().map(|spec| spec.name), 2) {
        Some(known) => format!(" (did you mean `{known}`?)"),
        None => String::new(),
    };
    Err(UsageError {
        what: format!("there is no command `{}`{hint}", harmless(word)),
        verb: None,
    })
}

/// `--help` wins over whatever else is wrong, so that help can be had in the middle of typing.
pub(super) fn asks_for_help(words: &[OsString]) -> bool {
    words
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| word == "--help" || word == "-h")
}

/// First step: every word is the command, an option of it with its value, or an operand.
pub(super) fn sort(spec: &'static Spec, words: Vec<OsString>) -> Result<Typed, UsageError> {
    let mut typed = Typed {
        verb: spec.verb,
        options: Vec::new(),
        operands: Vec::new(),
    };
    let (mut words, mut command_seen, mut only_operands) = (words.into_iter(), false, false);
    while let Some(word) = words.next() {
        let bytes = word.as_encoded_bytes();
        if only_operands || !bytes.starts_with(b"-") || bytes == b"-" {
            if command_seen || word != spec.name {
                typed.operands.push(word);
            }
            command_seen = true;
        } else if word == "--" {
            only_operands = true;
        } else if spec.verb == Verb::Version && (word == "--version" || word == "-V") {
            command_seen = true;
        } else {
            option(&mut typed, spec, &word, &mut words)?;
        }
    }
    Ok(typed)
}

/// One option, with its value from behind `=` or from the next word.
fn option(
    typed: &mut Typed,
    spec: &'static Spec,
    word: &OsString,
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<(), UsageError> {
    let shown = word.to_string_lossy();
    let (name, inline) = match shown.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (shown.as_ref(), None),
    };
    let known = || spec.options.iter().chain(GLOBAL);
    let Some(option) = known().find(|option| option.long == name || option.short == Some(name)) else {
        return Err(unknown_option(spec.verb, name, known()));
    };
    if typed.options.iter().any(|(long, _)| *long == option.long) {
        return Err(error(spec.verb, format!("`{}` is there twice", option.long)));
    }
    let value = value_of(option, inline.map(|value| inline_value(word, value)), rest)
        .map_err(|what| error(spec.verb, what))?;
    typed.options.push((option.long, value));
    Ok(())
}

/// The value behind `=` as it was typed: a path need not be UTF-8.
fn inline_value(word: &OsString, lossy: &str) -> OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = word.as_encoded_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => OsString::from_vec(bytes.get(at + 1..).unwrap_or_default().to_vec()),
        None => OsString::from(lossy),
    }
}

fn value_of(
    option: &Opt,
    inline: Option<OsString>,
    rest: &mut impl Iterator<Item = OsString>,
) -> Result<OsString, String> {
    match (option.value, inline) {
        (None, None) => Ok(OsString::new()),
        (None, Some(_)) => Err(format!("`{}` takes no value", option.long)),
        (Some(name), inline) => inline
            .or_else(|| {
                rest.next()
                    .filter(|next| !next.as_encoded_bytes().starts_with(b"-"))
            })
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("`{}` needs a value: {} {name}", option.long, option.long)),
    }
}

fn unknown_option<'a>(verb: Verb, name: &str, known: impl Iterator<Item = &'a Opt>) -> UsageError {
    let hint = match nearest(name, known.map(|option| option.long), 3) {
        Some(known) => format!(" (did you mean `{known}`?)"),
        None => String::new(),
    };
    error(
        verb,
        format!("`{}` has no option `{}`{hint}", verb.spec().name, harmless(name)),
    )
}
