//! Outside the walls: starts the jail's first process, hands asks to end on, waits, ends as the tool ended.
//!
//! It and the first process are of one process group, that of the tool as `run` knows it: a KILL of the group is the end
//! of all, and the group is empty only when the last process within has ended. Signals to the group reach the tool once,
//! because it has a group of its own, the first process heeds none, and only the keeper hands them on, through the pipe
//! that is also the first process's lifeline.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use crate::jail::{FIRST, JailRequest, ROLE, status};
use crate::os::child::Command;
use crate::os::poll::{self, For};
use crate::os::signal::{Signal, Signals};
use crate::os::{descriptor, namespace};

/// The keeper's whole life; the exit status of the tool.
pub(super) fn keep(order: &JailRequest) -> io::Result<u8> {
    let signals = Signals::block(&[Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM])?;
    namespace::unshare_processes().map_err(|error| no_namespace(&error))?;
    let json = serde_json::to_vec(order)?;
    let (reader, lifeline) = descriptor::pipe()?;
    let mut lifeline = File::from(lifeline);
    let length = u32::try_from(json.len()).map_err(io::Error::other)?;
    let mut first = Command::role(ROLE)
        .argument(FIRST)
        .descriptor(0, reader)
        .spawn()?;
    // With its reader there: a pipe may hold less than an order. Should that one have died, its end says so.
    let _ = lifeline.write_all(&[&length.to_le_bytes(), json.as_slice()].concat());
    loop {
        // In this order: its end may be the signal that is read here.
        while let Some(signal) = signals.take()? {
            if signal != Signal::SIGCHLD {
                // The first process may just have ended.
                let _ = lifeline.write_all(&[signal as i32 as u8]);
            }
        }
        if let Some(exit) = first.try_wait()? {
            return Ok(status(exit));
        }
        poll::wait([(signals.as_fd(), For::Reading)], None)?;
    }
}

fn no_namespace(error: &io::Error) -> io::Error {
    let hint =
        "a service manager may forbid it (RestrictNamespaces=, CapabilityBoundingSet= without CAP_SYS_ADMIN)";
    io::Error::other(format!("make a PID namespace: {error}; {hint}"))
}
