//! What a deploy prints: lines for a person and a table at the end, or JSON lines in the daemon's form.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

use crate::os::clock;
use crate::rollout::{Outcome, Report, State};
use crate::wire::{RunId, harmless};

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

    fn event(&mut self, phase: &str, message: &str, more: Value) {
        let mut event = json!({ "phase": phase, "message": message, "time": clock::now() });
        if let (Some(event), Value::Object(more)) = (event.as_object_mut(), more) {
            event.extend(more);
        }
        self.line(&event.to_string());
    }

    fn plain(&mut self, text: &str) {
        let seconds = self.start.elapsed().as_secs();
        self.line(&format!("{seconds:>4}s  {text}"));
    }

    pub fn say(&mut self, report: &Report) {
        match report {
            Report::Plan { hosts, message } if self.json => {
                self.event("plan", message, json!({ "id": self.id.clone(), "hosts": hosts }));
            }
            Report::Plan { hosts, message } => {
                let names: Vec<&str> = hosts.iter().map(|host| host.as_str()).collect();
                self.plain(&format!("deploy {}: {message}: {}", self.id, names.join(" ")));
            }
            Report::Sent { hosts, message } if self.json => self.event("batch", message, json!({ "hosts": hosts })),
            Report::Sent { message, .. } => self.plain(message),
            Report::Host { host, state, error, revision, message } if self.json => {
                let more = json!({ "host": host, "host_status": state.as_str(), "error": error, "revision": revision });
                self.event("host", message, more);
            }
            Report::Host { host, state, error, message, .. } => {
                let error = error.as_ref().map(|code| format!(" ({})", harmless(code))).unwrap_or_default();
                self.plain(&format!("{host}: {}{error}: {}", state.as_str(), harmless(first_line(message))));
            }
            Report::Note(text) if self.json => self.event("note", text, json!({})),
            Report::Note(text) => self.plain(&harmless(text)),
        }
    }

    pub fn heartbeat(&mut self) {
        match self.json {
            true => self.event("heartbeat", "waiting", json!({})),
            false => self.plain("waiting"),
        }
    }

    pub fn end(&mut self, outcome: &Outcome) {
        if self.json {
            let line = outcome.summary(&self.id).to_string();
            return self.line(&line);
        }
        for line in table(outcome) {
            self.line(&line);
        }
    }

    /// An end before there was an outcome.
    pub fn fail(&mut self, error: &str) {
        if self.json {
            let line = json!({ "status": "fail", "error": error, "id": self.id, "revision": null, "hosts": {},
                "missing": [], "unexpected": [], "started_at": clock::now(), "finished_at": clock::now(), "duration_ms": 0 });
            self.line(&line.to_string());
        }
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn table(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    let width = outcome.hosts.keys().map(|name| name.as_str().len()).max().unwrap_or(0).max(4);
    if !outcome.hosts.is_empty() {
        lines.push(format!("{:width$}  {:17}  {:>7}  {:12}  why", "host", "what happened", "seconds", "commit"));
    }
    for (name, end) in &outcome.hosts {
        let what = end.error.as_deref().unwrap_or(end.state.as_str());
        let commit = end.revision.as_deref().map_or("-", |commit| &commit[..12]);
        let why = if end.state == State::Completed { "" } else { first_line(&end.message) };
        let optional = if end.optional { " (may be away)" } else { "" };
        let line = format!(
            "{name:width$}  {:17}  {:>7}  {commit:12}  {}{optional}",
            harmless(what),
            end.seconds,
            harmless(why)
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.extend(outcome.notes.iter().map(|note| format!("note: {}", harmless(note))));
    if !outcome.unexpected.is_empty() {
        let names: Vec<&str> = outcome.unexpected.iter().map(|name| name.as_str()).collect();
        lines.push(format!("unexpected: {}", names.join(" ")));
    }
    let error = outcome.error.as_ref().map(|error| format!(": {}", harmless(error))).unwrap_or_default();
    lines.push(format!("{}{error}", outcome.verdict.as_str()));
    lines
}
