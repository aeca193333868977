//! curl, as CI uses it: one request, and when each line of the answer came.

use super::PATIENCE;
use super::process::{installed, text};
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A server and the certificate that it is known by.
#[derive(Clone)]
pub struct Client {
    /// `https://localhost:PORT`.
    pub url: String,
    /// What curl trusts.
    pub ca: PathBuf,
}

/// What came back.
#[derive(Debug, Default)]
pub struct Answer {
    /// 0 when the connection was closed without an answer.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's lines, with the time from the start of curl.
    pub lines: Vec<(Duration, String)>,
    /// curl's exit status; `None` when it was killed.
    pub exit: Option<i32>,
    /// What curl said of an error.
    pub error: String,
}

/// A request under way. Dropped, it is a caller that vanished.
pub struct Call {
    child: Child,
    incoming: Receiver<(Duration, String)>,
    answer: Answer,
    in_head: bool,
}

impl Client {
    /// GET, to its end.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.start(path, &[] as &[&str]).finish()
    }

    /// POST with a token and a body, to its end.
    #[track_caller]
    pub fn post(&self, path: &str, token: &str, body: &str) -> Answer {
        self.start_post(path, token, body).finish()
    }

    /// POST with a token and a body, still running.
    pub fn start_post(&self, path: &str, token: &str, body: &str) -> Call {
        let authorization = format!("Authorization: Bearer {token}");
        self.start(path, &["-X", "POST", "-H", &authorization, "-d", body])
    }

    /// GET with a token, still running.
    pub fn start_get(&self, path: &str, token: &str) -> Call {
        self.start(path, &["-H", &format!("Authorization: Bearer {token}")])
    }

    /// Any request: curl with these further arguments.
    pub fn start(&self, path: &str, arguments: &[impl AsRef<OsStr>]) -> Call {
        let mut command = installed("curl", "curl");
        command
            .args(["-sS", "-N", "-i", "--max-time", "3600", "--cacert"])
            .arg(&self.ca);
        Call::start(command.args(arguments).arg(format!("{}{path}", self.url)))
    }
}

impl Call {
    fn start(command: &mut Command) -> Call {
        let start = Instant::now();
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().expect("starting curl");
        let mut output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        let (sender, incoming) = channel();
        thread::spawn(move || {
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let whole = text(&line);
                line.clear();
                if sender
                    .send((start.elapsed(), whole.trim_end_matches(['\r', '\n']).to_string()))
                    .is_err()
                {
                    break;
                }
            }
        });
        Call {
            child,
            incoming,
            answer: Answer::default(),
            in_head: true,
        }
    }

    /// Waits for a line of the body with `part` in it, and returns it. Fails when the answer ends without one.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) -> String {
        let limit = Instant::now() + 5 * PATIENCE;
        let mut seen = 0;
        loop {
            if let Some((_, line)) = self.answer.lines[seen..]
                .iter()
                .find(|(_, line)| line.contains(part))
            {
                return line.clone();
            }
            seen = self.answer.lines.len();
            match self
                .incoming
                .recv_timeout(limit.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.take(line),
                Err(_) => panic!("no line with {part:?} in {:#?}", self.answer),
            }
        }
    }

    /// What has come so far.
    pub fn so_far(&mut self) -> &Answer {
        while let Ok(line) = self.incoming.try_recv() {
            self.take(line);
        }
        &self.answer
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish(mut self) -> Answer {
        while let Ok(line) = self.incoming.recv() {
            self.take(line);
        }
        let mut said = Vec::new();
        let mut errors = self.child.stderr.take().expect("standard error is piped");
        errors.read_to_end(&mut said).expect("reading what curl said");
        let mut answer = std::mem::take(&mut self.answer);
        answer.error = text(&said);
        answer.exit = self.child.wait().expect("waiting for curl").code();
        answer
    }

    /// Kills the caller.
    pub fn vanish(self) {}

    fn take(&mut self, (at, line): (Duration, String)) {
        if !self.in_head {
            self.answer.lines.push((at, line));
        } else if let Some(rest) = line.strip_prefix("HTTP/") {
            self.answer.status = rest
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .unwrap_or(0);
            self.answer.headers.clear();
        } else if let Some((name, value)) = line.split_once(':') {
            self.answer
                .headers
                .push((name.to_lowercase(), value.trim().to_string()));
        } else if line.is_empty() {
            // A head with 100 is followed by the real one.
            self.in_head = (100..200).contains(&self.answer.status);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// A header's value, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body's lines as one text.
    pub fn body(&self) -> String {
        self.lines
            .iter()
            .map(|(_, line)| line.as_str())
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The body's lines as JSON.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}: {self:#?}"))
        };
        self.lines.iter().map(|(_, line)| parse(line)).collect()
    }

    /// The phases that were gone through, each named once a stretch, without heartbeats.
    #[track_caller]
    pub fn phases(&self) -> Vec<String> {
        let events = self.events();
        let names = events
            .iter()
            .filter_map(|event| event["phase"].as_str())
            .filter(|name| *name != "heartbeat");
        let mut phases: Vec<String> = names.map(str::to_string).collect();
        phases.dedup();
        phases
    }

    /// The last line of a run. Fails when the stream ended without one.
    #[track_caller]
    pub fn outcome(&self) -> Value {
        let last = self
            .events()
            .pop()
            .unwrap_or_else(|| panic!("an answer without a line: {self:#?}"));
        assert!(
            last.get("phase").is_none(),
            "the last line is not an outcome: {self:#?}"
        );
        last
    }

    /// Fails, showing everything, unless the run ended with `ok`.
    #[track_caller]
    pub fn assert_ok(&self) -> &Answer {
        assert_eq!(self.status, 200, "{self:#?}");
        assert_eq!(self.outcome()["status"], "ok", "{self:#?}");
        self
    }

    /// Fails, showing everything, unless the run ended with `fail`; the error.
    #[track_caller]
    pub fn assert_failed(&self) -> String {
        assert_eq!(self.status, 200, "{self:#?}");
        assert_eq!(self.outcome()["status"], "fail", "{self:#?}");
        self.outcome()["error"]
            .as_str()
            .unwrap_or_else(|| panic!("a failure without an error: {self:#?}"))
            .to_string()
    }
}
