//! What a deploy prints: lines for a person and a table at the end, or JSON lines in the daemon's form.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

use crate::os::clock;
use crate::rollout::{HostEnd, Outcome, Report, State, Verdict};
use crate::wire::{Hostname, RunId, harmless};

pub struct Printer {
    json: bool,
    id: RunId,
    start: Instant,
    pub last: Instant,
    /// Standard output is closed: nobody watches any more.
    pub closed: bool,
}

impl Printer {
    pub fn new(json: bool, id: RunId) -> Self {
        Printer { json, id, start: Instant::now(), last: Instant::now(), closed: false }
    }

    fn line(&mut self, text: &str) {
        let mut out = std::io::stdout().lock();
        self.closed |= writeln!(out, "{text}").and_then(|()| out.flush()).is_err();
        self.last = Instant::now();
    }

    /// One line: of JSON, or for a person.
    fn event(&mut self, phase: &str, message: &str, more: Value, plain: &str) {
        if !self.json {
            let seconds = self.start.elapsed().as_secs();
            return self.line(&format!("{seconds:>4}s  {plain}"));
        }
        let mut event = json!({ "phase": phase, "message": message, "time": clock::now() });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        self.line(&event.to_string());
    }

    pub fn say(&mut self, report: Report) {
        match report {
            Report::Plan { hosts, message } => {
                let plain = format!("deploy {}: {message}: {}", self.id, joined(&hosts));
                self.event("plan", &message, json!({ "id": self.id, "hosts": hosts }), &plain);
            }
            Report::Sent { hosts, message } => self.event("batch", &message, json!({ "hosts": hosts }), &message),
            Report::Host { host, state, error, revision, message } => {
                let code = error.as_ref().map(|code| format!(" ({})", harmless(code))).unwrap_or_default();
                let plain = format!("{host}: {state}{code}: {}", harmless(first_line(&message)));
                let more = json!({ "host": host, "host_status": state, "error": error, "revision": revision });
                self.event("host", &message, more, &plain);
            }
            Report::Note(text) => self.event("note", &text, json!({}), &harmless(&text)),
        }
    }

    pub fn heartbeat(&mut self) {
        self.event("heartbeat", "waiting", json!({}), "waiting");
    }

    /// The summary, or a table. Where nothing was sent, the sentence on standard error is all that a person needs.
    pub fn end(&mut self, outcome: &Outcome) {
        if self.json {
            self.line(&outcome.summary(&self.id).to_string());
        } else if outcome.verdict != Verdict::Nobody {
            ends(outcome).iter().for_each(|line| self.line(line));
        }
    }
}

fn joined<'a>(hosts: impl IntoIterator<Item = &'a Hostname>) -> String {
    hosts.into_iter().map(Hostname::as_str).collect::<Vec<_>>().join(" ")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Columns as wide as their widest cell.
pub fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> Vec<String> {
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn ends(outcome: &Outcome) -> Vec<String> {
    let row = |(name, end): (&Hostname, &HostEnd)| {
        let what = end.error.clone().unwrap_or_else(|| end.state.to_string());
        let commit = end.revision.as_deref().map_or("-", |commit| &commit[..12]);
        let why = if end.state == State::Completed { "" } else { first_line(&end.message) };
        let optional = if end.optional { " (may be away)" } else { "" };
        let why = format!("{}{optional}", harmless(why));
        [name.to_string(), harmless(&what), end.seconds.to_string(), commit.to_owned(), why]
    };
    let rows = outcome.hosts.iter().map(row).collect();
    let mut lines = table(["host", "what happened", "seconds", "commit", "why"], rows);
    lines.extend(outcome.notes.iter().map(|note| format!("note: {}", harmless(note))));
    if !outcome.unexpected.is_empty() {
        lines.push(format!("unexpected: {}", joined(&outcome.unexpected)));
    }
    let error = outcome.error.as_ref().map(|error| format!(": {}", harmless(error))).unwrap_or_default();
    lines.push(format!("{}{error}", outcome.verdict));
    lines
}
