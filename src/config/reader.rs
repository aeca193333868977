//! Reads settings one by one and collects every complaint, so that an operator can correct them all in one go.
//!
//! What is wrong reads as a placeholder beside its complaint; no [`Config`](super::Config) comes of settings that are
//! complained of.

use std::fmt;

use super::Settings;
use super::table::{self, Preset};
use crate::event::harmless;

/// The name of a variable, as the table has it.
pub type Name = &'static str;

/// What is wrong with one variable, for the operator: one line when shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub variable: Name,
    /// What it holds, made harmless and cut; `None` when it is not set. Never a secret.
    pub holds: Option<String>,
    /// What it should be.
    pub should: String,
}

/// Characters of a value that a complaint quotes.
const QUOTED: usize = 200;

/// What each variable is for.
const TEXTS: &str = include_str!("../../contrib/settings.txt");

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holds {
            Some(value) => write!(f, "{} is `{value}`; it should be {}", self.variable, self.should),
            None => write!(f, "{} is not set; it should be {}", self.variable, self.should),
        }
    }
}

pub(super) struct Reader<'a> {
    settings: &'a Settings,
    complaints: Vec<Complaint>,
}

impl<'a> Reader<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Reader {
            settings,
            complaints: Vec::new(),
        }
    }

    /// What is set, as it is.
    pub fn set(&self, name: &str) -> Option<&'a str> {
        self.settings.get(name)
    }

    /// The value of `name`, or its default, through `parse`, whose error says what it should be.
    pub fn read<T: Default>(&mut self, name: Name, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        match (
            self.set(name),
            table::variable(name).map(|variable| variable.preset),
        ) {
            (None, Some(Preset::Text(text))) => self.parse(name, text, parse).unwrap_or_default(),
            _ => self.needed(name, parse),
        }
    }

    /// The value of `name`, which must be set, default or not.
    pub fn needed<T: Default>(&mut self, name: Name, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        if self.set(name).is_none() {
            self.missing(name);
        }
        self.optional(name, parse).unwrap_or_default()
    }

    /// The same where nothing is an answer too.
    pub fn optional<T>(&mut self, name: Name, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.set(name).and_then(|text| self.parse(name, text, parse))
    }

    /// One of a few words.
    pub fn choice<T: Copy + Default>(&mut self, name: Name, choices: &[(&str, T)]) -> T {
        self.read(name, |text| {
            let chosen = choices.iter().find(|(word, _)| *word == text);
            chosen.map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<String> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
                words.join(" or ")
            })
        })
    }

    /// `on` or `off`.
    pub fn on_or_off(&mut self, name: Name) -> bool {
        self.choice(name, &[("on", true), ("off", false)])
    }

    /// `yes` or `no`.
    pub fn yes_or_no(&mut self, name: Name) -> bool {
        self.choice(name, &[("yes", true), ("no", false)])
    }

    fn parse<T>(
        &mut self,
        name: Name,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let parsed = match value.contains(char::is_control) {
            true => Err("without control characters (a newline, a tab, an escape)".into()),
            false => parse(value),
        };
        parsed.map_err(|should| self.complain(name, should)).ok()
    }

    /// Complains that `name` must be set, and says what it is for.
    fn missing(&mut self, name: Name) {
        // After the name: default, type and example, a line each, then the text.
        let text = TEXTS.lines().skip_while(|line| *line != name).skip(4);
        let text: Vec<&str> = text.take_while(|line| !line.is_empty()).collect();
        self.complain(name, text.join(" "));
    }

    /// Complains about those of `names` that are not set, where another one is.
    pub fn all_or_none(&mut self, names: &[Name]) {
        if names.iter().any(|name| self.set(name).is_some()) {
            self.all_of(names);
        }
    }

    /// Complains about those of `names` that are not set.
    pub fn all_of(&mut self, names: &[Name]) {
        let missing: Vec<_> = names.iter().filter(|name| self.set(name).is_none()).collect();
        missing.iter().for_each(|name| self.missing(name));
    }

    /// Whether `name` was complained of.
    pub fn is_wrong(&self, name: &str) -> bool {
        self.complaints.iter().any(|complaint| complaint.variable == name)
    }

    /// Complains about `name`, which is good by itself, unless it fits the rest.
    pub fn must_fit(&mut self, name: Name, fits: bool, should: impl Into<String>) {
        if !fits && !self.is_wrong(name) {
            self.complain(name, should);
        }
    }

    /// Complains about `name`, whatever it holds.
    fn complain(&mut self, name: Name, should: impl Into<String>) {
        let holds = self.settings.shown(name).map(|value| {
            let cut: String = value.chars().take(QUOTED).collect();
            harmless(&if cut.len() < value.len() { cut + "..." } else { cut })
        });
        self.complaints.push(Complaint {
            variable: name,
            holds,
            should: harmless(&should.into()),
        });
    }

    /// `config` when there was nothing to complain about.
    pub fn finish<T>(self, config: T) -> Result<T, Vec<Complaint>> {
        match self.complaints.is_empty() {
            true => Ok(config),
            false => Err(self.complaints),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_one_harmless_line_and_never_shows_a_secret() {
        let settings = Settings::default()
            .with("DEPLOYER_ADDR", "a\nb\u{1b}[31m")
            .with("DEPLOYER_IMAGE", &"\u{e9}".repeat(1000))
            .with("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", "hunter2");
        let mut reader = Reader::new(&settings);
        let fail = |_: &str| Err::<(), _>("better".to_owned());
        assert_eq!(
            reader.optional("DEPLOYER_ADDR", |_| Ok(())),
            None,
            "control characters never reach a parser"
        );
        reader.read("DEPLOYER_IMAGE", fail);
        reader.read("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", fail);
        reader.read("DEPLOYER_CERT_FILE", fail);
        let complaints = reader.finish(()).expect_err("four complaints");
        assert_eq!(complaints.len(), 4);
        for line in complaints.iter().map(Complaint::to_string) {
            assert!(
                !line.contains(char::is_control) && !line.contains("hunter2"),
                "{line}"
            );
            assert!(line.len() < 1000, "{line}");
        }
        assert!(
            complaints[3]
                .to_string()
                .starts_with("DEPLOYER_CERT_FILE is not set; it should be the certificate")
        );
    }
}
