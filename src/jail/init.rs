//! The first process in a sandbox: makes the mounts, drops all privileges, starts the tool, reaps, and ends when it ends.
//!
//! It is there so that the tool is not the first process: that one could outlive us by leaving its group and forgetting
//! whose death it dies of. This one has the tool's uid, so it can do nothing more than the tool; but it is not dumpable,
//! so the tool cannot look into it or attach to it, and the kernel delivers no signal of the tool's to it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::sys::prctl;
use serde::Deserialize;

use super::{JailRequest, change_directory, limit_files, limit_resources, mounts, status, with_path};
use crate::limits::MAX_SETTINGS;
use crate::os::child::{Child, Command, reap_all};
use crate::os::poll::{self, For};
use crate::os::signal::{Signal, Signals};
use crate::os::{descriptor, privilege, process};

/// The exit status of the tool.
pub fn run() -> io::Result<u8> {
    // The role is started in a shell by nobody; if it is, it must not take the host's root folder for its own.
    if process::own_pid() != 1 {
        return Err(io::Error::other("this is not the first process of a namespace"));
    }
    let mut lifeline = File::from(descriptor::adopt(0)?);
    // What follows on the pipe are signals.
    let mut json = serde_json::Deserializer::from_reader((&lifeline).take(MAX_SETTINGS as u64));
    let request = JailRequest::deserialize(&mut json)?;
    descriptor::close_inherited(&request.keeps)?;
    let identity = request
        .identity()?
        .ok_or_else(|| io::Error::other("a sandbox does not hold root"))?;
    mounts::enter(&request.sandbox.mounts.clone().unwrap_or_default())?;
    limit_resources()?;
    privilege::become_for_good(identity, &request.sandbox.groups)?;
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    limit_files()?;
    // After the change of user, which would undo it. A supervisor that died before this line is seen by its pipe.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    change_directory(&request.sandbox.directory)?;
    let signals = Signals::block(&[Signal::SIGCHLD])?;
    let tool = start(&request)?;
    wait(&tool, &signals, &mut lifeline)
}

fn start(request: &JailRequest) -> io::Result<Child> {
    let mut command = Command::tool(&request.program)
        .arguments(&request.arguments)
        .descriptor(1, io::stdout().as_fd().try_clone_to_owned()?)
        .descriptor(2, io::stderr().as_fd().try_clone_to_owned()?);
    for number in &request.keeps {
        command = command.descriptor(*number, descriptor::adopt(*number)?);
    }
    command
        .variables(&request.environment)
        .spawn()
        .map_err(|error| with_path(error, "start", &request.program))
}

/// Until the tool ends, or the supervisor is gone; with our end, the kernel ends all that is left in the sandbox.
fn wait(tool: &Child, signals: &Signals, lifeline: &mut File) -> io::Result<u8> {
    loop {
        while signals.take()?.is_some() {}
        let ended = reap_all();
        if let Some((_, exit)) = ended.into_iter().find(|(pid, _)| *pid == tool.pid()) {
            return Ok(status(exit));
        }
        let sources = [(signals.as_fd(), For::Reading), (lifeline.as_fd(), For::Reading)];
        let [_, asked] = poll::wait(sources, None)?;
        let mut number = [0];
        if !asked.any() {
            continue;
        }
        if lifeline.read(&mut number)? == 0 {
            return Err(io::Error::other("its supervisor is gone"));
        }
        if let Ok(signal) = Signal::try_from(i32::from(number[0])) {
            tool.signal(signal);
        }
    }
}
