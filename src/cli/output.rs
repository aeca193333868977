//! What a command writes, and why it ended before it was done. A closed pipe is no reason to panic.

use std::io::{self, Write};

use crate::cli::help::ExitStatus;
pub use crate::os::logging::complain;

/// Why a command ended before it was done.
#[derive(Debug, PartialEq, Eq)]
pub enum CommandError {
    /// It could not be tried, for these reasons, a line each.
    Unable(Vec<String>),
    /// What was typed makes no sense.
    Usage(String),
    /// Standard output cannot be written, for this reason; without one, its reader is gone, and nobody is there to tell.
    StdoutClosed(Option<String>),
}

impl From<String> for CommandError {
    fn from(why: String) -> Self {
        CommandError::Unable(vec![why])
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        error.to_string().into()
    }
}

/// Writes `text` to standard output, all of it, at once.
///
/// # Errors
/// [`CommandError::StdoutClosed`].
pub fn print(text: &str) -> Result<ExitStatus, CommandError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitStatus::Done),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CommandError::StdoutClosed(None)),
        Err(error) => Err(CommandError::StdoutClosed(Some(format!(
            "standard output: {error}"
        )))),
    }
}

/// Writes why a command ended before it was done to standard error; the exit status that says so.
pub fn report(error: CommandError) -> ExitStatus {
    let (lines, status) = match error {
        CommandError::Unable(lines) => (lines, ExitStatus::Unable),
        CommandError::Usage(line) => (vec![line], ExitStatus::Usage),
        CommandError::StdoutClosed(line) => (line.into_iter().collect(), ExitStatus::Unknown),
    };
    lines.iter().for_each(|line| complain(line));
    status
}
