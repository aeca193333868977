//! Tools: other programs that a step starts, how they are ended, and what they said.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::os::child::Exit;

/// Another program, as a step wants it started. It gets nothing but what stands here.
#[derive(Clone, Debug)]
pub struct Tool {
    /// With a slash, or looked for on the `PATH` of `environment`.
    pub program: PathBuf,
    /// After the program's own name. No secret belongs here: argv is readable by everyone on the host.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// How long it may take; the step's deadline shortens it.
    pub deadline: Duration,
    /// How it is ended when its time is up or the run is cancelled.
    pub ending: Ending,
    /// Its whole standard input, at most [`crate::limits::MAX_SETTINGS`] bytes; `None` is `/dev/null`.
    pub stdin: Option<Vec<u8>>,
}

/// How a tool is ended before it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// TERM to its process group, KILL after [`crate::limits::KILL_AFTER`]: docker, git.
    Terminate,
    /// One INT to its pid, then it is waited for, however long that takes: `terraform apply`.
    Interrupt,
    /// Not at all: it is past its deadline, [`ToolEnd::AtWork`] says so, and the step decides: `update_container`.
    NeverMidway,
}

/// How a tool's time ended.
#[derive(Debug)]
pub enum ToolEnd {
    /// It ended by itself.
    Ended(Ended),
    /// Past its deadline and still at work; only with [`Ending::NeverMidway`].
    AtWork(AtWork),
}

/// A tool that ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub exit: Exit,
    /// Its last lines, oldest first, whether or not they were said.
    pub tail: Vec<String>,
}

/// A tool past its deadline. The run does not end while it is at work: what a step has left is killed at the end.
#[derive(Debug)]
pub struct AtWork {}

/// What a quiet tool printed.
#[derive(Clone, Debug)]
pub struct Captured {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output, as it came.
    pub stdout: Vec<u8>,
    /// The last lines of its standard error.
    pub stderr_tail: Vec<String>,
}
