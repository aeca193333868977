//! Starting a child, role or tool, with posix_spawn(3).
//!
//! A child gets: an empty signal mask and default signals (ours are blocked for signalfd, and a blocked TERM would be
//! inherited), exactly the environment and the descriptors that were named, and a process group of its own when it is
//! a tool. `std::process::Command` can do none of the first without `unsafe`, so nothing here uses it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::os::{descriptor, logging};

/// Survives an upgrade of the file, unlike `current_exe()`, which fails once the file was replaced.
const OURSELVES: &str = "/proc/self/exe";

/// Copies of descriptors for a child start here, so that no copy is in the way of another's target.
const PARKED: RawFd = 64;

/// Which process group a child joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Ours: a role.
    Ours,
    /// A new one, named after the child: a tool, which may have children that we must be able to end.
    Own,
    /// A new session as well: a role that outlives us, our terminal and its Ctrl-C, from its first instruction on.
    Session,
}

/// glibc's and musl's `POSIX_SPAWN_SETSID`, which nix does not name.
const SETSID: PosixSpawnFlags = PosixSpawnFlags::from_bits_retain(0x80);

/// A child to be started.
#[derive(Debug)]
pub struct Command {
    program: PathBuf,
    arguments: Vec<CString>,
    environment: Vec<CString>,
    descriptors: Vec<(OwnedFd, RawFd)>,
    group: Group,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// exit(2) with this status.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
}

impl Exit {
    /// True for status 0 alone.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "killed by {}", signal.as_str()),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

impl Command {
    /// This executable again, as `role`. Standard streams are ours unless named with [`Command::descriptor`].
    pub fn role(role: &str) -> Self {
        Self::new(Path::new(OURSELVES), "engram-deployer", Group::Ours).argument(role)
    }

    /// The same for a role that outlives us.
    pub fn outliving_role(role: &str) -> Self {
        Self {
            group: Group::Session,
            ..Self::role(role)
        }
    }

    /// The same with the group and the streams of a tool: it becomes one, or stands for one.
    pub fn role_as_tool(role: &str) -> Self {
        Self {
            group: Group::Own,
            ..Self::role(role)
        }
    }

    /// Another program, in a process group of its own. A standard stream that is not named is `/dev/null`.
    pub fn tool(program: &Path) -> Self {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_owned();
        Self::new(program, name, Group::Own)
    }

    fn new(program: &Path, name: impl AsRef<OsStr>, group: Group) -> Self {
        let command = Self {
            program: program.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            descriptors: Vec::new(),
            group,
        };
        command.argument(name)
    }

    /// Adds an argument. One with a NUL in it ends there; nothing that reaches this may contain one.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(c_string(argument.as_ref().as_bytes()));
        self
    }

    /// Adds several arguments.
    pub fn arguments<A: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = A>) -> Self {
        arguments.into_iter().fold(self, Self::argument)
    }

    /// Adds a variable to the otherwise empty environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment
            .push(c_string(format!("{name}={value}").as_bytes()));
        self
    }

    /// Lets a role of ours know who reads its standard error, which is ours: nothing else of our environment.
    pub fn logging_as_we_do(self) -> Self {
        match logging::for_roles() {
            Some((name, value)) => self.variable(name, &value),
            None => self,
        }
    }

    /// Hands `descriptor` over; the child finds it under the number `target`.
    pub fn descriptor(mut self, target: RawFd, descriptor: OwnedFd) -> Self {
        self.descriptors.push((descriptor, target));
        self
    }

    /// Starts it. Our copies of the descriptors are closed when this returns.
    ///
    /// # Errors
    /// Those of fork(2) and, because posix_spawn(3) reports them, of execve(2): a program that does not exist or
    /// cannot be executed is an error here and not a child that exits with 127.
    pub fn spawn(self) -> io::Result<Child> {
        let mut actions = PosixSpawnFileActions::init()?;
        let mut parked = Vec::new();
        if self.group == Group::Own {
            for stream in 0..=2 {
                actions.add_open(stream, "/dev/null", OFlag::O_RDWR, Mode::empty())?;
            }
        }
        for (ours, target) in &self.descriptors {
            let copy = descriptor::duplicate_above(ours.as_fd(), PARKED)?;
            actions.add_dup2(copy.as_raw_fd(), *target)?;
            parked.push(copy);
        }
        let pid = posix_spawn(
            self.program.as_path(),
            &actions,
            &attributes(self.group)?,
            &self.arguments,
            &self.environment,
        )?;
        Ok(Child {
            pid,
            group: self.group,
            ended: None,
        })
    }
}

fn attributes(group: Group) -> io::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    let mut flags = PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&SigSet::all())?;
    match group {
        Group::Ours => {}
        Group::Own => {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
            attributes.set_pgroup(Pid::from_raw(0))?;
        }
        Group::Session => flags |= SETSID,
    }
    attributes.set_flags(flags)?;
    Ok(attributes)
}

fn c_string(bytes: &[u8]) -> CString {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    CString::new(&bytes[..end]).unwrap_or_default()
}

/// A started child. Dropping it neither ends nor reaps it.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    group: Group,
    ended: Option<Exit>,
}

impl Child {
    /// Its process id, and that of its group when it has its own.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<Exit>> {
        self.reap(Some(WaitPidFlag::WNOHANG))
    }

    /// Waits for its end. Only for children that end soon by themselves.
    pub fn wait(&mut self) -> io::Result<Exit> {
        loop {
            if let Some(exit) = self.reap(None)? {
                return Ok(exit);
            }
        }
    }

    /// Sends `signal` to the child alone. A child that has ended already is no error.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            let _ = kill(self.pid, signal);
        }
    }

    /// Sends `signal` to its process group, which may outlive it.
    pub fn signal_group(&self, signal: Signal) {
        if self.group == Group::Own {
            let _ = killpg(self.pid, signal);
        }
    }

    /// True while any process of its group lives, zombies included.
    pub fn group_lives(&self) -> bool {
        self.group == Group::Own && killpg(self.pid, None) != Err(Errno::ESRCH)
    }

    fn reap(&mut self, flag: Option<WaitPidFlag>) -> io::Result<Option<Exit>> {
        if self.ended.is_none() {
            self.ended = match waitpid(self.pid, flag) {
                Ok(WaitStatus::Exited(_, code)) => Some(Exit::Code(code)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(Exit::Signal(signal as i32)),
                Ok(_) | Err(Errno::EINTR) => None,
                Err(error) => return Err(error.into()),
            };
        }
        Ok(self.ended)
    }
}

/// Reaps every child that has ended and is nobody's business any more; their process ids.
pub fn reap_all() -> Vec<(i32, Exit)> {
    let mut ended = Vec::new();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => ended.push((pid.as_raw(), Exit::Code(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                ended.push((pid.as_raw(), Exit::Signal(signal as i32)))
            }
            _ => return ended,
        }
    }
}

/// The file that `program` names: itself when it has a slash, else the first executable of that name on `path`.
pub fn find_program(program: &Path, path: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_owned());
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|candidate| {
            candidate
                .metadata()
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn output(command: Command) -> String {
        let (reader, writer) = descriptor::pipe().unwrap();
        let mut child = command.descriptor(1, writer).spawn().unwrap();
        let mut text = String::new();
        std::fs::File::from(reader).read_to_string(&mut text).unwrap();
        assert!(child.wait().unwrap().is_success());
        text
    }

    #[test]
    fn a_tool_gets_only_the_named_environment_and_descriptors() {
        let shell = Command::tool(Path::new("/bin/sh")).variable("ONLY", "this");
        let text = output(shell.arguments(["-c", "env | grep -v ^PWD= | grep -v ^_="]));
        assert_eq!(text, "ONLY=this\n");
        let ours = descriptor::duplicate_above(std::io::stdin().as_fd(), 90).unwrap();
        let text = output(Command::tool(Path::new("/bin/ls")).argument("/proc/self/fd"));
        let numbers: Vec<i32> = text.lines().map(|line| line.parse().unwrap()).collect();
        assert!(
            numbers.contains(&1) && !numbers.contains(&ours.as_raw_fd()),
            "{numbers:?}"
        );
        assert!(
            !numbers
                .iter()
                .any(|number| (PARKED..PARKED + 10).contains(number)),
            "{numbers:?}"
        );
    }

    #[test]
    fn a_tool_dies_of_term_although_we_block_it() {
        let mut blocked = SigSet::empty();
        blocked.add(Signal::SIGTERM);
        blocked.thread_block().unwrap();
        let mut child = Command::tool(Path::new("/bin/sleep"))
            .argument("60")
            .spawn()
            .unwrap();
        child.signal_group(Signal::SIGTERM);
        assert_eq!(child.wait().unwrap(), Exit::Signal(Signal::SIGTERM as i32));
        blocked.thread_unblock().unwrap();
    }

    #[test]
    fn a_role_that_outlives_us_has_a_session_of_its_own() {
        let own = Command {
            group: Group::Session,
            ..Command::tool(Path::new("/bin/sh"))
        };
        let text = output(own.arguments(["-c", "cut -d ' ' -f 6 /proc/$$/stat; echo $$"]));
        let numbers: Vec<&str> = text.lines().collect();
        assert_eq!(numbers[0], numbers[1], "the session is named after the child");
    }

    #[test]
    fn crossing_descriptor_numbers_reach_their_targets() {
        let (a_reader, a_writer) = descriptor::pipe().unwrap();
        let (b_reader, b_writer) = descriptor::pipe().unwrap();
        // Each is asked for under the other's number.
        let (a, b) = (a_writer.as_raw_fd(), b_writer.as_raw_fd());
        let script = format!("echo a >&{b}; echo b >&{a}");
        let command = Command::tool(Path::new("/bin/bash")).arguments(["-c", &script]);
        command
            .descriptor(b, a_writer)
            .descriptor(a, b_writer)
            .spawn()
            .unwrap()
            .wait()
            .unwrap();
        for (reader, expected) in [(a_reader, "a\n"), (b_reader, "b\n")] {
            let mut text = String::new();
            std::fs::File::from(reader).read_to_string(&mut text).unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_missing_program_is_an_error_of_the_start() {
        let error = Command::tool(Path::new("/nowhere/at-all")).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
