//! Saying something, and why nothing more can be said. A closed pipe is no reason to panic.

use std::io::{self, Write};

use crate::cli::args::UsageError;
use crate::cli::help::Exit;
pub use crate::os::logging::complain;

/// Why a command ended before it was done.
#[derive(Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be tried, for these reasons, a line each.
    Unable(Vec<String>),
    /// What was typed makes no sense.
    Senseless(UsageError),
    /// Standard output cannot be written, for this reason; without one, whoever read it is gone, and nobody is there to tell.
    Unread(Option<String>),
}

impl Trouble {
    /// One reason.
    pub fn unable(why: impl Into<String>) -> Self {
        Trouble::Unable(vec![why.into()])
    }
}

impl From<UsageError> for Trouble {
    fn from(error: UsageError) -> Self {
        Trouble::Senseless(error)
    }
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Trouble::unable(why)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Trouble::unable(error.to_string())
    }
}

/// Writes `text` to standard output, all of it, at once.
///
/// # Errors
/// [`Trouble::Unread`].
pub fn print(text: &str) -> Result<Exit, Trouble> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let told = |error: &io::Error| error.kind() != io::ErrorKind::BrokenPipe;
    written
        .map(|()| Exit::Done)
        .map_err(|error| Trouble::Unread(told(&error).then(|| format!("standard output: {error}"))))
}

/// Says why a command ended before it was done; with which exit status it did.
pub fn explain(trouble: Trouble) -> Exit {
    match trouble {
        Trouble::Unable(lines) => {
            lines.iter().for_each(|line| complain(line));
            Exit::Unable
        }
        Trouble::Senseless(error) => {
            complain(&error.to_string());
            Exit::Usage
        }
        Trouble::Unread(why) => {
            why.iter().for_each(|why| complain(why));
            Exit::Unknown
        }
    }
}
