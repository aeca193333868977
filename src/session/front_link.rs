//! The session's end of the link: starting a front, handing it the connection, taking its one request.
//!
//! Front is the side that may have been taken over. From it come, in this order and no other: `Ready`, then log lines
//! and at most one `Request`. Anything else, or too much of it, ends the session.

use std::io::{self, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::limits::{LOG_BLOCK, MAX_FRONT_LOG_LINES, STALLED_CALLER};
use crate::link::{self, BadFrame, Decoder, FromFront, Head, Request, Settings, ToFront};
use crate::os::child::{Child, Command};
use crate::os::descriptor;
use crate::os::poll::{self, For};
use crate::os::privilege::{self, Identity};
use crate::os::signal::Signal;

/// A front of our own, before and during its one connection. Dropping it ends the front.
#[derive(Debug)]
pub struct FrontLink {
    child: Child,
    link: UnixStream,
    frames: Decoder,
    log_lines: usize,
    /// Frames that wait for those that come with them.
    unsent: Vec<u8>,
}

/// Why there is no request from front, when that is nobody's fault.
#[derive(Debug, PartialEq, Eq)]
pub enum Silence {
    /// Front answered by itself, refused, or its caller went away; it has ended.
    Ended,
    /// The time was up.
    TimedOut,
}

impl FrontLink {
    /// Starts a front and tells it what to load and whom to become.
    pub fn start(config: &Config) -> io::Result<Self> {
        let (link, theirs) = UnixStream::pair()?;
        let child = Command::role("front")
            .descriptor(descriptor::FIRST, theirs)
            .spawn()?;
        // A caller that reads nothing stalls front, and front would stall us; front gives up first.
        let patience = STALLED_CALLER + Duration::from_secs(5);
        link.set_write_timeout(Some(patience))?;
        let mut front = Self {
            child,
            link,
            frames: Decoder::default(),
            log_lines: 0,
            unsent: Vec::new(),
        };
        front.say(&ToFront::Settings(settings(config)?))?;
        Ok(front)
    }

    /// Waits until front can take a connection.
    ///
    /// # Errors
    /// What an operator has to correct: a certificate that does not parse, a user that does not exist.
    pub fn await_ready(&mut self, until: Instant) -> Result<(), String> {
        match self.frame(until) {
            Ok(Ok(FromFront::Ready { .. })) => Ok(()),
            Ok(Ok(FromFront::Broken { message })) => Err(message),
            Ok(Ok(_)) => Err("the front role said something else before it was ready".into()),
            Ok(Err(Silence::Ended)) => Err("the front role ended before it was ready".into()),
            Ok(Err(Silence::TimedOut)) => Err("the front role did not become ready in time".into()),
            Err(error) => Err(format!("talk to the front role: {error}")),
        }
    }

    /// Hands the connection over. Our copy is closed: from here on only front can touch it.
    pub fn hand_over(&mut self, stream: TcpStream, request_id: &str, open_paths: bool) -> io::Result<()> {
        let frame = ToFront::Connection {
            request_id: request_id.into(),
            open_paths,
        };
        let bytes = link::encode(&frame).map_err(bad)?;
        let sent = descriptor::send(&self.link, &bytes, stream.as_fd())?;
        self.link.write_all(&bytes[sent..])
    }

    /// The one request, if front relays one.
    pub fn request(&mut self, until: Instant) -> io::Result<Result<Request, Silence>> {
        match self.frame(until)? {
            Ok(FromFront::Request(request)) => Ok(Ok(request)),
            Ok(_) => Err(io::Error::other("the front role said something out of turn")),
            Err(silence) => Ok(Err(silence)),
        }
    }

    /// A refusal: its head is the whole answer.
    pub fn refuse(&mut self, head: Head) -> io::Result<()> {
        self.say(&ToFront::Head(head))?;
        self.await_end()
    }

    /// Begins a stream of lines.
    pub fn begin(&mut self, run_id: &str) -> io::Result<()> {
        self.say(&ToFront::Head(Head {
            status: 200,
            headers: vec![("Run-Id".into(), run_id.into())],
            sentence: None,
        }))
    }

    /// One line of the stream. It may stay here until [`FrontLink::flush`], or any other frame.
    pub fn line(&mut self, line: String) -> io::Result<()> {
        self.append(&ToFront::Line { line })?;
        if self.unsent.len() >= LOG_BLOCK {
            self.flush()?;
        }
        Ok(())
    }

    /// Sends what is still here.
    pub fn flush(&mut self) -> io::Result<()> {
        let sent = self.link.write_all(&self.unsent);
        // In any case: what was sent in part must not be sent again.
        self.unsent.clear();
        sent
    }

    /// Completes the stream.
    pub fn end(&mut self) -> io::Result<()> {
        self.say(&ToFront::End)?;
        self.await_end()
    }

    /// What to poll for the front's end: after its request nothing more may come.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }

    /// After the link became readable in the middle of a stream: front is gone, or says something out of turn.
    pub fn check_quiet(&mut self) -> io::Result<()> {
        match self.frame(Instant::now())? {
            Err(Silence::TimedOut) => Ok(()),
            Err(Silence::Ended) => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
            Ok(_) => Err(io::Error::other("the front role sent a second request")),
        }
    }

    /// Front has all it needs; it ends when its caller has taken it, or its own deadlines have passed.
    fn await_end(&mut self) -> io::Result<()> {
        match self.frame(Instant::now() + 2 * STALLED_CALLER)? {
            Err(Silence::Ended) => Ok(()),
            Err(Silence::TimedOut) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            Ok(_) => Err(io::Error::other("the front role sent a second request")),
        }
    }

    fn say(&mut self, frame: &ToFront) -> io::Result<()> {
        self.append(frame)?;
        self.flush()
    }

    fn append(&mut self, frame: &ToFront) -> io::Result<()> {
        self.unsent.extend(link::encode(frame).map_err(bad)?);
        Ok(())
    }

    /// The next frame that is not a log line; those are logged, a few of them.
    fn frame(&mut self, until: Instant) -> io::Result<Result<FromFront, Silence>> {
        let mut buffer = [0u8; 16 * 1024];
        loop {
            match self.frames.frame().map_err(bad)? {
                Some(FromFront::Log { message }) => self.log(&message)?,
                Some(frame) => return Ok(Ok(frame)),
                None => {
                    let [ready] = poll::wait([(self.link.as_fd(), For::Reading)], Some(until))?;
                    if !ready.any() {
                        return Ok(Err(Silence::TimedOut));
                    }
                    match receive(&self.link, &mut buffer)? {
                        0 => return Ok(Err(Silence::Ended)),
                        count => self.frames.push(&buffer[..count]),
                    }
                }
            }
        }
    }

    fn log(&mut self, message: &str) -> io::Result<()> {
        self.log_lines += 1;
        if self.log_lines > MAX_FRONT_LOG_LINES {
            return Err(io::Error::other("the front role sends too many log lines"));
        }
        let short: String = message.chars().take(500).collect();
        log::debug!("front: {short}");
        Ok(())
    }
}

impl Drop for FrontLink {
    fn drop(&mut self) {
        // It has ended already, or it must: it never outlives its connection.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.child.signal(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

fn settings(config: &Config) -> io::Result<Settings> {
    let Identity { uid, gid } = privilege::identity(&config.front_user)?;
    Ok(Settings {
        cert_file: config.cert_file.to_string_lossy().into_owned(),
        key_file: config.key_file.to_string_lossy().into_owned(),
        public_dir: config.places.public().to_string_lossy().into_owned(),
        uid,
        gid,
        endpoints: config
            .endpoints()
            .map(|endpoint| endpoint.name.to_owned())
            .collect(),
        modules: config.module_names(),
    })
}

/// A descriptor that front might send is not taken: a plain read never receives one.
fn receive(mut link: &UnixStream, buffer: &mut [u8]) -> io::Result<usize> {
    match io::Read::read(&mut link, buffer) {
        // A front that was killed with bytes of ours unread.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(0),
        other => other,
    }
}

fn bad(error: BadFrame) -> io::Error {
    io::Error::other(error.to_string())
}
