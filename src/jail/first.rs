//! The first process within: raises the walls, gives everything up, starts the tool, reaps, and ends when it ends.
//!
//! It is there so that the tool is not the first process: that one could outlive us by leaving its group and forgetting
//! whose death it dies of. This one has the tool's uid, so it can do nothing more than the tool; but it is not dumpable,
//! so the tool cannot look into it or attach to it, and the kernel delivers no signal of the tool's to it.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::sys::prctl;

use crate::jail::{JailRequest, keep_few, keep_modest, stand_in, status, told, walls};
use crate::limits::MAX_SETTINGS;
use crate::os::child::{Child, Command, reap_all};
use crate::os::poll::{self, For};
use crate::os::signal::{Signal, Signals};
use crate::os::{descriptor, privilege, process};

/// Its whole life; the exit status of the tool.
pub(super) fn live() -> io::Result<u8> {
    // The role is started in a shell by nobody; if it is, it must not take the host's root folder for its own.
    if process::own_pid() != 1 {
        return Err(io::Error::other("this is not the first process of a namespace"));
    }
    let mut lifeline = File::from(descriptor::adopt(0)?);
    let order = order(&mut lifeline)?;
    descriptor::close_inherited(&order.keeps)?;
    let identity = order
        .identity()?
        .ok_or_else(|| io::Error::other("walls do not hold root"))?;
    walls::raise(&order.cell.walls.clone().unwrap_or_default())?;
    keep_few()?;
    privilege::become_for_good(identity, &order.cell.groups)?;
    prctl::set_no_new_privs()?;
    prctl::set_dumpable(false)?;
    keep_modest()?;
    // After the change of user, which would undo it. A keeper that died before this line is seen by its pipe.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    stand_in(&order.cell.directory)?;
    let signals = Signals::block(&[Signal::SIGCHLD])?;
    let tool = start(&order)?;
    wait(&tool, &signals, &mut lifeline)
}

/// The length, then the order. The pipe stays open: what follows are signals.
fn order(lifeline: &mut File) -> io::Result<JailRequest> {
    let mut length = [0; 4];
    lifeline.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_SETTINGS {
        return Err(io::Error::other("the order is too long"));
    }
    let mut json = vec![0; length];
    lifeline.read_exact(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

fn start(order: &JailRequest) -> io::Result<Child> {
    let mut command = Command::tool(&order.program)
        .arguments(&order.arguments)
        .descriptor(1, io::stdout().as_fd().try_clone_to_owned()?)
        .descriptor(2, io::stderr().as_fd().try_clone_to_owned()?);
    for number in &order.keeps {
        command = command.descriptor(*number, descriptor::adopt(*number)?);
    }
    command
        .variables(&order.environment)
        .spawn()
        .map_err(|error| told(error, "start", &order.program))
}

/// Until the tool ends, or the keeper is gone; with our end, all that is left within is killed.
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
        if asked.any() && lifeline.read(&mut number)? == 0 {
            return Err(io::Error::other("its keeper is gone"));
        }
        if let Some(signal) = Signal::try_from(i32::from(number[0]))
            .ok()
            .filter(|_| asked.any())
        {
            tool.signal(signal);
        }
    }
}
