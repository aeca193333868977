//! The role that starts a tool for terraform: as another user, and for a plan, which runs code that nobody has
//! approved, within walls.
//!
//! Without walls it becomes the tool: the process id stays, so that one INT to it is one INT to terraform. With walls it
//! stays outside as the `keeper`, and starts the `first` process of a new PID namespace, which raises the `walls`,
//! gives all privileges up and starts the tool. When the tool ends, or any of the two dies, the kernel ends whatever the
//! tool has started. None of them reads a byte of what the tool says, and nothing of ours is in the tool's reach.

mod first;
mod keeper;
mod walls;

use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, execve};
use serde::{Deserialize, Serialize};

use crate::config::Account;
use crate::limits::{JAIL_FILE, JAIL_OOM_SCORE, JAIL_PROCESSES};
use crate::os::child::{Command, Exit, Group};
use crate::os::descriptor;
use crate::os::privilege::{self, Identity};
use crate::os::process::is_root;

/// Its word on the command line.
pub const ROLE: &str = "jail";

/// The second word of a jail's first process.
const FIRST: &str = "first";

/// The exit status when a tool was not started; why stands on standard error, in a line that begins with
/// [`COMPLAINT`]. Neither terraform nor git ends with it.
pub const FAILED: u8 = 125;

/// How the line begins that says why a tool was not started.
pub const COMPLAINT: &str = "the jail was not built: ";

/// Where, and as whom, a tool is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// `None` is root; walls want somebody else.
    pub account: Option<Account>,
    /// Further groups, by number.
    pub groups: Vec<u32>,
    /// What it sees of the host; `None` is everything.
    pub walls: Option<Walls>,
    /// Where it stands, as it sees it.
    pub directory: PathBuf,
}

/// What a tool sees of the host: its programs and `/etc`, read-only (see `walls`), and what stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// Shown besides, also beneath what is hidden. Each must exist.
    pub shows: Vec<Show>,
    /// Not shown, although programs or `/etc` lie above it. One that does not exist is no error.
    pub hides: Vec<PathBuf>,
}

/// One file or folder that is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Show {
    /// Where it lies.
    pub real: PathBuf,
    /// Where it is seen.
    pub at: PathBuf,
    /// What may be done with it.
    pub access: Access,
}

/// What may be done with something that is shown, as far as its modes allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Reading, executing, connecting to a socket.
    Reading,
    /// Writing as well.
    Writing,
}

impl Show {
    /// `path` as it is, to be read.
    pub fn reading(path: &Path) -> Self {
        Self {
            real: path.to_owned(),
            at: path.to_owned(),
            access: Access::Reading,
        }
    }
}

/// A tool, and the cell it is started in.
#[derive(Clone, Serialize, Deserialize)]
pub struct JailRequest {
    /// Where, and as whom.
    pub cell: Cell,
    /// With a slash.
    pub program: PathBuf,
    /// After the program's own name.
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// Descriptors beyond 2 that the tool is to have.
    pub keeps: Vec<RawFd>,
}

/// The role, to be started with `order`: that on standard input, the tool's own descriptors besides.
///
/// # Errors
/// When the order is too long, or holds what is not UTF-8.
pub fn command(order: &JailRequest) -> io::Result<Command> {
    Ok(Command::role(ROLE)
        .group(Group::Own)
        .descriptor(0, descriptor::memory_file(&serde_json::to_vec(order)?)?))
}

/// Arguments as an order holds them.
///
/// # Errors
/// When one is not UTF-8.
pub fn texts(arguments: &[OsString]) -> io::Result<Vec<String>> {
    let text = |argument: &OsString| {
        let text = argument.to_str().map(str::to_owned);
        text.ok_or_else(|| io::Error::other(format!("the argument {argument:?} is not UTF-8")))
    };
    arguments.iter().map(text).collect()
}

impl JailRequest {
    /// Who the tool runs as; `None` is root, or ourselves where we are not root.
    fn identity(&self) -> io::Result<Option<Identity>> {
        self.cell.account.as_ref().map(privilege::identity).transpose()
    }

    fn argv(&self) -> Vec<CString> {
        let name = self.program.file_name().unwrap_or_default().to_string_lossy();
        let arguments = self.arguments.iter().map(String::as_str);
        std::iter::once(name.as_ref())
            .chain(arguments)
            .map(c_text)
            .collect()
    }
}

/// What stands before a NUL: nothing that reaches this may contain one.
fn c_text(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

/// The role itself.
pub fn role() -> ExitCode {
    let ended = match std::env::args().nth(2).as_deref() {
        Some(FIRST) => first::live(),
        _ => begin(),
    };
    ExitCode::from(ended.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "{COMPLAINT}{error}");
        FAILED
    }))
}

fn begin() -> io::Result<u8> {
    let order: JailRequest = serde_json::from_slice(&descriptor::take_stdin()?)?;
    descriptor::close_inherited(&order.keeps)?;
    match order.cell.walls {
        Some(_) => keeper::keep(&order),
        None => become_the_tool(&order),
    }
}

/// Never returns but with an error. SIGPIPE stays ignored, as Rust's start left it; terraform (Go) and git set their own.
fn become_the_tool(order: &JailRequest) -> io::Result<u8> {
    let identity = order.identity()?;
    if let Some(identity) = identity.filter(|_| is_root()) {
        privilege::become_for_good(identity, &order.cell.groups)?;
    }
    if !is_root() {
        prctl::set_no_new_privs()?;
    }
    keep_modest()?;
    stand_in(&order.cell.directory)?;
    let program = c_text(&order.program.to_string_lossy());
    let variable = |(name, value): &(String, String)| c_text(&format!("{name}={value}"));
    let environment: Vec<CString> = order.environment.iter().map(variable).collect();
    let Err(error) = execve(&program, &order.argv(), &environment);
    Err(told(error.into(), "start", &order.program))
}

/// What holds for every tool: what it writes is its own, and a crash leaves no copy of its memory.
fn keep_modest() -> io::Result<()> {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// A plan's tools may not fill the host's table of processes either, nor make a file that nobody can read to its end; and
/// they are the first to go when memory is short.
fn keep_few() -> io::Result<()> {
    let scores = Path::new("/proc/self/oom_score_adj");
    std::fs::write(scores, JAIL_OOM_SCORE).map_err(|error| told(error, "write", scores))?;
    setrlimit(Resource::RLIMIT_FSIZE, JAIL_FILE, JAIL_FILE)?;
    Ok(setrlimit(Resource::RLIMIT_NPROC, JAIL_PROCESSES, JAIL_PROCESSES)?)
}

fn stand_in(directory: &Path) -> io::Result<()> {
    chdir(directory).map_err(|error| told(error.into(), "stand in", directory))
}

/// A tool's end as an exit status of ours: 128 and the signal, as a shell has it.
fn status(exit: Exit) -> u8 {
    match exit {
        Exit::Code(code) => u8::try_from(code).unwrap_or(u8::MAX),
        Exit::Signal(number) => u8::try_from(128 + number).unwrap_or(u8::MAX),
    }
}

fn told(error: io::Error, doing: &str, path: &Path) -> io::Error {
    io::Error::new(error.kind(), crate::os::files::describe(&error, doing, path))
}

/// The group that a socket admits besides its owner; `None` where there is no socket.
pub fn group_of(socket: &Path) -> Option<u32> {
    socket.metadata().ok().map(|facts| facts.gid())
}
