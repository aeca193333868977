//! What stands in a ticket: who the holder is and which tools it has at work; and asking the holder to end, by a signal.
//!
//! All of that matters only while the host is up, so it is written without waiting for a disk: it outlives the holder, and
//! after a restart of the host there is nobody left to speak of.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::config::Places;
use crate::limits::{MAX_RUN_FILE, RETRY, STATE_LOCK_WAIT};
use crate::os::files::{self, optional};
use crate::os::signal::Signal;
use crate::os::{lock, poll, process};
use crate::queue::RunId;
use crate::queue::ticket::{self, TicketFile};

/// A process that was written down: its number alone may have been given to another one since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
}

impl Process {
    /// The process `pid`, if it lives.
    pub fn of(pid: i32) -> Option<Self> {
        process::start_time(pid).map(|start_time| Self { pid, start_time })
    }
}

/// How a tool is ended before it ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndPolicy {
    /// TERM to its process group, KILL after [`crate::limits::KILL_AFTER`]: docker, git.
    Terminate,
    /// One INT to its pid, then it is waited for, however long that takes, unless the operator uses force:
    /// `terraform apply`. When its run dies, it is not interrupted but waited for.
    Interrupt,
    /// One INT to its pid, a long wait, then TERM and KILL to its process group: `terraform plan`, which holds a lock and
    /// changes nothing.
    InterruptThenTerminate,
    /// Not by time, and only by the operator's force: a call that was handed to dockerd, which does it whatever becomes of
    /// the client. It is waited for until it is known to be done or not.
    WaitOut,
}

impl EndPolicy {
    /// Whether it begins with an INT.
    pub fn interrupts(self) -> bool {
        matches!(self, Self::Interrupt | Self::InterruptThenTerminate)
    }
}

/// A tool at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolAtWork {
    /// Its file name.
    pub program: String,
    pub end_policy: EndPolicy,
    /// It leads a process group of its own. `None` while it is being started, since a holder may be killed just then.
    pub started: Option<Process>,
}

/// What a ticket says: its last whole line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notes {
    /// The run's process, once it has written itself down.
    pub holder: Option<Process>,
    /// Whether that is another run, or nobody's, which completes this one, because it is dead.
    pub completed: bool,
    /// When its run's turn came, if it did. After a restart of the host the journal and the log say whether it had come to
    /// that.
    pub turn: Option<SystemTime>,
    pub tools: Vec<ToolAtWork>,
}

impl Notes {
    /// Those of a ticket, where there is one; a last line that its writer did not finish is left out.
    pub fn of(ticket: Option<&TicketFile>) -> io::Result<Self> {
        let Some(ticket) = ticket else {
            return Ok(Self::default());
        };
        let text = optional(files::read_bounded(&ticket.path, MAX_RUN_FILE))?.unwrap_or_default();
        let lines = text.split_inclusive(|byte| *byte == b'\n').rev();
        let mut whole = lines.filter_map(|line| serde_json::from_slice(line.strip_suffix(b"\n")?).ok());
        Ok(whole.next().unwrap_or_default())
    }
}

/// The ticket of the run in this process.
pub struct HeldTicket {
    lock: File,
    pub file: TicketFile,
    notes: Notes,
}

impl HeldTicket {
    /// The one that this process was started with.
    pub fn inherited(lock: File, file: TicketFile) -> io::Result<Self> {
        Self::with(lock, file, Notes::default())
    }

    /// Takes over the ticket of a dead run, whose tools have ended: from now on it says which tools of ours are at work
    /// for it, and the run counts as alive. The caller holds the turn. Where there is none, from before a restart of the
    /// host, it gets the lowest number, because it came before all others.
    pub fn of_the_dead(places: &Places, id: &RunId) -> io::Result<Self> {
        let file = ticket::of(places, id)?.unwrap_or_else(|| TicketFile::new(places, 0, id));
        // Whoever probes whether its holder lives has it for a moment.
        let lock = lock::exclusive_within(&file.path, STATE_LOCK_WAIT)?;
        let notes = Notes {
            completed: true,
            turn: Notes::of(Some(&file))?.turn,
            ..Notes::default()
        };
        Self::with(lock, file, notes)
    }

    fn with(lock: File, file: TicketFile, mut notes: Notes) -> io::Result<Self> {
        notes.holder = Process::of(process::own_pid());
        let mut held = Self { lock, file, notes };
        held.write()?;
        Ok(held)
    }

    /// Its turn has come.
    pub fn has_its_turn(&mut self, now: SystemTime) -> io::Result<()> {
        self.notes.turn = Some(now);
        self.write()
    }

    /// A tool is about to be started; written before it is, because we may be killed between the two.
    pub fn starting(&mut self, program: &str, end_policy: EndPolicy) -> io::Result<()> {
        self.notes.tools.push(ToolAtWork {
            program: program.to_owned(),
            end_policy,
            started: None,
        });
        self.write()
    }

    pub fn started(&mut self, pid: i32) -> io::Result<()> {
        if let Some(tool) = self.notes.tools.last_mut() {
            tool.started = Process::of(pid);
        }
        self.write()
    }

    /// A tool and all of its group have ended; `None` is the one that could not be started.
    pub fn ended(&mut self, pid: Option<i32>) -> io::Result<()> {
        let is_another = |tool: &ToolAtWork| tool.started.map(|process| process.pid) != pid;
        self.notes.tools.retain(is_another);
        self.write()
    }

    /// Adds a line. One without a tool takes the place of all, so that a ticket does not grow with the length of a run:
    /// a reader sees an older line behind it, or none.
    fn write(&mut self) -> io::Result<()> {
        let failed = |error| io::Error::other(format!("write the ticket: {error}"));
        self.write_line().map_err(failed)
    }

    fn write_line(&mut self) -> io::Result<()> {
        let mut json = serde_json::to_vec(&self.notes)?;
        json.push(b'\n');
        if !self.notes.tools.is_empty() {
            return self.lock.write_all(&json);
        }
        self.lock.rewind()?;
        self.lock.write_all(&json)?;
        self.lock.set_len(json.len() as u64)
    }
}

/// How a run is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// To end when nothing is lost by it.
    Gentle,
    /// To end its tool now, whatever that loses. It means something to a run that was asked gently and waits.
    Force,
}

/// A run that has just been started writes itself down within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

const ENDED: &str = "no such run is waiting or at work";
const STARTING: &str = "the run is just starting; try again in a moment";
const DEAD: &str = "it is dead already, and is being completed";

/// Asks the run to end. What that means depends on where it is: a waiting run ends; one that has changed nothing stops;
/// any other finishes its step first, unless it is forced. This waits a moment for a run that is just starting, and for
/// nothing that it does.
///
/// # Errors
/// Why it could not be asked.
pub fn cancel(places: &Places, id: &RunId, urgency: Urgency) -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask(places, id, urgency) {
            Err(why) if why == STARTING && Instant::now() < until => {
                poll::wait([], Some(Instant::now() + RETRY)).map_err(unread)?;
            }
            other => return other,
        }
    }
}

fn unread(error: io::Error) -> String {
    format!("read the run's ticket: {error}")
}

fn ask(places: &Places, id: &RunId, urgency: Urgency) -> Result<(), String> {
    let ticket = ticket::of(places, id).map_err(unread)?.ok_or(ENDED)?;
    if !ticket.is_live().map_err(unread)? {
        return Err(ENDED.to_owned());
    }
    let notes = Notes::of(Some(&ticket)).map_err(unread)?;
    if notes.completed {
        return Err(DEAD.to_owned());
    }
    let holder = notes.holder.ok_or(STARTING)?;
    if Process::of(holder.pid) != Some(holder) {
        return Err(ENDED.to_owned());
    }
    let signal = match urgency {
        Urgency::Gentle => Signal::SIGTERM,
        Urgency::Force => Signal::SIGQUIT,
    };
    process::signal(holder.pid, signal);
    Ok(())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The next ticket, held by this process.
    pub(crate) fn hold(places: &Places, id: &RunId) -> HeldTicket {
        let (lock, file) = ticket::make(places, id).unwrap();
        HeldTicket::inherited(lock, file).unwrap()
    }

    /// As if another process held it.
    pub(crate) fn held_by(ticket: &mut HeldTicket, pid: i32) {
        ticket.notes.holder = Process::of(pid);
        ticket.write().unwrap();
    }

    /// Leaves a ticket as a dead holder does.
    pub(crate) fn die(ticket: HeldTicket) {
        ticket::testing::die(&ticket.file.clone(), ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{die, hold};
    use super::*;
    use crate::queue::testing::Scratch;

    fn tool(program: &str, started: Option<Process>) -> ToolAtWork {
        ToolAtWork {
            program: program.into(),
            end_policy: EndPolicy::Terminate,
            started,
        }
    }

    #[test]
    fn a_ticket_says_who_holds_it_and_what_is_at_work() {
        let scratch = Scratch::new("notes");
        let id = RunId::new(SystemTime::now()).unwrap();
        let mut ticket = hold(&scratch.0, &id);
        let turn = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
        ticket.has_its_turn(turn).unwrap();
        let own = process::own_pid();
        ticket.starting("a", EndPolicy::Terminate).unwrap();
        ticket.started(own).unwrap();
        ticket.starting("b", EndPolicy::Terminate).unwrap();
        let file = ticket.file.clone();
        let notes = || Notes::of(Some(&file)).unwrap();
        assert_eq!(notes().holder, Process::of(own));
        assert_eq!(notes().tools, vec![tool("a", Process::of(own)), tool("b", None)]);
        ticket.ended(None).unwrap();
        assert_eq!(notes().tools.len(), 1);
        ticket.ended(Some(own)).unwrap();
        assert_eq!(notes().tools, vec![]);
        let lines = || std::fs::read_to_string(&file.path).unwrap().lines().count();
        assert_eq!(lines(), 1, "a ticket does not grow");
        ticket.starting("c", EndPolicy::Terminate).unwrap();
        assert_eq!(notes().tools, vec![tool("c", None)]);
        assert_eq!(notes().turn, Some(turn));
        // Whoever takes it over tells it, too.
        die(ticket);
        let _taken = HeldTicket::of_the_dead(&scratch.0, &id).unwrap();
        let notes = notes();
        assert_eq!(
            (notes.turn, notes.tools, notes.completed),
            (Some(turn), vec![], true)
        );
    }

    #[test]
    fn a_torn_last_line_of_a_ticket_is_left_out() {
        let scratch = Scratch::new("notes-torn");
        let ticket = hold(&scratch.0, &RunId::new(SystemTime::now()).unwrap());
        let torn = b"{\"holder\":{\"pid\":1,\"start_time\":2}}\n{\"holder\":{\"pid\":1,\"sta";
        std::fs::write(&ticket.file.path, torn).unwrap();
        let notes = Notes::of(Some(&ticket.file)).unwrap();
        assert_eq!((notes.holder.map(|one| one.pid), notes.tools.len()), (Some(1), 0));
        std::fs::write(&ticket.file.path, b"").unwrap();
        assert_eq!(Notes::of(Some(&ticket.file)).unwrap(), Notes::default());
    }

    #[test]
    fn only_a_living_holder_that_is_still_the_same_is_signalled() {
        let scratch = Scratch::new("cancel");
        let id = RunId::new(SystemTime::now()).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(ENDED.into()));
        let (lock, file) = ticket::make(&scratch.0, &id).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(STARTING.into()));
        // Our own process id with another's start time: were it signalled, this test would end here.
        let path = scratch.0.queue().join(file.file_name());
        let line = format!(
            "{{\"holder\":{{\"pid\":{},\"start_time\":1}}}}\n",
            process::own_pid()
        );
        std::fs::write(path, line).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(ENDED.into()));
        ticket::testing::die(&file, lock);
        assert_eq!(ask(&scratch.0, &id, Urgency::Gentle), Err(ENDED.into()));
        // Whoever completes it is not meant.
        let _taken = HeldTicket::of_the_dead(&scratch.0, &id).unwrap();
        assert_eq!(ask(&scratch.0, &id, Urgency::Force), Err(DEAD.into()));
    }
}
