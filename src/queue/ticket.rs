//! Tickets: files `<number>-<run id>` in the queue folder, each locked by the run that holds it.
//!
//! That a ticket is locked means that its run lives, and nothing else does: the kernel frees it with the holder's last
//! descriptor. Its content says who the holder is and which tools it has at work. All of that matters only while the
//! host is up, so it is written without waiting for a disk: it outlives the holder, and after a restart of the host
//! there is nobody left to speak of.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::config::Places;
use crate::limits::{MAX_RUN_FILE, STATE_LOCK_WAIT};
use crate::os::{files, lock, process};
use crate::queue::RunId;

/// A process that was written down: its number alone may have been given to another one since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: i32,
    /// Clock ticks since boot.
    pub start_time: u64,
}

impl Process {
    /// The process `pid`, if it lives.
    pub fn of(pid: i32) -> Option<Self> {
        process::start_time(pid).map(|start_time| Self { pid, start_time })
    }

    /// Whether it is still the one that was written down.
    pub fn lives(&self) -> bool {
        process::start_time(self.pid) == Some(self.start_time)
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

/// A tool at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolAtWork {
    /// Its file name.
    pub program: String,
    pub end_policy: EndPolicy,
    /// It leads a process group of its own. `None` while it is being started, since a holder may be killed just then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Process>,
}

/// What a ticket says: its last whole line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// The run's process, once it has written itself down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Process>,
    /// Whether that is another run, or nobody's, which completes this one, because it is dead.
    #[serde(default)]
    pub completed: bool,
    /// When its turn came, in milliseconds after 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u64>,
    #[serde(default)]
    pub tools: Vec<ToolAtWork>,
}

/// A ticket in the folder, as anybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketFile {
    /// Its place in the queue.
    pub number: u64,
    /// Whose it is.
    pub id: RunId,
    path: PathBuf,
}

/// All tickets, lowest first.
pub fn list(places: &Places) -> io::Result<Vec<TicketFile>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(places.queue())? {
        let path = entry?.path();
        let parsed = path.file_name().and_then(|name| parse(name.to_str()?));
        found.extend(parsed.map(|(number, id)| TicketFile { number, id, path }));
    }
    found.sort();
    Ok(found)
}

/// The ticket of one run.
pub fn of(places: &Places, id: &RunId) -> io::Result<Option<TicketFile>> {
    Ok(list(places)?.into_iter().find(|seen| seen.id == *id))
}

/// A ticket's file name. Ten digits sort as numbers do.
pub fn name(number: u64, id: &RunId) -> String {
    format!("{number:010}-{id}")
}

fn parse(name: &str) -> Option<(u64, RunId)> {
    let (number, id) = name.split_once('-')?;
    let number = number.parse().ok()?;
    let id = RunId::parse(id)?;
    (name == self::name(number, &id)).then_some((number, id))
}

impl TicketFile {
    /// The ticket named `name`, whether or not it is there.
    pub fn named(places: &Places, name: &str) -> Option<Self> {
        let (number, id) = parse(name)?;
        let path = places.queue().join(name);
        Some(Self { number, id, path })
    }

    /// Its file's name.
    pub fn file_name(&self) -> String {
        name(self.number, &self.id)
    }

    /// Whether a living process holds it. A ticket that is gone is held by nobody.
    pub fn is_live(&self) -> io::Result<bool> {
        lock::is_held(&self.path)
    }

    /// What it says. A last line that its writer did not finish is left out.
    pub fn notes(&self) -> io::Result<Notes> {
        let Some(text) = files::optional(files::read_bounded(&self.path, MAX_RUN_FILE))? else {
            return Ok(Notes::default());
        };
        Ok(read_notes(&text))
    }

    /// When its run's turn came, if it did. That is of use only while the run is at work or its ticket is there, so it
    /// waits for no disk; after a restart of the host the journal and the log say whether it had come to that.
    pub fn started(&self) -> io::Result<Option<SystemTime>> {
        let turn = self.notes()?.turn;
        Ok(turn.map(|millis| UNIX_EPOCH + Duration::from_millis(millis)))
    }

    /// Removes the file; one that is gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        files::optional(fs::remove_file(&self.path)).map(|_| ())
    }
}

fn read_notes(text: &[u8]) -> Notes {
    let lines = text.split_inclusive(|byte| *byte == b'\n').rev();
    let mut whole = lines.filter_map(|line| serde_json::from_slice(line.strip_suffix(b"\n")?).ok());
    whole.next().unwrap_or_default()
}

/// Our own ticket: as long as this, or a child's copy of its descriptor, is open, we live.
#[derive(Debug)]
pub struct Ticket {
    lock: File,
    file: TicketFile,
    notes: Notes,
    /// Where the lines about tools begin.
    tools_from: u64,
}

impl Ticket {
    /// Makes the next one, locked before it is there under its name. The caller holds the queue lock.
    pub(super) fn make(places: &Places, id: &RunId) -> io::Result<Self> {
        let number = list(places)?.last().map_or(1, |last| last.number + 1);
        let seen = TicketFile {
            number,
            id: id.clone(),
            path: places.queue().join(name(number, id)),
        };
        let temporary = places.queue().join(format!(".{id}"));
        let file = lock::try_exclusive(&temporary)?
            .ok_or_else(|| io::Error::other(format!("{} is somebody else's", temporary.display())))?;
        fs::rename(&temporary, &seen.path)?;
        Ok(Self::new(file, seen))
    }

    /// The one that our starter handed down.
    pub fn inherited(file: File, seen: TicketFile) -> Self {
        Self::new(file, seen)
    }

    /// Takes over the ticket of a dead run, whose tools have ended: from now on it says which tools of ours are at work
    /// for it, and the run counts as alive. The caller holds the turn. `None` is a run without one, from before a restart
    /// of the host; it gets the lowest number, because it came before all others.
    pub fn of_the_dead(places: &Places, id: &RunId, seen: Option<&TicketFile>) -> io::Result<Self> {
        let first = || TicketFile {
            number: 0,
            id: id.clone(),
            path: places.queue().join(name(0, id)),
        };
        let seen = seen.cloned().unwrap_or_else(first);
        // Whoever probes whether its holder lives has it for a moment.
        let file = lock::exclusive_within(&seen.path, STATE_LOCK_WAIT)?;
        let turn = seen.notes()?.turn;
        file.set_len(0)?;
        let mut ticket = Self::new(file, seen);
        (ticket.notes.completed, ticket.notes.turn) = (true, turn);
        ticket.write_holder()?;
        Ok(ticket)
    }

    fn new(lock: File, file: TicketFile) -> Self {
        Self {
            lock,
            file,
            notes: Notes::default(),
            tools_from: 0,
        }
    }

    /// As others see it.
    pub fn file(&self) -> &TicketFile {
        &self.file
    }

    /// Writes this process down as its holder.
    pub fn write_holder(&mut self) -> io::Result<()> {
        self.write_holder_as(process::own_pid())
    }

    pub(crate) fn write_holder_as(&mut self, pid: i32) -> io::Result<()> {
        self.notes.holder = Process::of(pid);
        self.write_beneath_tools()
    }

    /// Its turn has come.
    pub fn has_its_turn(&mut self, now: SystemTime) -> io::Result<()> {
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.notes.turn = Some(millis as u64);
        self.write_beneath_tools()
    }

    /// A tool is about to be started; written before it is, because we may be killed between the two.
    pub fn starting(&mut self, tool: ToolAtWork) -> io::Result<()> {
        self.notes.tools.push(tool);
        self.write()
    }

    /// It was started.
    pub fn started(&mut self, pid: i32) -> io::Result<()> {
        if let Some(tool) = self.notes.tools.last_mut() {
            tool.started = Process::of(pid);
        }
        self.write()
    }

    /// A tool and all of its group have ended; `None` is the one that could not be started.
    pub fn ended(&mut self, pid: Option<i32>) -> io::Result<()> {
        let tools = &mut self.notes.tools;
        tools.retain(|tool| tool.started.map(|process| process.pid) != pid);
        if !tools.is_empty() {
            return self.write();
        }
        // With the last tool gone its lines go, so that a ticket does not grow with the length of a run.
        self.lock.set_len(self.tools_from)?;
        self.lock.seek(SeekFrom::Start(self.tools_from))?;
        Ok(())
    }

    fn write_beneath_tools(&mut self) -> io::Result<()> {
        self.write()?;
        self.tools_from = self.lock.stream_position()?;
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        let mut json = serde_json::to_vec(&self.notes)?;
        json.push(b'\n');
        self.lock.write_all(&json)
    }
}

impl From<Ticket> for OwnedFd {
    fn from(ticket: Ticket) -> Self {
        ticket.lock.into()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// The next ticket.
    pub(crate) fn make(places: &Places, id: &RunId) -> Ticket {
        Ticket::make(places, id).unwrap()
    }

    /// Leaves a ticket as a dead holder does.
    pub(crate) fn die(ticket: Ticket) {
        let seen = ticket.file().clone();
        lock::testing::let_go(ticket, || !seen.is_live().unwrap());
    }
}

#[cfg(test)]
mod tests {
    use super::testing::die;
    use super::*;
    use crate::queue::folder::testing::Scratch;

    fn tool(program: &str, started: Option<Process>) -> ToolAtWork {
        ToolAtWork {
            program: program.into(),
            end_policy: EndPolicy::Terminate,
            started,
        }
    }

    #[test]
    fn tickets_are_numbered_in_order_and_live_as_long_as_they_are_held() {
        let scratch = Scratch::new("ticket-order");
        let ids = [(); 3].map(|()| RunId::new(SystemTime::now()).unwrap());
        let tickets = ids.each_ref().map(|id| Ticket::make(&scratch.0, id).unwrap());
        let seen = list(&scratch.0).unwrap();
        assert_eq!(
            seen.iter().map(|one| &one.id).collect::<Vec<_>>(),
            ids.iter().collect::<Vec<_>>()
        );
        assert!(seen.iter().all(|one| one.is_live().unwrap()));
        tickets.into_iter().for_each(die);
        assert_eq!(
            Ticket::make(&scratch.0, &RunId::new(SystemTime::now()).unwrap())
                .unwrap()
                .file
                .number,
            4
        );
    }

    #[test]
    fn a_ticket_says_who_holds_it_and_what_is_at_work() {
        let scratch = Scratch::new("ticket-notes");
        let id = RunId::new(SystemTime::now()).unwrap();
        let mut ticket = Ticket::make(&scratch.0, &id).unwrap();
        ticket.write_holder().unwrap();
        let turn = UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
        ticket.has_its_turn(turn).unwrap();
        let own = process::own_pid();
        ticket.starting(tool("a", None)).unwrap();
        ticket.started(own).unwrap();
        ticket.starting(tool("b", None)).unwrap();
        let seen = ticket.file().clone();
        let notes = seen.notes().unwrap();
        assert!(notes.holder.unwrap().lives());
        assert_eq!(notes.tools, vec![tool("a", Process::of(own)), tool("b", None)]);
        ticket.ended(None).unwrap();
        assert_eq!(seen.notes().unwrap().tools.len(), 1);
        ticket.ended(Some(own)).unwrap();
        assert_eq!(seen.notes().unwrap().tools, vec![]);
        // What comes next begins where the last tool's lines were.
        ticket.starting(tool("c", None)).unwrap();
        assert_eq!(seen.notes().unwrap().tools, vec![tool("c", None)]);
        assert_eq!(seen.started().unwrap(), Some(turn));
        // Whoever takes it over tells it, too.
        die(ticket);
        let _taken = Ticket::of_the_dead(&scratch.0, &id, Some(&seen)).unwrap();
        let notes = seen.notes().unwrap();
        assert_eq!(
            (notes.turn, notes.tools, notes.completed),
            (Some(1_767_323_045_678), vec![], true)
        );
    }

    #[test]
    fn a_torn_last_line_of_a_ticket_is_left_out() {
        let notes = read_notes(b"{\"holder\":{\"pid\":1,\"start_time\":2}}\n{\"holder\":{\"pid\":1,\"sta");
        assert_eq!((notes.holder.map(|one| one.pid), notes.tools.len()), (Some(1), 0));
        assert_eq!(read_notes(b""), Notes::default());
    }

    #[test]
    fn nothing_but_a_ticket_is_taken_for_one() {
        for name in [
            "",
            ".20260102T030405Z-01234567",
            "1-20260102T030405Z-01234567",
            "+000000001-20260102T030405Z-01234567",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
