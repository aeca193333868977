//! What a step does to the world, and why it may fail.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// What a step does to the world; it decides what a cancellation may do to the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing outside changes. While no other step has changed anything, a cancellation ends it in its middle.
    Looks,
    /// Something that serves people changes. The journal is on disk before it begins; a cancellation waits for its
    /// end, and then everything goes back, unless it was the last of these.
    Changes,
}

/// Why a step did not do what it was for. Its `Display` is the outcome's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A sentence: what was being done, to what, what came back, what to do.
    Failed(String),
    /// Somebody asked for the run to end (`cancel`, TERM, INT, HUP).
    Cancelled,
    /// Time is up.
    Deadline {
        /// What was not done in time: ``docker pull``, `the run`.
        what: String,
        /// How long it was given.
        given: Duration,
    },
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
            Failure::Failed(sentence) => f.write_str(sentence),
            Failure::Cancelled => f.write_str("cancelled"),
            Failure::Deadline { what, given } => {
                write!(f, "{what} was not done within {}", HumanDuration(*given))
            }
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
