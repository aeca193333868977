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
use crate::queue::{RunFolder, RunId};

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
    /// Not at all: it is past its deadline, the step decides: `update_container`.
    NeverMidway,
}

/// A tool at work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// Its file name.
    pub program: String,
    /// How it may be ended.
    pub ending: EndPolicy,
    /// Seconds since 1970 until which it may take.
    pub until: u64,
}

/// A line of a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The run's process.
    Holder(Process),
    /// That process is another run, or nobody's: it completes this one, which is dead.
    Completed,
    /// Its turn came, so many milliseconds after 1970.
    Turn(u64),
    /// A tool is about to be started: written before it is, because a holder may be killed between the two.
    Starting(Work),
    /// It was started; it leads a process group of its own.
    Started(Process),
    /// It could not be started.
    NotStarted,
    /// That tool's group is empty.
    Ended(i32),
}

/// What a ticket says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// The run's process, once it has written itself down.
    pub holder: Option<Process>,
    /// Whether its holder completes it, because it is dead.
    pub completed: bool,
    /// When its turn came, if it did.
    pub turn: Option<SystemTime>,
    /// Tools at work; without a process where the holder was killed while it started one.
    pub work: Vec<(Work, Option<Process>)>,
}

/// A ticket in the folder, as anybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Its place in the queue.
    pub number: u64,
    /// Whose it is.
    pub id: RunId,
    path: PathBuf,
}

/// All tickets, lowest first.
pub fn list(places: &Places) -> io::Result<Vec<Seen>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(places.queue())? {
        let path = entry?.path();
        let parsed = path.file_name().and_then(|name| parse(name.to_str()?));
        found.extend(parsed.map(|(number, id)| Seen { number, id, path }));
    }
    found.sort();
    Ok(found)
}

/// The ticket of one run.
pub fn of(places: &Places, id: &RunId) -> io::Result<Option<Seen>> {
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

impl Seen {
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
    pub fn started(&self, places: &Places) -> io::Result<Option<SystemTime>> {
        match self.notes()?.turn {
            None => RunFolder::of(places, &self.id).started(),
            turn => Ok(turn),
        }
    }

    /// Removes the file; one that is gone is no error.
    pub fn remove(&self) -> io::Result<()> {
        files::optional(fs::remove_file(&self.path)).map(|_| ())
    }
}

fn read_notes(text: &[u8]) -> Notes {
    let mut notes = Notes::default();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(line) = line.strip_suffix(b"\n") else {
            break;
        };
        match serde_json::from_slice(line) {
            Ok(Line::Holder(process)) => notes.holder = Some(process),
            Ok(Line::Completed) => notes.completed = true,
            Ok(Line::Turn(millis)) => notes.turn = Some(UNIX_EPOCH + Duration::from_millis(millis)),
            Ok(Line::Starting(work)) => notes.work.push((work, None)),
            Ok(Line::Started(process)) => {
                if let Some((_, started)) = notes.work.last_mut() {
                    *started = Some(process);
                }
            }
            Ok(Line::NotStarted) => drop(notes.work.pop()),
            Ok(Line::Ended(pid)) => notes
                .work
                .retain(|(_, process)| process.map(|one| one.pid) != Some(pid)),
            Err(_) => {}
        }
    }
    notes
}

/// Our own ticket: as long as this, or a child's copy of its descriptor, is open, we live.
#[derive(Debug)]
pub struct Ticket {
    file: File,
    seen: Seen,
    /// Where the lines about tools begin.
    tools_from: u64,
    at_work: usize,
}

impl Ticket {
    /// Makes the next one, locked before it is there under its name. The caller holds the queue lock.
    pub(super) fn make(places: &Places, id: &RunId) -> io::Result<Self> {
        let number = list(places)?.last().map_or(1, |last| last.number + 1);
        let seen = Seen {
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
    pub fn inherited(file: File, seen: Seen) -> Self {
        Self::new(file, seen)
    }

    /// Takes over the ticket of a dead run, whose tools have ended: from now on it says which tools of ours are at work
    /// for it, and the run counts as alive. The caller holds the turn. `None` is a run without one, from before a restart
    /// of the host; it gets the lowest number, because it came before all others.
    pub fn of_the_dead(places: &Places, id: &RunId, seen: Option<&Seen>) -> io::Result<Self> {
        let first = || Seen {
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
        ticket.write(&Line::Completed)?;
        ticket.write_holder()?;
        turn.map_or(Ok(()), |turn| ticket.has_its_turn(turn))?;
        Ok(ticket)
    }

    fn new(file: File, seen: Seen) -> Self {
        Self {
            file,
            seen,
            tools_from: 0,
            at_work: 0,
        }
    }

    /// As others see it.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Writes this process down as its holder.
    pub fn write_holder(&mut self) -> io::Result<()> {
        self.write_holder_as(process::own_pid())
    }

    pub(crate) fn write_holder_as(&mut self, pid: i32) -> io::Result<()> {
        if let Some(process) = Process::of(pid) {
            self.write(&Line::Holder(process))?;
        }
        self.tools_begin_here()
    }

    /// Its turn has come.
    pub fn has_its_turn(&mut self, now: SystemTime) -> io::Result<()> {
        let millis = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        self.write(&Line::Turn(millis))?;
        self.tools_begin_here()
    }

    fn tools_begin_here(&mut self) -> io::Result<()> {
        self.tools_from = self.file.stream_position()?;
        Ok(())
    }

    /// A tool is about to be started.
    pub fn starting(&mut self, work: Work) -> io::Result<()> {
        self.at_work += 1;
        self.write(&Line::Starting(work))
    }

    /// It was started.
    pub fn started(&mut self, pid: i32) -> io::Result<()> {
        match Process::of(pid) {
            Some(process) => self.write(&Line::Started(process)),
            None => Ok(()),
        }
    }

    /// It could not be started.
    pub fn not_started(&mut self) -> io::Result<()> {
        self.close(&Line::NotStarted)
    }

    /// A tool and all of its group have ended.
    pub fn ended(&mut self, pid: i32) -> io::Result<()> {
        self.close(&Line::Ended(pid))
    }

    /// With the last tool gone its lines go, so that a ticket does not grow with the length of a run.
    fn close(&mut self, line: &Line) -> io::Result<()> {
        self.at_work = self.at_work.saturating_sub(1);
        if self.at_work > 0 {
            return self.write(line);
        }
        self.file.set_len(self.tools_from)?;
        self.file.seek(SeekFrom::Start(self.tools_from))?;
        Ok(())
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        self.file.write_all(&json)
    }
}

impl From<Ticket> for OwnedFd {
    fn from(ticket: Ticket) -> Self {
        ticket.file.into()
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
        let seen = ticket.seen().clone();
        lock::testing::let_go(ticket, || !seen.is_live().unwrap());
    }
}

#[cfg(test)]
mod tests {
    use super::testing::die;
    use super::*;
    use crate::queue::folder::testing::Scratch;

    fn work(program: &str) -> Work {
        Work {
            program: program.into(),
            ending: EndPolicy::Terminate,
            until: 7,
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
                .seen
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
        ticket.starting(work("a")).unwrap();
        ticket.started(own).unwrap();
        ticket.starting(work("b")).unwrap();
        let seen = ticket.seen().clone();
        let notes = seen.notes().unwrap();
        assert!(notes.holder.unwrap().lives());
        assert_eq!(notes.work, vec![(work("a"), Process::of(own)), (work("b"), None)]);
        ticket.not_started().unwrap();
        assert_eq!(seen.notes().unwrap().work.len(), 1);
        ticket.ended(own).unwrap();
        assert_eq!(seen.notes().unwrap().work, vec![]);
        // What comes next begins where the last tool's lines were.
        ticket.starting(work("c")).unwrap();
        assert_eq!(seen.notes().unwrap().work, vec![(work("c"), None)]);
        assert_eq!(seen.started(&scratch.0).unwrap(), Some(turn));
        // Whoever takes it over tells it, too.
        die(ticket);
        let _taken = Ticket::of_the_dead(&scratch.0, &id, Some(&seen)).unwrap();
        let notes = seen.notes().unwrap();
        assert_eq!(
            (notes.turn, notes.work, notes.completed),
            (Some(turn), vec![], true)
        );
    }

    #[test]
    fn a_torn_last_line_of_a_ticket_is_left_out() {
        let notes = read_notes(b"{\"holder\":{\"pid\":1,\"start_time\":2}}\n{\"starting\":{\"prog");
        assert_eq!((notes.holder.map(|one| one.pid), notes.work.len()), (Some(1), 0));
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
