//! Why a step may fail.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// Why a step did not do what it was for. Its `Display` is the outcome's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A sentence: what was being done, to what, what came back, what to do.
    Failed(String),
    /// Somebody asked for the run to end (`cancel`, TERM, INT, HUP).
    Cancelled,
    /// Time is up: what was not done within which.
    Deadline(String),
}

/// What a step gives.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Failure::Failed(sentence)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

impl From<Vec<String>> for Failure {
    fn from(sentences: Vec<String>) -> Self {
        Failure::Failed(sentences.join("; "))
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        io::Error::other(failure.to_string())
    }
}

impl Failure {
    /// A failure in one sentence.
    pub fn failed(sentence: impl Into<String>) -> Self {
        Failure::Failed(sentence.into())
    }
}

/// Fails with a sentence.
pub fn fail<T>(sentence: String) -> Result<T> {
    Err(Failure::Failed(sentence))
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(sentence) | Failure::Deadline(sentence) => f.write_str(sentence),
            Failure::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// A duration as settings write it: `15m`, `90s`, `250ms`.
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// In whole seconds.
    pub fn since(begun: Instant) -> Self {
        Self(Duration::from_secs(begun.elapsed().as_secs()))
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match (seconds, millis) {
            (0, millis) => write!(f, "{millis}ms"),
            (seconds, 0) if seconds % 60 == 0 => write!(f, "{}m", seconds / 60),
            (seconds, 0) => write!(f, "{seconds}s"),
            (seconds, millis) => write!(f, "{seconds}.{millis:03}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_spoken_as_settings_write_them() {
        for (millis, text) in [
            (0, "0ms"),
            (250, "250ms"),
            (1_500, "1.500s"),
            (90_000, "90s"),
            (900_000, "15m"),
        ] {
            assert_eq!(HumanDuration(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
