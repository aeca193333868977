//! The role that starts a tool for terraform: as another user, and for a plan, which runs code that nobody has
//! approved, in a sandbox.
//!
//! Without a sandbox it becomes the tool: the process id stays, so that one INT to it is one INT to terraform. With one it
//! stays outside as the `supervisor`, and starts the `init` process of a new PID namespace, which makes the `mounts`, drops
//! all privileges and starts the tool. When the tool ends, or any of the two dies, the kernel ends whatever the
//! tool has started. None of them reads a byte of what the tool says, and nothing of ours is in the tool's reach.

mod init;
mod mounts;
mod supervisor;

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::iter;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, execve};
use serde::{Deserialize, Serialize};

use crate::limits::{JAIL_FILE, JAIL_OOM_SCORE, JAIL_PROCESSES};
use crate::os::child::{Command, Exit, Group};
use crate::os::privilege::{self, Identity};
use crate::os::process::is_root;
use crate::os::{descriptor, files};

/// Its word on the command line.
pub const ROLE: &str = "jail";

/// The second word of a sandbox's first process.
const INIT: &str = "init";

/// The exit status when a tool was not started; why stands on standard error, in a line that begins with
/// [`COMPLAINT`]. Neither terraform nor git ends with it.
pub const FAILED: u8 = 125;

/// How the line begins that says why a tool was not started.
pub const COMPLAINT: &str = "the sandbox was not made: ";

/// Where, and as whom, a tool is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// `None` is root, which no sandbox with mounts of its own takes.
    pub account: Option<String>,
    /// Further groups, by number.
    pub groups: Vec<u32>,
    /// What it sees of the host; `None` is everything.
    pub mounts: Option<Mounts>,
    /// Where it stands, as it sees it.
    pub directory: PathBuf,
}

/// What a tool sees of the host: its programs and `/etc`, read-only (see `mounts`), and what stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounts {
    /// MountSpec besides, also beneath what is hidden. Each must exist.
    pub shown: Vec<MountSpec>,
    /// Not shown, although programs or `/etc` lie above it. One that does not exist is no error.
    pub hidden: Vec<PathBuf>,
}

/// One file or folder that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Where it lies.
    pub real: PathBuf,
    /// Where it is seen.
    pub at: PathBuf,
    /// Whether it may be written to, as far as its modes allow. Where not, its files may be executed, and its sockets
    /// connected to.
    pub writable: bool,
}

impl MountSpec {
    /// `path` as it is, to be read.
    pub fn read_only(path: &Path) -> Self {
        Self {
            real: path.to_owned(),
            at: path.to_owned(),
            writable: false,
        }
    }
}

/// A tool, and how it is started.
#[derive(Clone, Serialize, Deserialize)]
pub struct JailRequest {
    pub sandbox: SandboxSpec,
    /// With a slash.
    pub program: PathBuf,
    /// After the program's own name.
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Descriptors beyond 2 that the tool is to have.
    pub keeps: Vec<RawFd>,
}

/// The role that starts `program` in this sandbox, with this request on standard input. `keeps` are descriptors beyond 2
/// that the tool is to have.
///
/// # Errors
/// When an argument is not UTF-8, and those of the machine.
pub fn command(
    sandbox: &SandboxSpec,
    program: &Path,
    arguments: &[OsString],
    environment: &[(String, String)],
    keeps: Vec<RawFd>,
) -> io::Result<Command> {
    let arguments = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned());
    let request = JailRequest {
        sandbox: sandbox.clone(),
        program: program.to_owned(),
        arguments: arguments.collect(),
        environment: environment.to_owned(),
        keeps,
    };
    let request = descriptor::memory_file(&serde_json::to_vec(&request)?)?;
    Ok(Command::role(ROLE).group(Group::Own).descriptor(0, request))
}

impl JailRequest {
    /// Who the tool runs as; `None` is root, or ourselves where we are not root.
    fn identity(&self) -> io::Result<Option<Identity>> {
        self.sandbox
            .account
            .as_deref()
            .map(privilege::identity)
            .transpose()
    }
}

/// The role itself.
pub fn role() -> ExitCode {
    let ended = match std::env::args().nth(2).as_deref() {
        Some(INIT) => init::run(),
        _ => begin(),
    };
    ExitCode::from(ended.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "{COMPLAINT}{error}");
        FAILED
    }))
}

fn begin() -> io::Result<u8> {
    let request: JailRequest = serde_json::from_slice(&descriptor::take_stdin()?)?;
    descriptor::close_inherited(&request.keeps)?;
    match request.sandbox.mounts {
        Some(_) => supervisor::run(&request),
        None => exec_tool(&request),
    }
}

/// Never returns but with an error. SIGPIPE stays ignored, as Rust's start left it; terraform (Go) and git set their own.
fn exec_tool(request: &JailRequest) -> io::Result<u8> {
    let identity = request.identity()?;
    if let Some(identity) = identity.filter(|_| is_root()) {
        privilege::become_for_good(identity, &request.sandbox.groups)?;
    }
    if !is_root() {
        prctl::set_no_new_privs()?;
    }
    limit_files()?;
    change_directory(&request.sandbox.directory)?;
    let name = request.program.file_name().unwrap_or_default().to_string_lossy();
    let argv = iter::once(name.into_owned()).chain(request.arguments.iter().cloned());
    let variables = request
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let program = CString::new(request.program.as_os_str().as_bytes())?;
    let Err(error) = execve(&program, &c_strings(argv)?, &c_strings(variables)?);
    Err(with_path(error.into(), "start", &request.program))
}

fn c_strings(texts: impl Iterator<Item = String>) -> io::Result<Vec<CString>> {
    Ok(texts.map(CString::new).collect::<Result<_, _>>()?)
}

/// What holds for every tool: what it writes is its own, and a crash leaves no copy of its memory.
fn limit_files() -> io::Result<()> {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// A plan's tools may not fill the host's table of processes either, nor make a file that nobody can read to its end; and
/// they are the first to go when memory is short.
fn limit_resources() -> io::Result<()> {
    let scores = Path::new("/proc/self/oom_score_adj");
    std::fs::write(scores, JAIL_OOM_SCORE).map_err(|error| with_path(error, "write", scores))?;
    setrlimit(Resource::RLIMIT_FSIZE, JAIL_FILE, JAIL_FILE)?;
    Ok(setrlimit(Resource::RLIMIT_NPROC, JAIL_PROCESSES, JAIL_PROCESSES)?)
}

fn change_directory(directory: &Path) -> io::Result<()> {
    chdir(directory).map_err(|error| with_path(error.into(), "change to", directory))
}

/// A tool's end as an exit status of ours: 128 and the signal, as a shell has it.
fn status(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Exit::Signal(signal) => u8::try_from(128 + signal as i32).unwrap_or(u8::MAX),
    }
}

fn with_path(error: io::Error, doing: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), files::describe(&error, doing, path))
}
