//! Outside the sandbox: starts its first process, forwards signals, waits, and ends as the tool ended.
//!
//! It and the first process are of one process group, that of the tool as `run` knows it: a KILL of the group is the end
//! of all, and the group is empty only when the last process within has ended. Signals to the group reach the tool once,
//! because it has a group of its own, the first process ignores them, and only the supervisor forwards them, through the pipe
//! that is also the first process's lifeline.

use std::io::{self, Write};
use std::os::fd::AsFd;

use super::{INIT, JailRequest, ROLE, status};
use crate::os::child::Command;
use crate::os::namespace;
use crate::os::poll::{self, For};
use crate::os::signal::{Signal, Signals};

/// The exit status of the tool.
pub fn run(request: &JailRequest) -> io::Result<u8> {
    let signals = Signals::block(&[Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM])?;
    namespace::unshare_processes().map_err(|error| {
        io::Error::other(format!(
            "make a PID namespace: {error}; a service manager may forbid it (RestrictNamespaces=, CapabilityBoundingSet=)"
        ))
    })?;
    let (reader, mut lifeline) = io::pipe()?;
    let mut init = Command::role(ROLE)
        .argument(INIT)
        .descriptor(0, reader)
        .descriptor(1, io::stdout().as_fd().try_clone_to_owned()?)
        .descriptor(2, io::stderr().as_fd().try_clone_to_owned()?)
        .spawn()?;
    // After its reader is there: a pipe may hold less than a request. Should that one have died, its end says so.
    let _ = lifeline.write_all(&serde_json::to_vec(request)?);
    loop {
        // In this order: its end may be the signal that is read here.
        while let Some(signal) = signals.take()? {
            if signal != Signal::SIGCHLD {
                // The first process may just have ended.
                let _ = lifeline.write_all(&[signal as i32 as u8]);
            }
        }
        if let Some(exit) = init.try_wait()? {
            return Ok(status(exit));
        }
        poll::wait([(signals.as_fd(), For::Reading)], None)?;
    }
}
