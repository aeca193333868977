//! One host of the plan.

use crate::wire::{Answer, Response, Status, Time};

/// Where a host stands. The first three may lead back; what the host itself ended does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It was not there at discovery, and has not accepted.
    Missing,
    /// It was there, and has not accepted in time.
    Unreachable,
    Waiting,
    Accepted,
    Started,
    /// Three heartbeats are missing.
    Stalled,
    Completed,
    Failed,
    Rejected,
    /// The deploy ended before it did.
    Timeout,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Missing => "missing",
            State::Unreachable => "unreachable",
            State::Waiting => "waiting",
            State::Accepted => "accepted",
            State::Started => "started",
            State::Stalled => "stalled",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Rejected => "rejected",
            State::Timeout => "timeout",
        }
    }
}

/// A final status of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub status: Status,
    pub error: Option<String>,
    pub revision: Option<String>,
    pub message: String,
    pub at: Time,
}

#[derive(Clone, Debug)]
pub struct Host {
    /// It answered discovery before the request was published.
    pub discovered: bool,
    /// What it called itself then; a status in its name must say the same.
    pub instance: Option<String>,
    pub began: bool,
    pub started: bool,
    pub stalled: bool,
    /// The time to accept is over.
    pub late: bool,
    pub ended: Option<Ended>,
    pub heard: Time,
    /// Seconds between two heartbeats, where the host has said so.
    pub heartbeat: Option<u64>,
    pub messages: u32,
    /// What it said last.
    pub line: String,
}

/// The part of an instance that a reboot does not change.
fn lasting(instance: &str) -> &str {
    instance.split('.').next().unwrap_or_default()
}

impl Host {
    pub fn new(answer: Option<&Answer>, now: Time) -> Self {
        Host {
            discovered: answer.is_some(),
            instance: answer.and_then(|answer| answer.instance.clone()),
            began: false,
            started: false,
            stalled: false,
            late: false,
            ended: None,
            heard: now,
            heartbeat: answer.and_then(|answer| answer.heartbeat),
            messages: 0,
            line: String::new(),
        }
    }

    pub fn state(&self) -> State {
        match &self.ended {
            Some(ended) => match ended.status {
                Status::Completed => State::Completed,
                Status::Rejected => State::Rejected,
                _ => State::Failed,
            },
            None if self.stalled => State::Stalled,
            None if self.started => State::Started,
            None if self.began => State::Accepted,
            None if self.late && self.discovered => State::Unreachable,
            None if self.late => State::Missing,
            None => State::Waiting,
        }
    }

    /// Whether nothing more is waited for.
    pub fn settled(&self) -> bool {
        self.ended.is_some() || (self.late && !self.began)
    }

    /// Whether what calls itself this host is the one that discovery found. A listener's key may publish any status.
    pub fn is(&self, instance: Option<&str>) -> bool {
        match (&self.instance, instance) {
            (Some(known), Some(said)) => lasting(known) == lasting(said),
            (Some(_), None) => false,
            (None, _) => true,
        }
    }

    /// Takes a status. A first final status counts, and nothing leads back from it.
    pub fn take(&mut self, response: &Response, now: Time) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let before = (self.state(), self.line.clone());
        self.alive(now);
        self.heartbeat = response.heartbeat.or(self.heartbeat);
        if !response.message.is_empty() {
            self.line = response.message.clone();
        }
        self.started |= response.status == Status::Started;
        if response.status.is_final() {
            self.ended = Some(Ended {
                status: response.status,
                error: response.error.clone(),
                revision: response.revision.clone(),
                message: response.message.clone(),
                at: now,
            });
        }
        before != (self.state(), self.line.clone())
    }

    pub fn alive(&mut self, now: Time) {
        self.began = true;
        self.stalled = false;
        self.heard = now;
    }
}
