//! Starting a child, role or tool, with posix_spawn(3).
//!
//! A child gets: an empty signal mask and default signals (ours are blocked for signalfd, and a blocked TERM would be
//! inherited), exactly the environment and the descriptors that were named, and a process group of its own when it is
//! a tool. `std::process::Command` can do none of the first without `unsafe`, so nothing here uses it.

use std::ffi::{CString, OsStr, OsString};
use std::fs::Metadata;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags as Flags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::stat::Mode;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::os::poll::{self, For};
use crate::os::{descriptor, logging};

/// Survives an upgrade of the file, unlike `current_exe()`, which fails once the file was replaced.
const OURSELVES: &str = "/proc/self/exe";

/// Copies of descriptors for a child start here, so that no copy has the number that another one is to get.
const PARKED: RawFd = 64;

/// Which process group a child joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Our own group: a role.
    Ours,
    /// A new one, named after the child: a tool, which may have children that we must be able to end.
    Own,
    /// A new session as well: a role that outlives us, our terminal and its Ctrl-C, from its first instruction on.
    Session,
}

/// glibc's and musl's `POSIX_SPAWN_SETSID`, which nix does not name.
const SETSID: Flags = Flags::from_bits_retain(0x80);

/// A child to be started.
#[derive(Debug)]
pub struct Command {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<OsString>,
    descriptors: Vec<(OwnedFd, RawFd)>,
    group: Group,
    keeps_stderr: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// exit(2) with this status.
    Code(i32),
    /// Killed by this signal.
    Signal(Signal),
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
            Exit::Signal(signal) => write!(f, "killed by {signal}"),
        }
    }
}

impl Command {
    /// This executable again, as `role`.
    pub fn role(role: &str) -> Self {
        Self {
            arguments: vec!["engram-deployer".into(), role.into()],
            group: Group::Ours,
            ..Self::tool(Path::new(OURSELVES))
        }
    }

    /// Another program, in a process group of its own.
    pub fn tool(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            arguments: vec![program.file_name().unwrap_or(program.as_os_str()).to_owned()],
            environment: Vec::new(),
            descriptors: Vec::new(),
            group: Group::Own,
            keeps_stderr: false,
        }
    }

    /// The process group that it joins.
    pub fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    pub fn argument(self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments([argument])
    }

    pub fn arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter();
        self.arguments
            .extend(arguments.map(|one| one.as_ref().to_owned()));
        self
    }

    /// Adds variables to the otherwise empty environment.
    pub fn variables<'a>(mut self, variables: impl IntoIterator<Item = &'a (String, String)>) -> Self {
        let texts = variables
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"));
        self.environment.extend(texts.map(OsString::from));
        self
    }

    /// A role that logs: it keeps our standard error, and is told who reads that.
    pub fn logging_as_we_do(mut self) -> Self {
        self.keeps_stderr = true;
        self.variables(&logging::for_roles())
    }

    /// Passes `descriptor`; the child finds it under the number `target`. A standard stream that is not named is `/dev/null`.
    pub fn descriptor(mut self, target: RawFd, descriptor: impl Into<OwnedFd>) -> Self {
        self.descriptors.push((descriptor.into(), target));
        self
    }

    /// Starts it. Our copies of the descriptors are closed when this returns.
    ///
    /// # Errors
    /// Those of fork(2) and, because posix_spawn(3) reports them, of execve(2): a program that does not exist or
    /// cannot be executed is an error here and not a child that exits with 127. An argument or a variable with a NUL
    /// byte is refused: it would end there.
    pub fn spawn(self) -> io::Result<Child> {
        let mut actions = PosixSpawnFileActions::init()?;
        let mut parked = Vec::new();
        for stream in 0..if self.keeps_stderr { 2 } else { 3 } {
            actions.add_open(stream, "/dev/null", OFlag::O_RDWR, Mode::empty())?;
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
            &c_strings(self.arguments)?,
            &c_strings(self.environment)?,
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
    attributes.set_sigmask(&SigSet::empty())?;
    attributes.set_sigdefault(&SigSet::all())?;
    let group = match group {
        Group::Ours => Flags::empty(),
        Group::Own => Flags::POSIX_SPAWN_SETPGROUP,
        Group::Session => SETSID,
    };
    attributes.set_flags(Flags::POSIX_SPAWN_SETSIGMASK | Flags::POSIX_SPAWN_SETSIGDEF | group)?;
    Ok(attributes)
}

fn c_strings(texts: Vec<OsString>) -> io::Result<Vec<CString>> {
    let texts = texts.into_iter();
    texts.map(|text| Ok(CString::new(text.into_vec())?)).collect()
}

/// Runs `command` to its end, with both output streams in one; kills it when it prints more than `most` bytes or still
/// has its output open at `until`: then there are no bytes.
pub fn output(command: Command, most: usize, until: Instant) -> io::Result<(Exit, Option<Vec<u8>>)> {
    let (reader, writer) = io::pipe()?;
    let errors = writer.try_clone()?;
    let mut child = command.descriptor(1, writer).descriptor(2, errors).spawn()?;
    let bytes = read_to_end(&reader, most, until);
    if !matches!(bytes, Ok(Some(_))) {
        child.signal(Signal::SIGKILL);
        child.signal_group(Signal::SIGKILL);
    }
    Ok((child.wait()?, bytes?))
}

/// `None` when that is more than `most` bytes or takes longer than `until`.
fn read_to_end(mut pipe: &PipeReader, most: usize, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let (mut bytes, mut part) = (Vec::new(), [0u8; 8192]);
    while bytes.len() <= most {
        let [ready] = poll::wait([(pipe.as_fd(), For::Reading)], Some(until))?;
        if !ready.any() {
            break;
        }
        match pipe.read(&mut part)? {
            0 => return Ok(Some(bytes)),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
    Ok(None)
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

    /// How it ended, if it has, without reaping it: until that is done, nobody else gets its process id.
    pub fn peek(&self) -> io::Result<Option<Exit>> {
        if self.ended.is_some() {
            return Ok(self.ended);
        }
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid), flags) {
            Err(Errno::EINTR) => Ok(None),
            status => Ok(exit_of(status?)),
        }
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

    fn reap(&mut self, flag: Option<WaitPidFlag>) -> io::Result<Option<Exit>> {
        if self.ended.is_none() {
            self.ended = match waitpid(self.pid, flag) {
                Err(Errno::EINTR) => None,
                status => exit_of(status?),
            };
        }
        Ok(self.ended)
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    match status {
        WaitStatus::Exited(_, code) => Some(Exit::Code(code)),
        WaitStatus::Signaled(_, signal, _) => Some(Exit::Signal(signal)),
        _ => None,
    }
}

/// Reaps every child that has ended and is nobody's business any more; their process ids.
pub fn reap_all() -> Vec<(i32, Exit)> {
    let next = || {
        let status = waitpid(None, Some(WaitPidFlag::WNOHANG)).ok()?;
        Some((status.pid()?.as_raw(), exit_of(status)?))
    };
    std::iter::from_fn(next).collect()
}

/// The file that `program` names: itself when it has a slash, else the first executable of that name on `path`.
pub fn find_program(program: &Path, path: &str) -> Option<PathBuf> {
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_owned());
    }
    let is_executable = |file: &Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.metadata().is_ok_and(|file| is_executable(&file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn printed(command: Command) -> String {
        let (exit, bytes) = output(command, 10_000, Instant::now() + Duration::from_secs(10)).unwrap();
        assert!(exit.is_success());
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    fn shell(script: &str) -> Command {
        Command::tool(Path::new("/bin/sh")).arguments(["-c", script])
    }

    #[test]
    fn a_tool_gets_only_the_named_environment_and_descriptors() {
        let text =
            printed(shell("env | grep -v ^PWD= | grep -v ^_=").variables(&[("ONLY".into(), "this".into())]));
        assert_eq!(text, "ONLY=this\n");
        let ours = descriptor::duplicate_above(std::io::stdin().as_fd(), 90).unwrap();
        let text = printed(Command::tool(Path::new("/bin/ls")).argument("/proc/self/fd"));
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
        assert_eq!(child.wait().unwrap(), Exit::Signal(Signal::SIGTERM));
        blocked.thread_unblock().unwrap();
    }

    #[test]
    fn a_role_that_outlives_us_has_a_session_of_its_own() {
        let own = shell("cut -d ' ' -f 6 /proc/$$/stat; echo $$").group(Group::Session);
        let text = printed(own);
        let numbers: Vec<&str> = text.lines().collect();
        assert_eq!(numbers[0], numbers[1], "the session is named after the child");
    }

    #[test]
    fn crossing_descriptor_numbers_reach_their_targets() {
        let (a_reader, a_writer) = io::pipe().unwrap();
        let (b_reader, b_writer) = io::pipe().unwrap();
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
            assert_eq!(io::read_to_string(reader).unwrap(), expected);
        }
    }

    #[test]
    fn what_has_ended_keeps_its_process_id_until_it_is_reaped() {
        let mut child = Command::tool(Path::new("/bin/sh"))
            .arguments(["-c", "exit 3"])
            .spawn()
            .unwrap();
        while child.peek().unwrap().is_none() {}
        assert_eq!(child.peek().unwrap(), Some(Exit::Code(3)));
        assert!(crate::os::process::start_time(child.pid()).is_some());
        assert_eq!(child.try_wait().unwrap(), Some(Exit::Code(3)));
        assert_eq!(child.peek().unwrap(), Some(Exit::Code(3)));
        assert!(crate::os::process::start_time(child.pid()).is_none());
    }

    #[test]
    fn a_missing_program_is_an_error_of_the_start() {
        let error = Command::tool(Path::new("/nowhere/at-all")).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn an_argument_with_a_nul_byte_is_refused_and_not_cut() {
        let tool = || Command::tool(Path::new("/bin/echo"));
        for command in [
            tool().argument("a\0b"),
            tool().variables(&[("NAME".into(), "a\0b".into())]),
        ] {
            assert_eq!(command.spawn().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_command_that_prints_too_much_or_takes_too_long_is_killed_with_its_group() {
        for (script, most, time) in [
            ("yes", 1000, Duration::from_secs(60)),
            ("sleep 60 & sleep 60", 1000, Duration::from_millis(50)),
            ("echo one; exit 7", 1000, Duration::from_secs(60)),
        ] {
            match output(shell(script), most, Instant::now() + time).unwrap() {
                (exit, Some(bytes)) => assert_eq!((bytes, exit), (b"one\n".to_vec(), Exit::Code(7))),
                (exit, None) => assert_eq!(exit, Exit::Signal(Signal::SIGKILL), "{script}"),
            }
        }
    }
}
