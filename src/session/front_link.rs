//! The session's end of the link: starting a front, handing it the connection, taking its one request.
//!
//! Front is the side that may have been taken over. From it come, in this order and no other: `Ready`, then log lines
//! and at most one `Request`. Anything else, or too much of it, ends the session.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::gate::Refusal;
use crate::limits::{LOG_BLOCK, MAX_FRONT_LOG_LINES, STALLED_CALLER, WARM_DEADLINE};
use crate::link::{Caller, Decoder, FromFront, Head, Request, Settings, ToFront, encode};
use crate::os::child::{Child, Command};
use crate::os::descriptor;
use crate::os::poll::{self, For};
use crate::os::privilege::identity;
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

impl FrontLink {
    /// Starts a front, tells it what to load and whom to become, and waits until it can take a connection.
    ///
    /// # Errors
    /// What an operator has to correct: a certificate that does not parse, a user that does not exist.
    pub fn ready(config: &Config) -> io::Result<Self> {
        let (link, theirs) = UnixStream::pair()?;
        let settings = descriptor::memory_file(&serde_json::to_vec(&settings(config)?)?)?;
        let command = Command::role("front").descriptor(0, settings);
        let mut front = Self {
            child: command.descriptor(descriptor::FIRST, theirs).spawn()?,
            link,
            frames: Decoder::default(),
            log_lines: 0,
            unsent: Vec::new(),
        };
        // A caller that reads nothing stalls front, and front would stall us; front gives up first.
        let patience = STALLED_CALLER + Duration::from_secs(5);
        front.link.set_write_timeout(Some(patience))?;
        match front.frame(Instant::now() + WARM_DEADLINE)? {
            Some(FromFront::Ready) => Ok(front),
            Some(FromFront::Broken(message)) => Err(io::Error::other(message)),
            Some(_) => Err(out_of_turn()),
            None => Err(io::Error::other("the front role ended before it was ready")),
        }
    }

    /// Hands the connection over. Our copy is closed: from here on only front can touch it.
    pub fn hand_over(&mut self, stream: TcpStream, caller: Caller) -> io::Result<()> {
        let bytes = encode(&ToFront::Connection(caller))?;
        let sent = descriptor::send(&self.link, &bytes, stream.as_fd())?;
        self.link.write_all(&bytes[sent..])
    }

    /// The one request. `None` when front has ended: it answered by itself, refused, or its caller went away.
    pub fn request(&mut self, until: Instant) -> io::Result<Option<Request>> {
        match self.frame(until)? {
            Some(FromFront::Request(request)) => Ok(Some(request)),
            Some(_) => Err(out_of_turn()),
            None => Ok(None),
        }
    }

    /// A refusal: its head is the whole answer.
    pub fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        let retry_after = |after: Duration| ("Retry-After".into(), after.as_secs().to_string());
        self.say(&ToFront::Head(Head {
            status: refusal.status,
            headers: refusal.retry_after.map(retry_after).into_iter().collect(),
            sentence: Some(refusal.sentence.into()),
        }))?;
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
        self.unsent.extend(encode(&ToFront::Line(line))?);
        match self.unsent.len() >= LOG_BLOCK {
            true => self.flush(),
            false => Ok(()),
        }
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
        match self.frame(Instant::now()) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(()),
            Ok(None) => Err(io::ErrorKind::BrokenPipe.into()),
            other => other.and(Err(out_of_turn())),
        }
    }

    /// Front has all it needs; it ends when its caller has taken it, or its own deadlines have passed.
    fn await_end(&mut self) -> io::Result<()> {
        match self.frame(Instant::now() + 2 * STALLED_CALLER)? {
            None => Ok(()),
            Some(_) => Err(out_of_turn()),
        }
    }

    fn say(&mut self, frame: &ToFront) -> io::Result<()> {
        self.unsent.extend(encode(frame)?);
        self.flush()
    }

    /// The next frame that is not a log line; those are logged, a few of them. `None` when front has ended.
    fn frame(&mut self, until: Instant) -> io::Result<Option<FromFront>> {
        let mut buffer = [0u8; 16 * 1024];
        loop {
            match self.frames.frame()? {
                Some(FromFront::Log(message)) => self.log(&message)?,
                Some(frame) => return Ok(Some(frame)),
                None => {
                    let [ready] = poll::wait([(self.link.as_fd(), For::Reading)], Some(until))?;
                    if !ready.any() {
                        let what = "the front role said nothing in time";
                        return Err(io::Error::new(io::ErrorKind::TimedOut, what));
                    }
                    // A descriptor that front might send is not taken: a plain read never receives one.
                    match self.link.read(&mut buffer) {
                        Ok(count @ 1..) => self.frames.push(&buffer[..count]),
                        Ok(0) => return Ok(None),
                        // A front that was killed with bytes of ours unread.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                        Err(error) => return Err(error),
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

fn out_of_turn() -> io::Error {
    io::Error::other("the front role said something out of turn")
}

fn settings(config: &Config) -> io::Result<Settings> {
    let user = identity(&config.front_user)?;
    Ok(Settings {
        cert_file: config.cert_file.to_string_lossy().into(),
        key_file: config.key_file.to_string_lossy().into(),
        public_dir: config.places.public().to_string_lossy().into(),
        uid: user.uid,
        gid: user.gid,
        endpoints: config.endpoints().map(|endpoint| endpoint.name.into()).collect(),
        modules: config.module_names(),
    })
}
