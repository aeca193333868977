//! Tools: other programs that a step starts, how they are ended, and what they said.
//!
//! A tool gets a process group of its own, the environment that was named and nothing else of ours.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(feature = "terraform")]
use crate::jail::SandboxSpec;
use crate::limits::RETRY;
use crate::os::child::{self, Child, Command, Exit};
use crate::os::{descriptor, files};
use crate::queue::EndPolicy;
use crate::run::output::Stream;
use crate::run::{OnLine, Result};
use crate::secret::Secret;

/// Another program, as a step wants it started. It gets nothing but what stands here.
#[derive(Clone)]
pub struct Tool {
    /// With a slash, or looked for on the `PATH` of `environment`.
    pub program: PathBuf,
    /// After the program's own name. No secret belongs here: argv is readable by everyone on the host.
    pub arguments: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// How long it may take; the deadlines of step and run shorten it. With [`EndPolicy::WaitOut`] only how long it
    /// usually takes.
    pub deadline: Duration,
    /// How it is ended when its time is up or the run is cancelled.
    pub end_policy: EndPolicy,
    /// Its whole standard input, at most [`crate::limits::MAX_SETTINGS`] bytes; `None` is `/dev/null`. A tool in a
    /// sandbox has none.
    pub stdin: Option<Vec<u8>>,
    /// As whom, and in which sandbox; `None` is as we are, with all that we see.
    #[cfg(feature = "terraform")]
    pub sandbox: Option<SandboxSpec>,
    /// What it can read from descriptor 3, once: a secret that neither argv nor the environment may hold.
    pub pipe: Option<Secret>,
}

/// A tool that ended by itself.
#[derive(Clone, Debug)]
pub struct Ended {
    pub exit: Exit,
    /// Its standard output as it came, where it was captured.
    pub stdout: Vec<u8>,
    /// Its last lines, oldest first, whether or not they were said; of one that was captured those of its standard error.
    pub tail: Vec<String>,
}

/// Where programs are looked for when a tool's environment names no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Tool {
    /// `program` without arguments and environment, to be ended as [`EndPolicy::Terminate`] says.
    pub fn new(program: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            deadline,
            end_policy: EndPolicy::Terminate,
            stdin: None,
            #[cfg(feature = "terraform")]
            sandbox: None,
            pipe: None,
        }
    }

    /// The program's file name.
    pub fn file_name(&self) -> String {
        let name = self.program.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// As a sentence names it: the program's file name and its first argument, when that is a word and not an option.
    pub fn name(&self) -> String {
        let program = self.file_name();
        match self.arguments.first().map(|first| first.to_string_lossy()) {
            Some(word) if !word.starts_with('-') => format!("`{program} {word}`"),
            _ => format!("`{program}`"),
        }
    }

    /// Starts it.
    pub fn start<'a>(&'a self, output: Output, on_line: &'a mut OnLine<'_>) -> Result<Running<'a>> {
        let path = self.environment.iter().find(|(name, _)| name == "PATH");
        let path = path.map_or(DEFAULT_PATH, |(_, value)| value.as_str());
        let program = child::find_program(&self.program, path)
            .ok_or_else(|| format!("{} is on none of {path}", self.program.display()))?;
        let started = self.start_as(&program, output, on_line);
        started.map_err(|error| format!("start {}: {error}", program.display()).into())
    }

    /// The program itself, or the role that becomes it in its sandbox.
    fn command(&self, program: &Path) -> io::Result<Command> {
        // The executable of unit tests has no roles.
        #[cfg(all(feature = "terraform", not(test)))]
        if let Some(sandbox) = &self.sandbox {
            let keeps = self.pipe.iter().map(|_| descriptor::FIRST).collect();
            return crate::jail::command(sandbox, program, &self.arguments, &self.environment, keeps);
        }
        let command = Command::tool(program).arguments(&self.arguments);
        Ok(command.variables(&self.environment))
    }

    fn start_as<'a>(
        &'a self,
        program: &Path,
        output: Output,
        on_line: &'a mut OnLine<'_>,
    ) -> io::Result<Running<'a>> {
        let mut command = self.command(program)?;
        if let Some(input) = &self.stdin {
            command = command.descriptor(0, descriptor::memory_file(input)?);
        }
        if let Some(secret) = &self.pipe {
            // A pipe, which can be read once. A page of it is always to be had.
            let (reader, mut writer) = io::pipe()?;
            descriptor::set_nonblocking(&writer)?;
            writer.write_all(secret.expose().as_bytes())?;
            command = command.descriptor(descriptor::FIRST, reader);
        }
        let (said, errors) = match output {
            Output::File(path) => Stream::kept(path)?,
            _ => Stream::pipe()?,
        };
        let mut captured = None;
        let stdout = match output {
            Output::Pipe | Output::File(_) => errors.try_clone()?,
            Output::NewFile(path) => files::create_private(path)?.into(),
            Output::Captured(most) => {
                let (mut stream, writer) = Stream::pipe()?;
                stream.whole = Some((Vec::new(), most));
                captured = Some(stream);
                writer
            }
        };
        Ok(Running {
            child: command.descriptor(1, stdout).descriptor(2, errors).spawn()?,
            tool: self,
            on_line,
            said,
            captured,
            has_spoken: false,
        })
    }
}

/// Where a tool's output goes.
#[derive(Clone, Copy)]
pub enum Output<'a> {
    /// Both streams into one pipe, as lines.
    Pipe,
    /// Both into this file, as lines: what must not be cut must not die of a broken pipe either, when we die.
    File(&'a Path),
    /// Standard output whole, up to so many bytes; standard error as lines.
    Captured(usize),
    /// Standard output into this file, which nobody else may read; standard error as lines.
    NewFile(&'a Path),
}

/// A tool that was started.
pub struct Running<'a> {
    pub tool: &'a Tool,
    on_line: &'a mut OnLine<'a>,
    pub child: Child,
    /// Its lines.
    said: Stream,
    /// Its standard output, where that is wanted whole.
    captured: Option<Stream>,
    /// Whether a line has come since somebody has set this.
    pub has_spoken: bool,
}

impl Running<'_> {
    /// Reads what is there; `say` gets what is to be said of it. After its end what it printed is there, so nothing more is
    /// waited for: a process that it left behind may hold its streams open.
    pub fn read(&mut self, has_ended: bool, say: &mut dyn FnMut(&str)) {
        let mut each = |line: &str| {
            self.has_spoken = true;
            if let Some(text) = (self.on_line)(line) {
                say(&text);
            }
        };
        for stream in self.captured.iter_mut().chain([&mut self.said]) {
            match has_ended {
                true => stream.read_rest(&mut each),
                false => stream.read(&mut each),
            }
        }
    }

    fn streams(&self) -> impl Iterator<Item = &Stream> {
        self.captured.iter().chain([&self.said])
    }

    /// The streams to wait for; `idle` stands in for one that is closed.
    pub fn descriptors<'a>(&'a self, idle: BorrowedFd<'a>) -> [BorrowedFd<'a>; 2] {
        let mut streams = self.streams();
        [(); 2].map(|()| streams.next().and_then(Stream::descriptor).unwrap_or(idle))
    }

    /// How long to wait for its output at the most: what has closed its streams is about to end, whether or not a signal
    /// will say so.
    pub fn retry(&self) -> Duration {
        match self.streams().all(Stream::is_closed) {
            true => RETRY / 16,
            false => RETRY,
        }
    }

    pub fn ended(self, exit: Exit) -> Result<Ended> {
        let tail = self.said.lines.tail.into();
        let captured = self.captured.and_then(|stream| stream.whole);
        let (stdout, most) = captured.unwrap_or_default();
        match stdout.len() > most {
            true => Err(format!("{} printed more than {most} bytes", self.tool.name()).into()),
            false => Ok(Ended { exit, stdout, tail }),
        }
    }
}
