//! A run's log: the only thing that it writes its events to, and what every follower reads.
//!
//! A line is one write(2) of an append, so a reader sees whole lines and at most one torn tail, where a writer died. A
//! log that cannot be written is said once in the daemon's log; the run goes on and is recorded all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;

use crate::event::{Event, Outcome, Phase, bounded, harmless, outcome_of, to_line};
use crate::limits::{LOG_BLOCK, MAX_LINE, MAX_LOG};
use crate::os::{clock, files};
use crate::queue::RunId;
use crate::run::mask::Mask;

/// What the run's own lines may add to a full log.
const OWN_LINES: u64 = MAX_LOG / 8;

/// The end of a log, in bytes, in which its last line is looked for. A line of ours is far shorter.
const TAIL: u64 = 32 * MAX_LINE as u64;

/// An open log.
pub struct Log {
    file: Option<BufWriter<File>>,
    run_id: RunId,
    /// With what is buffered.
    length: u64,
    most: u64,
    full_was_said: bool,
    /// What no line shows.
    pub mask: Mask,
}

impl Log {
    /// Opens the log at `path`, making it if need be. A torn tail, which a writer left that died, goes.
    pub fn open(path: &Path, run_id: &RunId) -> Self {
        let opened = open(path).inspect_err(|error| {
            let why = files::describe(error, "open", path);
            log::error!("run {run_id} has no log: {why}");
        });
        let (file, length) = opened.ok().unzip();
        Self {
            file: file.map(|file| BufWriter::with_capacity(LOG_BLOCK, file)),
            run_id: run_id.clone(),
            length: length.unwrap_or_default(),
            most: MAX_LOG,
            full_was_said: false,
            mask: Mask::default(),
        }
    }

    /// Adds a line of the run itself. The message is made harmless and cut at [`MAX_LINE`] bytes; the first line of a log
    /// names the run.
    pub fn say(&mut self, phase: Phase, message: &str) {
        self.add(phase, message, self.most + OWN_LINES);
        self.flush();
    }

    /// Adds what a tool has printed, while there is room for it. [`Log::flush`] is to be called before the next wait: each
    /// write wakes every follower.
    pub fn relay(&mut self, phase: Phase, message: &str) {
        self.add(phase, message, self.most);
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) {
        self.write(BufWriter::flush);
    }

    fn write(&mut self, act: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if let Some(file) = &mut self.file
            && let Err(error) = act(file)
        {
            log::error!("run {} loses its log from here on: {error}", self.run_id);
            self.file = None;
        }
    }

    fn add(&mut self, phase: Phase, message: &str, room: u64) {
        if self.length >= self.most && !self.full_was_said {
            self.full_was_said = true;
            let most = self.most;
            let full = format!("the log has reached {most} bytes: tools are not shown any more");
            self.add(phase, &full, u64::MAX);
        }
        if self.length < room {
            let event = Event {
                phase,
                message: bounded(&harmless(&self.mask.cover(message))),
                time: clock::rfc3339(SystemTime::now()),
                run_id: (self.length == 0).then(|| self.run_id.to_string()),
            };
            self.append(to_line(&event));
        }
    }

    fn append(&mut self, mut line: String) {
        line.push('\n');
        self.length += line.len() as u64;
        self.write(|file| file.write_all(line.as_bytes()));
    }

    /// Adds the last line, whatever the length, unless it is there.
    pub fn end_once(&mut self, outcome: &Outcome) {
        let line = to_line(outcome);
        if self.last_line().as_ref() != Some(&line) {
            self.append(line);
            self.flush();
        }
    }

    /// The outcome in the last line, if it is one.
    pub fn outcome(&self) -> Option<Outcome> {
        outcome_of(&self.last_line()?)
    }

    fn last_line(&self) -> Option<String> {
        let length = TAIL.min(self.length);
        let tail = self.read(self.length - length, length)?;
        tail.lines().last().map(str::to_owned)
    }

    /// Whether it tells of more than waiting: then the run had its turn.
    pub fn is_past_the_queue(&self) -> bool {
        let head = self.read(0, TAIL.min(self.length)).unwrap_or_default();
        let (event, waiting) = ("{\"phase\":\"", "{\"phase\":\"queued\"");
        // Not the last piece: behind the last newline is nothing, or what does not fit.
        head.split_inclusive('\n')
            .any(|line| line.ends_with('\n') && line.starts_with(event) && !line.starts_with(waiting))
    }

    fn read(&self, from: u64, length: u64) -> Option<String> {
        let mut bytes = vec![0; length as usize];
        let file = self.file.as_ref()?.get_ref();
        file.read_exact_at(&mut bytes, from).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The file, and where its last newline ends.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let end = file.metadata()?.len();
    let from = end.saturating_sub(TAIL);
    let mut tail = vec![0; (end - from) as usize];
    file.read_exact_at(&mut tail, from)?;
    let newline = tail.iter().rposition(|byte| *byte == b'\n');
    let length = newline.map_or(from, |at| from + at as u64 + 1);
    if length < end {
        file.set_len(length)?;
    }
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::folder::testing::Scratch;

    fn id() -> RunId {
        RunId::parse("20260102T030405Z-01234567").unwrap()
    }

    fn lines(path: &Path) -> Vec<Event> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn the_first_line_names_the_run_and_no_other_does() {
        let scratch = Scratch::new("log-first");
        let path = scratch.0.runs.join("log");
        for message in ["one", "two\n\u{1b}[31mred"] {
            Log::open(&path, &id()).say(Phase::Pull, message);
        }
        let lines = lines(&path);
        assert_eq!(lines[0].run_id.as_deref(), Some(id().as_str()));
        assert_eq!(lines[1].run_id, None);
        assert_eq!(lines[1].message, "two\u{fffd}\u{fffd}[31mred");
    }

    #[test]
    fn a_full_log_keeps_the_runs_own_lines_and_says_once_that_it_is_full() {
        let scratch = Scratch::new("log-full");
        let path = scratch.0.runs.join("log");
        let mut log = Log::open(&path, &id());
        log.most = 500;
        for _ in 0..100 {
            log.relay(Phase::Pull, "from a tool");
        }
        log.say(Phase::Pull, "from the run");
        let messages: Vec<String> = lines(&path).into_iter().map(|event| event.message).collect();
        assert!(messages.len() < 20);
        assert_eq!(messages.last().unwrap(), "from the run");
        let full = messages
            .iter()
            .filter(|message| message.contains("has reached"))
            .count();
        assert_eq!(full, 1);
    }

    #[test]
    fn the_lines_of_a_tool_are_written_together_and_in_order() {
        let scratch = Scratch::new("log-together");
        let path = scratch.0.runs.join("log");
        let mut log = Log::open(&path, &id());
        let length = || std::fs::metadata(&path).unwrap().len();
        let text = "x".repeat(100);
        log.say(Phase::Pull, "before");
        let (before, mut seen) = (length(), Vec::new());
        for number in 0..2000 {
            let message = format!("{number} {text}");
            log.relay(Phase::Pull, &message);
            seen.push(length());
        }
        log.flush();
        assert_eq!(seen[0], before);
        seen.dedup();
        assert!(seen.len() <= 2000 * 200 / LOG_BLOCK + 1, "{seen:?}");
        log.say(Phase::Pull, "after");
        let messages: Vec<String> = lines(&path).into_iter().map(|event| event.message).collect();
        assert_eq!(messages.len(), 2002);
        assert!(messages[1].starts_with("0 x") && messages[2000].starts_with("1999 x"));
        assert_eq!(messages[2001], "after");
        assert_eq!(log.length, length());
    }

    #[test]
    fn a_line_torn_by_a_dead_writer_goes_when_the_log_is_opened_again() {
        let scratch = Scratch::new("log-torn");
        let path = scratch.0.runs.join("log");
        Log::open(&path, &id()).say(Phase::Pull, "whole");
        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"phase\":\"pu");
        std::fs::write(&path, text).unwrap();
        Log::open(&path, &id()).say(Phase::Pull, "next");
        assert_eq!(lines(&path).len(), 2);
    }

    #[test]
    fn no_line_shows_a_hidden_word() {
        let scratch = Scratch::new("log-mask");
        let path = scratch.0.runs.join("log");
        let mut log = Log::open(&path, &id());
        log.mask.hide(&crate::os::secret::Secret::new("hunter2".into()));
        log.relay(Phase::Pull, "it is hunter2");
        log.say(Phase::Pull, "it is hunter2");
        let messages: Vec<String> = lines(&path).into_iter().map(|event| event.message).collect();
        assert_eq!(messages, ["it is ***", "it is ***"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let text = "\u{e9}".repeat(MAX_LINE);
        assert!(bounded(&text).len() < MAX_LINE + 20);
    }
}
