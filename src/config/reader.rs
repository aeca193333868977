//! Reads settings one by one and collects every complaint, so that an operator can correct them all in one go.
//!
//! What is wrong reads as a placeholder beside its complaint; no [`Config`](super::Config) comes of settings that are
//! complained of. A complaint is one line, and says what `contrib/settings.txt` says.

use super::Settings;
use super::table::{self, Preset};
use crate::event::harmless;

/// The name of a variable, as the table has it.
pub type Name = &'static str;

const TEXTS: &str = include_str!("../../contrib/settings.txt");

pub struct Reader<'a> {
    pub settings: &'a Settings,
    complaints: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        let complaints = Vec::new();
        Reader { settings, complaints }
    }

    pub fn is_set(&self, name: Name) -> bool {
        self.settings.get(name).is_some()
    }

    /// The value of `name`, or its default; it must be set where there is none.
    pub fn read<T: Default>(&mut self, name: Name, parse: impl Fn(&str) -> Option<T>) -> T {
        let read = match table::preset(name) {
            Some(Preset::Text(text)) if !self.is_set(name) => parse(text),
            _ => {
                self.require(&[name]);
                self.optional(name, parse)
            }
        };
        read.unwrap_or_default()
    }

    /// The same where nothing is an answer too.
    pub fn optional<T>(&mut self, name: Name, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.settings.get(name)?;
        let is_plain = |text: &&str| !text.contains(char::is_control);
        let parse = |text: &str| Some(text).filter(is_plain).and_then(&parse);
        let value = parse(text);
        if value.is_none() {
            let mut should = explained(name);
            let entries = self.settings.shown(name)?.split(',').map(str::trim);
            let is_wrong = |one: &&str| !one.is_empty() && parse(one).is_none();
            let wrong: Vec<&str> = entries.filter(is_wrong).collect();
            if text.contains(',') && !wrong.is_empty() {
                should += &format!(" (wrong: {:.200})", wrong.join(", "));
            }
            self.complain(name, &should);
        }
        value
    }

    /// One of a few words.
    pub fn choice<T: Copy + Default>(&mut self, name: Name, choices: &[(&str, T)]) -> T {
        self.read(name, |text| {
            let chosen = choices.iter().find(|(word, _)| *word == text);
            chosen.map(|(_, value)| *value)
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

    /// Complains about those of `names` that are not set.
    pub fn require(&mut self, names: &[Name]) {
        for name in names {
            if !self.is_set(name) {
                self.complain(name, &explained(name));
            }
        }
    }

    /// The same where another one of them is set.
    pub fn all_or_none(&mut self, names: &[Name]) {
        if names.iter().any(|name| self.is_set(name)) {
            self.require(names);
        }
    }

    /// Complains about `name`, unless it fits the rest or is wrong by itself.
    pub fn must_fit(&mut self, name: Name, fits: bool, should: &str) {
        let is_wrong = |line: &String| line.split(' ').next() == Some(name);
        if !fits && !self.complaints.iter().any(is_wrong) {
            self.complain(name, should);
        }
    }

    /// Complains about each of them that is the same as one before it.
    pub fn must_differ<T: PartialEq>(&mut self, all: &[(Name, T)]) {
        for (at, (name, value)) in all.iter().enumerate() {
            if let Some((other, _)) = all[..at].iter().find(|(_, other)| other == value) {
                self.must_fit(name, false, &format!("another one than {other}"));
            }
        }
    }

    fn complain(&mut self, name: Name, should: &str) {
        let shown = self.settings.shown(name);
        let holds = shown.map_or("not set".into(), |value| format!("`{value:.200}`"));
        let line = format!("{name} is {holds}; it should be {should}");
        self.complaints.push(harmless(&line));
    }

    /// `config` when there was nothing to complain about.
    pub fn finish<T>(self, config: T) -> Result<T, Vec<String>> {
        match self.complaints.is_empty() {
            true => Ok(config),
            false => Err(self.complaints),
        }
    }
}

/// What a setting should be: its type, an example, and what it is for.
fn explained(name: Name) -> String {
    // Before that: its name, its default and who reads it, a line each.
    let lines = TEXTS.lines().skip_while(|line| *line != name).skip(3);
    let mut lines = lines.take_while(|line| !line.is_empty());
    let mut value = || lines.next()?.split_once(": ").map(|(_, value)| value);
    let (kind, example) = (value().unwrap_or_default(), value().unwrap_or_default());
    let about: Vec<&str> = lines.collect();
    format!("{kind}, such as `{example}`: {}", about.join(" "))
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
        let fail = |_: &str| None::<()>;
        assert_eq!(
            reader.optional("DEPLOYER_ADDR", |_| Some(())),
            None,
            "control characters never reach a parser"
        );
        reader.read("DEPLOYER_IMAGE", fail);
        reader.read("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", fail);
        reader.read("DEPLOYER_CERT_FILE", fail);
        let complaints = reader.finish(()).expect_err("four complaints");
        assert_eq!(complaints.len(), 4);
        for line in &complaints {
            assert!(
                !line.contains(char::is_control) && !line.contains("hunter2"),
                "{line}"
            );
            assert!(line.len() < 1000, "{line}");
        }
        let begin = "DEPLOYER_CERT_FILE is not set; it should be an absolute path, or cred:NAME ";
        assert!(complaints[3].starts_with(begin) && complaints[3].ends_with(": the certificate chain, PEM"));
    }

    #[test]
    fn every_bad_entry_of_a_list_is_named() {
        let list = "10.0.0.0/99,192.0.2.1,nonsense,,";
        let settings = Settings::default().with("DEPLOYER_ALLOWED_IPS", list);
        let mut reader = Reader::new(&settings);
        reader.read("DEPLOYER_ALLOWED_IPS", crate::config::Sources::parse);
        let complaint = reader.finish(()).expect_err("two bad entries").concat();
        assert!(
            complaint.ends_with(" (wrong: 10.0.0.0/99, nonsense)"),
            "{complaint}"
        );
    }
}
