//! Texts that keep a rule, so that whoever works with one need not ask again.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

/// What a text must be.
pub trait TextRule {
    /// In words that a caller can be told.
    const SENTENCE: &'static str;

    fn admits(text: &str) -> bool;

    /// How a person is shown it.
    fn shown(text: &str) -> &str {
        text
    }
}

/// A text that keeps the rule `R`, wherever it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String", bound = "R: TextRule + Clone")]
pub struct CheckedText<R>(String, PhantomData<R>);

impl<R> CheckedText<R> {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<R: TextRule> TryFrom<String> for CheckedText<R> {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match R::admits(&text) {
            true => Ok(Self(text, PhantomData)),
            false => Err(R::SENTENCE),
        }
    }
}

impl<R> From<CheckedText<R>> for String {
    fn from(text: CheckedText<R>) -> String {
        text.0
    }
}

impl<R: TextRule> fmt::Display for CheckedText<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(R::shown(&self.0))
    }
}

/// True for lower-case hex digits and nothing else.
pub fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// True for `sha256:` and 64 lower-case hex digits.
pub fn is_sha256(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.len() == 64 && is_hex(digits)
}
