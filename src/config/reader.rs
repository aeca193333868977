//! Reads settings one by one and collects every complaint, so that an operator mends them all in one go.

use std::fmt;

use super::Settings;
use super::table::{self, Preset};
use crate::event::harmless;

/// What is wrong with one variable, for the operator: one line when shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The variable.
    pub variable: &'static str,
    /// What it holds, made harmless and cut; `None` when it is not set. Never a secret.
    pub holds: Option<String>,
    /// What it should be.
    pub should: String,
}

/// Characters of a value that a complaint quotes.
const QUOTED: usize = 200;

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
    pub fn set(&self, name: &'static str) -> Option<&'a str> {
        self.settings.get(name)
    }

    /// The value of `name`, or its default, through `parse`, whose error says what it should be.
    /// `None` only after a complaint.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match (
            self.set(name),
            table::variable(name).map(|variable| variable.preset),
        ) {
            (Some(value), _) => self.parse(name, value, parse),
            (None, Some(Preset::Text(value))) => self.parse(name, value, parse),
            (None, _) => {
                self.missing(name);
                None
            }
        }
    }

    /// The same where nothing is an answer too: the default is not asked. The outer `None` only after a complaint.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        match self.set(name) {
            Some(value) => self.parse(name, value, parse).map(Some),
            None => Some(None),
        }
    }

    fn parse<T>(
        &mut self,
        name: &'static str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if value.contains(char::is_control) {
            self.complain(name, "without control characters (a newline, a tab, an escape)");
            return None;
        }
        parse(value).map_err(|should| self.complain(name, should)).ok()
    }

    /// Complains that `name` must be set, with its meaning.
    pub fn missing(&mut self, name: &'static str) {
        self.complain(
            name,
            table::variable(name).map_or("set", |variable| variable.meaning),
        );
    }

    /// Complains about `name`, whatever it holds.
    pub fn complain(&mut self, name: &'static str, should: impl Into<String>) {
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
    pub fn finish<T>(self, config: Option<T>) -> Result<T, Vec<Complaint>> {
        match config {
            Some(config) if self.complaints.is_empty() => Ok(config),
            _ => Err(self.complaints),
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
            reader.read("DEPLOYER_ADDR", |_| Ok(())),
            None,
            "control characters never reach a parser"
        );
        reader.read("DEPLOYER_IMAGE", fail);
        reader.read("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", fail);
        reader.read("DEPLOYER_CERT_FILE", fail);
        let complaints = reader.finish(Some(())).expect_err("four complaints");
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
