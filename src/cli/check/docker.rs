//! Docker: whether it answers, by the client and with the environment that a deploy would use.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use crate::cli::check::report::Report;
use crate::config::{Backend, DeployConfig, HealthExpect};
use crate::limits::{DOCKER_VERSION_DEADLINE, MAX_DOCKER_VERSION};
use crate::os::child::{self, Command, Exit};
use crate::os::descriptor;
use crate::os::poll::{self, For};
use crate::os::signal::Signal;

/// Asks for its version, if a deploy would ask for anything.
pub fn check(deploy: &DeployConfig, report: &mut Report) {
    if needs_docker(deploy) {
        report.found("docker", docker(deploy));
    } else {
        report.ok("docker", "not needed: the command pulls and replaces by itself");
    }
}

fn needs_docker(deploy: &DeployConfig) -> bool {
    let left_alone = matches!(deploy.backend, Backend::Command { pull: false, .. });
    !left_alone || deploy.health.expect == HealthExpect::Container
}

/// Docker's own words.
fn docker(deploy: &DeployConfig) -> Result<String, String> {
    let path = deploy
        .environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map_or("", |(_, path)| path);
    let name = deploy.docker.display();
    let client = child::find_program(&deploy.docker, path)
        .ok_or_else(|| format!("there is no `{name}` on {path}: install it, or set DEPLOYER_DOCKER_PATH"))?;
    let started = Command::tool(&client).arguments(["version", "--format", "{{.Server.Version}}"]);
    let command = deploy
        .environment
        .iter()
        .fold(started, |command, (name, value)| command.variable(name, value));
    let answer = ask(command).map_err(|error| format!("run {}: {error}", client.display()))?;
    match answer {
        Answer::Ended(Exit::Code(0), said) => Ok(format!("{} answers with version {said}", client.display())),
        Answer::Ended(exit, said) => Err(format!("`{name} version` ended with {exit}: {said}")),
        Answer::Silent => Err(format!(
            "`{name} version` did not answer within {} s: is dockerd well?",
            DOCKER_VERSION_DEADLINE.as_secs()
        )),
    }
}

enum Answer {
    /// How it ended, and the last line of what it said.
    Ended(Exit, String),
    /// Its time was up.
    Silent,
}

/// Runs a tool that says little and ends soon; it is killed when it does not.
fn ask(command: Command) -> io::Result<Answer> {
    let (reader, writer) = descriptor::pipe()?;
    let errors = writer.try_clone()?;
    let mut child = command.descriptor(1, writer).descriptor(2, errors).spawn()?;
    let said = read(reader, Instant::now() + DOCKER_VERSION_DEADLINE)?;
    if said.is_none() {
        child.signal_group(Signal::SIGKILL);
    }
    let exit = child.wait()?;
    let last = |said: Vec<u8>| {
        let text = String::from_utf8_lossy(&said).into_owned();
        text.trim_end().lines().last().unwrap_or("nothing").to_owned()
    };
    Ok(said.map_or(Answer::Silent, |said| Answer::Ended(exit, last(said))))
}

/// Everything up to end of file; `None` when that does not come in time, or never stops.
fn read(reader: OwnedFd, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::from(reader);
    let (mut said, mut part) = (Vec::new(), [0u8; 1024]);
    loop {
        let [ready] = poll::wait([(file.as_fd(), For::Reading)], Some(until))?;
        if !ready.any() || said.len() > MAX_DOCKER_VERSION {
            return Ok(None);
        }
        match file.read(&mut part)? {
            0 => return Ok(Some(said)),
            count => said.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
}
