//! One host of the plan.

use std::fmt;

use serde::Serialize;

use super::HostEnd;
use crate::wire::{Answer, Response, Status, Time};

/// Where a host stands. The first three may lead back; what the host itself ended does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
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

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

#[derive(Default)]
pub struct Host {
    /// It answered discovery before the request was published.
    pub discovered: bool,
    /// What it called itself then; a status in its name must say the same.
    pub instance: Option<String>,
    pub began: bool,
    started: bool,
    pub stalled: bool,
    /// The time to accept is over.
    pub late: bool,
    /// Its final status, and when it came.
    pub ended: Option<(Status, Time)>,
    pub error: Option<String>,
    pub revision: Option<String>,
    pub heard: Time,
    /// Seconds between two heartbeats, where the host has said so.
    pub heartbeat: Option<u64>,
    pub messages: u32,
    /// What it said last.
    line: String,
}

impl Host {
    pub fn new(answer: Option<&Answer>, now: Time) -> Self {
        Host {
            discovered: answer.is_some(),
            instance: answer.and_then(|answer| answer.instance.clone()),
            heartbeat: answer.and_then(|answer| answer.heartbeat),
            heard: now,
            ..Host::default()
        }
    }

    pub fn state(&self) -> State {
        match self.ended {
            Some((Status::Completed, _)) => State::Completed,
            Some((Status::Rejected, _)) => State::Rejected,
            Some(_) => State::Failed,
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
    pub fn is(&self, said: Option<&str>) -> bool {
        // A reboot changes what follows the dot.
        let lasting = |instance: &str| instance.split('.').next().map(str::to_owned);
        self.instance.as_deref().is_none_or(|known| said.is_some_and(|said| lasting(said) == lasting(known)))
    }

    /// Takes a status; whether that changes anything. A first final status counts, and nothing leads back from it.
    pub fn take(&mut self, response: &Response, now: Time) -> bool {
        if self.ended.is_some() {
            return false;
        }
        let before = (self.state(), self.line.clone());
        (self.began, self.stalled, self.heard) = (true, false, now);
        self.heartbeat = response.heartbeat.or(self.heartbeat);
        self.started |= response.status == Status::Started;
        if response.status.is_final() {
            self.ended = Some((response.status, now));
            (self.error, self.revision) = (response.error.clone(), response.revision.clone());
        }
        if response.status.is_final() || !response.message.is_empty() {
            self.line = response.message.clone();
        }
        before != (self.state(), self.line.clone())
    }

    /// How it stands at the end of a deploy that began at `begin`; `watched` says whether it was watched to its end.
    pub fn end(&self, begin: Time, now: Time, watched: bool, optional: bool) -> HostEnd {
        let state = match self.state() {
            State::Accepted | State::Started if watched => State::Timeout,
            State::Waiting if watched && self.discovered => State::Unreachable,
            State::Waiting if watched => State::Missing,
            state => state,
        };
        let silent = now.since(self.heard) / 1_000;
        let message = match state {
            State::Missing => "did not answer discovery and did not accept".to_owned(),
            State::Unreachable => "answered discovery and did not accept".to_owned(),
            State::Stalled => format!("accepted, then silent for {silent} s"),
            State::Timeout => format!("accepted, and had not ended in time; last: {}", self.line),
            _ => self.line.clone(),
        };
        let at = self.ended.map_or(now, |(_, at)| at);
        let (error, revision) = (self.error.clone(), self.revision.clone());
        HostEnd { state, error, revision, message, seconds: at.since(begin).div_ceil(1_000), optional }
    }
}
