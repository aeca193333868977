//! The words of the fleet: names that cannot be wrong, and messages. Bytes in, facts out; no I/O and no clock.

pub mod discovery;
pub mod message;
pub mod names;
pub mod subject;
pub mod time;

pub use discovery::{Answer, Ask, Discovery, Last, Running};
pub use message::{Code, Request, Response, Status};
pub use names::{Action, Hostname, Revision, Role, RunId, Tier};
pub use subject::{ReplyTo, Subject, Target, Template};
pub use time::Time;

/// Why a text is not what it should be: one sentence for the person who typed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(pub String);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}

impl From<Invalid> for String {
    fn from(why: Invalid) -> Self {
        why.0
    }
}

/// A word of an enum, as serde spells it.
pub fn word<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, Invalid> {
    let read = T::deserialize(serde::de::value::StrDeserializer::new(text));
    read.map_err(|why: serde::de::value::Error| Invalid(format!("{what}: {why}")))
}

/// The server's refusal of a subject, in words.
pub fn forbidden(publish: bool, subject: &str) -> String {
    let what = if publish { "publish" } else { "subscribe" };
    format!("the server does not let this key {what} to {subject}")
}

/// Control and escape characters become `\u{..}`; newlines and tabs become spaces. For text of others that is printed.
pub fn harmless(text: &str) -> String {
    // Bidirectional controls reorder what a person reads.
    let reorders = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(' '),
            c if c.is_control() || reorders(c) => safe.extend(c.escape_unicode()),
            c => safe.push(c),
        }
    }
    safe
}

/// The end of a text, at most `most` bytes of it, cut between characters.
pub fn tail(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}
