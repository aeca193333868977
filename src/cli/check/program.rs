//! Asking a program for its version: one that says little, and ends soon.

use std::io;
use std::time::Instant;

use crate::config::DeployConfig;
use crate::limits::{MAX_VERSION, VERSION_DEADLINE};
use crate::os::child::{self, Command, Exit};

/// Where a run looks for programs.
pub fn path(deploy: &DeployConfig) -> &str {
    let mut environment = deploy.environment.iter();
    let path = environment.find(|(name, _)| name == "PATH");
    path.map_or("", |(_, path)| path)
}

/// What stands last of what it said.
pub fn last_line(said: &str) -> &str {
    said.trim_end().lines().last().unwrap_or("nothing")
}

/// What came of asking.
pub enum Answer {
    /// How it ended, and what it said, on either stream.
    Ended(Exit, String),
    /// Its time was up.
    Silent,
}

/// Runs a tool that says little and ends soon; it is killed when it does not.
pub fn task(command: Command) -> io::Result<Answer> {
    let output = child::output(command, MAX_VERSION, Instant::now() + VERSION_DEADLINE)?;
    Ok(match output.bytes {
        Some(said) => Answer::Ended(output.exit, String::from_utf8_lossy(&said).into_owned()),
        None => Answer::Silent,
    })
}
