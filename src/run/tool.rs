//! Tools: other programs that a step starts, how they are ended, and what they said.
//!
//! A tool gets a process group of its own, the environment that was named and nothing else of ours.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::jail::{self, Cell};
use crate::os::child::{self, Child, Command, Exit};
use crate::os::{descriptor, files};
use crate::queue::EndPolicy;
use crate::run::output::{Left, Lines, Name, Sink, Stream};
use crate::run::step::Failure;
use crate::secret::Secret;

/// Another program, as a step wants it started. It gets nothing but what stands here.
#[derive(Clone, Debug)]
pub struct Tool {
    /// With a slash, or looked for on the `PATH` of `environment`.
    pub program: PathBuf,
    /// After the program's own name. No secret belongs here: argv is readable by everyone on the host.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// How long it may take; the deadlines of step and run shorten it, but for [`EndPolicy::NeverMidway`] not below
    /// [`crate::limits::MIDWAY_LEAST`].
    pub deadline: Duration,
    /// How it is ended when its time is up or the run is cancelled.
    pub ending: EndPolicy,
    /// Its whole standard input, at most [`crate::limits::MAX_SETTINGS`] bytes; `None` is `/dev/null`. A tool in a cell
    /// has none.
    pub stdin: Option<Vec<u8>>,
    /// As whom, and within which walls; `None` is as we are, with all that we see.
    pub cell: Option<Cell>,
    /// What it can read from descriptor 3, once: a secret that neither argv nor the environment may hold.
    pub pipe: Option<Secret>,
}

/// How a tool's time ended.
#[derive(Debug)]
pub enum ToolEnd {
    /// It ended by itself.
    Ended(Ended),
    /// Past its deadline and still at work; only with [`EndPolicy::NeverMidway`].
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
pub struct AtWork {
    pub(super) running: Running,
    /// Which deadline it was.
    pub why: Failure,
}

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

/// Where programs are looked for when a tool's environment names no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Tool {
    /// As a sentence names it: the program's file name and its first argument, when that is a word and not an option.
    pub fn name(&self) -> String {
        let program = self.program.file_name().unwrap_or_default().to_string_lossy();
        match self.arguments.first().map(|first| first.to_string_lossy()) {
            Some(word) if !word.starts_with('-') => format!("`{program} {word}`"),
            _ => format!("`{program}`"),
        }
    }

    /// Starts it with its output where `streams` says.
    pub(super) fn start(&self, streams: Streams<'_>) -> Result<Running, Failure> {
        let path = self.environment.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_str());
        let program = child::find_program(&self.program, path)
            .ok_or_else(|| Failure::Failed(format!("{} is on none of {path}", self.program.display())))?;
        let command = self.command(&program);
        let connected = command.and_then(|command| self.connect(command, streams));
        let started = connected.and_then(|(command, streams)| {
            let child = command.spawn()?;
            Ok(Running {
                child,
                streams,
                name: self.name(),
                silent_since: None,
            })
        });
        started.map_err(|error| Failure::Failed(format!("start {}: {error}", program.display())))
    }

    /// The program itself, or the role that becomes it in its cell.
    fn command(&self, program: &Path) -> io::Result<Command> {
        // The executable of unit tests has no roles.
        let Some(cell) = self.cell.as_ref().filter(|_| !cfg!(test)) else {
            let command = Command::tool(program).arguments(&self.arguments);
            return Ok(command.variables(&self.environment));
        };
        if self.stdin.is_some() {
            return Err(io::Error::other("a tool in a cell has no standard input"));
        }
        jail::command(&jail::JailRequest {
            cell: cell.clone(),
            program: program.to_owned(),
            arguments: jail::texts(&self.arguments)?,
            environment: self.environment.clone(),
            keeps: self.pipe.iter().map(|_| descriptor::FIRST).collect(),
        })
    }

    fn connect(&self, mut command: Command, streams: Streams<'_>) -> io::Result<(Command, Vec<Stream>)> {
        if let Some(input) = &self.stdin {
            command = command.descriptor(0, descriptor::memory_file(input)?);
        }
        if let Some(secret) = &self.pipe {
            // A pipe, which can be read once. A page of it is always to be had.
            let (reader, writer) = descriptor::pipe()?;
            descriptor::set_nonblocking(&writer)?;
            std::fs::File::from(writer).write_all(secret.expose().as_bytes())?;
            command = command.descriptor(descriptor::FIRST, reader);
        }
        let lines = Sink::Lines(Lines::default());
        let (output, writer) = match streams {
            Streams::Merged => Stream::new(lines)?,
            Streams::Kept(path, name) => Stream::kept(path, lines, name)?,
            Streams::Into(path) => {
                let (errors, writer) = Stream::new(lines)?;
                let file = files::create_private(path)?;
                let command = command.descriptor(1, file.into()).descriptor(2, writer);
                return Ok((command, vec![errors]));
            }
            Streams::Captured { most } => {
                let (errors, writer) = Stream::new(lines)?;
                let (output, whole) = Stream::new(Sink::Whole {
                    bytes: Vec::new(),
                    most,
                    over: false,
                })?;
                return Ok((
                    command.descriptor(1, whole).descriptor(2, writer),
                    vec![output, errors],
                ));
            }
        };
        let command = command.descriptor(2, writer.try_clone()?).descriptor(1, writer);
        Ok((command, vec![output]))
    }
}

/// Where a tool's output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams<'a> {
    /// Both into one pipe, as lines.
    Merged,
    /// Both into this file, as lines: what must not be cut must not die of a broken pipe either, when we die.
    Kept(&'a Path, Name),
    /// Standard output whole, up to so many bytes; standard error as lines.
    Captured { most: usize },
    /// Standard output into this file, which nobody else may read; standard error as lines.
    Into(&'a Path),
}

/// A tool that was started.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) child: Child,
    streams: Vec<Stream>,
    pub(super) name: String,
    silent_since: Option<Instant>,
}

impl Running {
    /// Reads what is there; each line goes to `each`.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(&str)) -> Left {
        let left: Vec<Left> = self.streams.iter_mut().map(|stream| stream.read(each)).collect();
        match left.contains(&Left::Maybe) {
            true => Left::Maybe,
            false => Left::Nothing,
        }
    }

    /// After its end: what it printed is there, so nothing more is waited for. A process that it left behind may hold its
    /// streams open.
    pub(super) fn read_rest(&mut self, each: &mut dyn FnMut(&str)) {
        for stream in &mut self.streams {
            stream.read_rest(each);
        }
    }

    /// The streams to wait for; `idle` stands in for one that is closed.
    pub(super) fn descriptors<'a>(&'a self, idle: BorrowedFd<'a>) -> [BorrowedFd<'a>; 2] {
        let of = |index: usize| {
            self.streams
                .get(index)
                .and_then(Stream::descriptor)
                .unwrap_or(idle)
        };
        [of(0), of(1)]
    }

    /// Since when all of its streams are closed: its end is near, whether or not a signal will say so.
    pub(super) fn silent_since(&mut self, now: Instant) -> Option<Instant> {
        if self.silent_since.is_none() && self.streams.iter().all(Stream::is_closed) {
            self.silent_since = Some(now);
        }
        self.silent_since
    }

    /// Its last lines.
    pub(super) fn tail(&self) -> Vec<String> {
        match self.streams.last().map(|stream| &stream.sink) {
            Some(Sink::Lines(lines)) => lines.tail(),
            _ => Vec::new(),
        }
    }

    /// What a captured tool printed.
    pub(super) fn captured(self, exit: Exit) -> Result<Captured, Failure> {
        let stderr_tail = self.tail();
        match self.streams.into_iter().next().map(|stream| stream.sink) {
            Some(Sink::Whole { over: true, most, .. }) => Err(Failure::Failed(format!(
                "{} printed more than {most} bytes",
                self.name
            ))),
            Some(Sink::Whole { bytes, .. }) => Ok(Captured {
                exit,
                stdout: bytes,
                stderr_tail,
            }),
            _ => Err(Failure::Failed(format!("{} was not captured", self.name))),
        }
    }
}
