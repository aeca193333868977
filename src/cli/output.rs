//! What a command writes, and how it ends. A closed pipe is no reason to panic.

use std::fmt::Display;
use std::io::{self, Write};

use crate::event::Status;
pub use crate::os::logging::complain;

/// What an exit status says; the same for every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It is done, and it is well.
    Done,
    /// It was tried and it is not well: a failed run, a fault that `check` found, a token that would be refused.
    Failed,
    /// The arguments make no sense.
    Usage,
    /// It could not be tried: the settings are wrong, no such run, not allowed.
    Unable,
    /// It was tried, and how it ended is not known.
    Unknown,
}

impl From<Status> for ExitStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => ExitStatus::Done,
            Status::Fail => ExitStatus::Failed,
        }
    }
}

/// Why a command ended before it was done: its exit status, and a line for each reason; none where nobody is there to
/// read it.
#[derive(Debug)]
pub struct CommandError(pub ExitStatus, pub Vec<String>);

/// What a command came to; without an argument, how it ended.
pub type Result<T = ExitStatus, E = CommandError> = std::result::Result<T, E>;

/// It could not be tried.
impl<E: Display> From<E> for CommandError {
    fn from(why: E) -> Self {
        Self(ExitStatus::Unable, vec![why.to_string()])
    }
}

/// Writes `text` to standard output, all of it, at once.
pub fn print(text: &str) -> Result {
    let mut out = io::stdout().lock();
    let lines = match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => return Ok(ExitStatus::Done),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Vec::new(),
        Err(error) => vec![format!("standard output: {error}")],
    };
    Err(CommandError(ExitStatus::Unknown, lines))
}

/// Writes why a command ended before it was done to standard error; the exit status that says so.
pub fn report(CommandError(exit, lines): CommandError) -> ExitStatus {
    lines.iter().for_each(|line| complain(line));
    exit
}
