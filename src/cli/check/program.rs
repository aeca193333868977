//! Asking a program for its version: one that says little, and ends soon.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use crate::config::DeployConfig;
use crate::limits::{MAX_VERSION, VERSION_DEADLINE};
use crate::os::child::{Command, Exit};
use crate::os::descriptor;
use crate::os::poll::{self, For};
use crate::os::signal::Signal;

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
    let (reader, writer) = descriptor::pipe()?;
    let errors = writer.try_clone()?;
    let mut child = command.descriptor(1, writer).descriptor(2, errors).spawn()?;
    let said = read(reader, Instant::now() + VERSION_DEADLINE)?;
    if said.is_none() {
        child.signal_group(Signal::SIGKILL);
    }
    let exit = child.wait()?;
    let text = |said: Vec<u8>| String::from_utf8_lossy(&said).into_owned();
    Ok(said.map_or(Answer::Silent, |said| Answer::Ended(exit, text(said))))
}

/// Everything up to end of file; `None` when that does not come in time, or never stops.
fn read(reader: OwnedFd, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::from(reader);
    let (mut said, mut part) = (Vec::new(), [0u8; 1024]);
    loop {
        let [ready] = poll::wait([(file.as_fd(), For::Reading)], Some(until))?;
        if !ready.any() || said.len() > MAX_VERSION {
            return Ok(None);
        }
        match file.read(&mut part)? {
            0 => return Ok(Some(said)),
            count => said.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
}
