//! The state machine itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Host, HostEnd, Input, Outcome, Output, Report, Spec, State, Verdict};
use crate::limits::{
    ASK_PAUSE_MS, CLOCK_OFF_MS, DISCOVER_LEAST_MS, DISCOVER_QUIET_MS, MESSAGES_OF_A_HOST, MISSED_HEARTBEATS,
    UNHEARD_MS, UNHEARD_PAUSE_MS,
};
use crate::wire::{Answer, Hostname, Response, RunId, Status, Time};

/// Stalled hosts are looked for this often.
const SCAN_MS: u64 = 500;

enum Phase {
    /// Since when, when the last answer came, and who has answered on a connection that is gone.
    Discovering {
        since: Time,
        last_answer: Option<Time>,
        nobody: bool,
        again: BTreeSet<Hostname>,
    },
    Watching {
        first: Time,
        last: Time,
        again: Option<Time>,
        closes: Time,
    },
    Done,
}

pub struct Rollout {
    spec: Spec,
    phase: Phase,
    answers: BTreeMap<Hostname, Answer>,
    hosts: BTreeMap<Hostname, Host>,
    /// Of them, those that are still waited for.
    open: usize,
    /// The plan is whoever accepts: discovery named nobody, and nothing says who must be there.
    anybody: bool,
    accepting: bool,
    connected: bool,
    /// The connection broke once: from then on a 503 proves nothing.
    broken: bool,
    asked: Option<Time>,
    asked_last: bool,
    next_scan: Time,
    unexpected: BTreeSet<Hostname>,
    notes: BTreeSet<String>,
}

impl Rollout {
    /// The machine, and the first things to do: ask who is there, and whether the server would take the request at all.
    pub fn start(spec: Spec) -> (Self, Vec<Output>) {
        let outputs = vec![Output::Probe(spec.target.beside()), Output::Discover(None)];
        let rollout = Rollout {
            phase: Phase::Discovering { since: spec.started, last_answer: None, nobody: false, again: BTreeSet::new() },
            answers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            open: 0,
            anybody: false,
            accepting: true,
            connected: true,
            broken: false,
            asked: None,
            asked_last: false,
            next_scan: spec.started,
            unexpected: BTreeSet::new(),
            notes: BTreeSet::new(),
            spec,
        };
        (rollout, outputs)
    }

    pub fn id(&self) -> &RunId {
        &self.spec.request.id
    }

    /// When to come with a `Tick` at the latest.
    pub fn wake(&self) -> Option<Time> {
        match &self.phase {
            Phase::Done => None,
            Phase::Discovering { .. } => Some(self.discovery_ends().min(self.spec.deadline)),
            Phase::Watching { again, closes, .. } => {
                let mut next = self.spec.deadline;
                for time in [*again, self.accepting.then_some(*closes), self.last_question()].into_iter().flatten() {
                    next = next.min(time);
                }
                Some(if self.accepting && self.open == 0 { next } else { next.min(self.next_scan) })
            }
        }
    }

    pub fn handle(&mut self, input: Input, now: Time) -> Vec<Output> {
        let mut out = Vec::new();
        if matches!(self.phase, Phase::Done) {
            return out;
        }
        match input {
            Input::Tick => {}
            Input::Answer(answer) => self.answer(*answer, now, &mut out),
            Input::Response(Ok(response)) => self.response(&response, now, &mut out),
            Input::Response(Err(why)) => self.note(format!("ignored: {why}"), &mut out),
            Input::NobodyDiscovers => self.nobody_discovers(),
            Input::NobodyDeploys => self.nobody_deploys(now, &mut out),
            Input::Forbidden { publish, subject } => self.forbidden(publish, &subject, now, &mut out),
            Input::Disconnected => {
                self.connected = false;
                self.broken = true;
            }
            Input::Reconnected => self.reconnected(now, &mut out),
            Input::MessagesLost => self.ask(now, &mut out),
            Input::Stop => return vec![self.stop(now)],
        }
        self.advance(now, &mut out);
        out
    }

    // ---- discovery

    fn discovery_ends(&self) -> Time {
        let Phase::Discovering { since, last_answer, nobody, again } = &self.phase else {
            return self.spec.deadline;
        };
        if *nobody && !self.broken {
            return *since;
        }
        let most = since.plus_ms(self.spec.discover_wait_ms);
        if !again.is_empty() {
            return most;
        }
        let quiet = last_answer.map_or(*since, |time| time.plus_ms(DISCOVER_QUIET_MS));
        quiet.max(since.plus_ms(DISCOVER_LEAST_MS)).min(most)
    }

    fn nobody_discovers(&mut self) {
        if let Phase::Discovering { nobody, .. } = &mut self.phase {
            *nobody = !self.broken;
        }
    }

    fn answer(&mut self, answer: Answer, now: Time, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Discovering { last_answer, again, .. } => {
                *last_answer = Some(now);
                again.remove(&answer.hostname);
                if !self.spec.target.reaches(&answer.subjects()) {
                    return;
                }
                self.name_wrong_clock(&answer, now, out);
                let known = self.answers.get(&answer.hostname);
                if known.is_some_and(|known| known.instance != answer.instance) {
                    let why = format!(
                        "two machines call themselves {}: each would run the deploy; nothing was sent",
                        answer.hostname
                    );
                    out.push(self.finish(Some((Verdict::Nobody, why)), now));
                    return;
                }
                self.answers.insert(answer.hostname.clone(), answer);
            }
            Phase::Watching { .. } => self.later_answer(&answer, now, out),
            Phase::Done => {}
        }
    }

    fn name_wrong_clock(&mut self, answer: &Answer, now: Time, out: &mut Vec<Output>) {
        let off = answer.time.map_or(0, |time| time.0.abs_diff(now.0));
        if off > CLOCK_OFF_MS {
            self.note(format!("the clock of {} is {} s off", answer.hostname, off / 1_000), out);
        }
    }

    /// An answer to a question about this deploy: it stands for the statuses that were lost.
    fn later_answer(&mut self, answer: &Answer, now: Time, out: &mut Vec<Output>) {
        let id = self.spec.request.id.clone();
        let (status, error, revision, message) = match (&answer.running, &answer.last) {
            (_, Some(last)) if last.id == id => {
                (last.status, last.error.clone(), last.revision.clone(), last.message.clone())
            }
            // It says that the run is there, not that it lives.
            (Some(running), _) if running.id == id => {
                if self.hosts.get(&answer.hostname).is_some_and(|host| host.began) {
                    return;
                }
                (Status::Accepted, None, None, String::new())
            }
            _ => return,
        };
        let response = Response {
            hostname: answer.hostname.clone(),
            status,
            error,
            message,
            id: Some(id),
            revision,
            time: answer.time,
            run: None,
            heartbeat: answer.heartbeat,
            instance: answer.instance.clone(),
        };
        self.response(&response, now, out);
    }

    /// Discovery is over: the plan, and the request.
    fn publish(&mut self, now: Time, out: &mut Vec<Output>) {
        let answers = std::mem::take(&mut self.answers);
        match &self.spec.expected {
            Some(expected) => {
                for name in expected {
                    self.hosts.insert(name.clone(), Host::new(answers.get(name), now));
                }
                self.unexpected.extend(answers.into_keys().filter(|name| !expected.contains(name)));
            }
            None => {
                self.anybody = answers.is_empty();
                self.hosts.extend(answers.into_iter().map(|(name, answer)| (name, Host::new(Some(&answer), now))));
                for name in &self.spec.optional {
                    self.hosts.entry(name.clone()).or_insert_with(|| Host::new(None, now));
                }
            }
        }
        self.open = self.hosts.len();
        let names: Vec<Hostname> = self.hosts.keys().cloned().collect();
        let reached = self.hosts.values().filter(|host| host.discovered).count() + self.unexpected.len();
        if let Some(most) = self.spec.max_hosts.filter(|most| reached > *most) {
            let why = format!("{reached} hosts would be deployed, and at most {most} are allowed; nothing was sent");
            out.push(self.finish(Some((Verdict::Nobody, why)), now));
            return;
        }
        out.push(Output::Say(Report::Plan { hosts: names.clone(), message: self.plan_message() }));
        out.push(Output::Deploy);
        let message = format!("published to {}", self.spec.target);
        out.push(Output::Say(Report::Sent { hosts: names, message }));
        self.phase =
            Phase::Watching { first: now, last: now, again: None, closes: now.plus_ms(self.spec.accept_wait_ms) };
        self.next_scan = now.plus_ms(SCAN_MS);
    }

    fn plan_message(&self) -> String {
        let away: Vec<&str> =
            self.hosts.iter().filter(|(_, host)| !host.discovered).map(|(name, _)| name.as_str()).collect();
        let there = self.hosts.len() - away.len();
        if self.anybody {
            return "no host answered: the plan is whoever accepts".to_owned();
        }
        match away.len() {
            0 => format!("{there} hosts"),
            count => format!("{there} hosts; {count} did not answer: {}", away.join(", ")),
        }
    }

    // ---- the request

    fn nobody_deploys(&mut self, now: Time, out: &mut Vec<Output>) {
        if self.broken || self.hosts.values().any(|host| host.began) {
            return;
        }
        let Phase::Watching { first, again, .. } = &mut self.phase else {
            return;
        };
        if now.since(*first) < UNHEARD_MS {
            *again = Some(now.plus_ms(UNHEARD_PAUSE_MS));
        } else {
            let why = format!("no listener on {}", self.spec.target);
            out.push(self.finish(Some((Verdict::Nobody, why)), now));
        }
    }

    fn forbidden(&mut self, publish: bool, subject: &str, now: Time, out: &mut Vec<Output>) {
        // The subject beside the target is only a hint: a key may be allowed the target and nothing else.
        if publish && subject == self.spec.target.beside().as_str() {
            if matches!(self.phase, Phase::Discovering { .. }) {
                out.push(Output::Probe(self.spec.target.clone()));
            }
            return;
        }
        let what = if publish { "publish to" } else { "subscribe to" };
        let why = format!("the server does not let this key {what} {subject}");
        let sent = self.hosts.values().any(|host| host.began);
        let verdict = if sent { Verdict::Unknown } else { Verdict::Nobody };
        out.push(self.finish(Some((verdict, why)), now));
    }

    fn reconnected(&mut self, now: Time, out: &mut Vec<Output>) {
        self.connected = true;
        if let Phase::Watching { closes, .. } = &mut self.phase {
            // Hosts come back when we do: they have as long again as a question takes.
            if self.accepting {
                *closes = (*closes).max(now.plus_ms(ASK_PAUSE_MS));
            }
            self.ask(now, out);
        } else if let Phase::Discovering { since, last_answer, again, .. } = &mut self.phase {
            // Hosts come back when we do: what is published before they have is lost.
            (*since, *last_answer) = (now, None);
            again.extend(self.answers.keys().cloned());
            out.push(Output::Discover(None));
        }
    }

    fn ask(&mut self, now: Time, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Watching { .. }) {
            self.asked = Some(now);
            out.push(Output::Discover(Some(self.spec.request.id.clone())));
        }
    }

    // ---- statuses

    fn response(&mut self, response: &Response, now: Time, out: &mut Vec<Output>) {
        let Phase::Watching { .. } = self.phase else {
            return;
        };
        if response.id.as_ref().is_some_and(|id| *id != self.spec.request.id) {
            return self.note(format!("ignored: a status of {} for another deploy", response.hostname), out);
        }
        if !self.hosts.contains_key(&response.hostname) && !self.joins(response, now, out) {
            return;
        }
        let host = self.hosts.get_mut(&response.hostname).expect("it is in the plan, or has joined");
        host.messages += 1;
        if host.messages > MESSAGES_OF_A_HOST {
            return self
                .note(format!("ignored: more than {MESSAGES_OF_A_HOST} messages of {}", response.hostname), out);
        }
        if !host.is(response.instance.as_deref()) {
            let why = format!("ignored: a status in the name of {} that is not of that machine", response.hostname);
            return self.note(why, out);
        }
        let settled = host.settled();
        if host.take(response, now) {
            out.push(Output::Say(Report::Host {
                host: response.hostname.clone(),
                state: host.state(),
                error: response.error.clone(),
                revision: response.revision.clone(),
                message: response.message.clone(),
            }));
        }
        match (settled, host.settled()) {
            (false, true) => self.open -= 1,
            (true, false) => self.open += 1,
            _ => {}
        }
    }

    /// A host that is not in the plan: whether it joins.
    fn joins(&mut self, response: &Response, now: Time, out: &mut Vec<Output>) -> bool {
        if self.spec.expected.is_some() || !self.accepting {
            if self.unexpected.insert(response.hostname.clone()) {
                let why = format!("{} answers and is not in the plan", response.hostname);
                out.push(Output::Say(Report::Note(why)));
            }
            return false;
        }
        let mut host = Host::new(None, now);
        host.instance = response.instance.clone();
        self.hosts.insert(response.hostname.clone(), host);
        self.open += 1;
        true
    }

    fn note(&mut self, text: String, out: &mut Vec<Output>) {
        if self.notes.len() < 1_000 && self.notes.insert(text.clone()) {
            out.push(Output::Say(Report::Note(text)));
        }
    }

    // ---- time

    fn last_question(&self) -> Option<Time> {
        let whole = self.spec.deadline.since(self.spec.started);
        let before = (whole / 5).min(5_000);
        (!self.asked_last).then_some(Time(self.spec.deadline.0 - before))
    }

    /// What the time alone brings.
    fn advance(&mut self, now: Time, out: &mut Vec<Output>) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        if now >= self.spec.deadline {
            let sent = matches!(self.phase, Phase::Watching { .. });
            let early = (!sent).then(|| (Verdict::Nobody, "the time was over before anything was sent".to_owned()));
            out.push(self.finish(early, now));
            return;
        }
        if matches!(self.phase, Phase::Discovering { .. }) && now >= self.discovery_ends() && self.connected {
            return self.publish(now, out);
        }
        let Phase::Watching { last, again, closes, .. } = &mut self.phase else {
            return;
        };
        if again.is_some_and(|time| now >= time) {
            (*again, *last) = (None, now);
            *closes = (*closes).max(now.plus_ms(self.spec.accept_wait_ms));
            out.push(Output::Deploy);
        }
        let closing = self.accepting && now >= *closes && self.connected;
        if closing {
            self.close(out);
        }
        if now >= self.next_scan {
            self.next_scan = now.plus_ms(SCAN_MS);
            self.scan(now, out);
        }
        if self.last_question().is_some_and(|time| now >= time) {
            self.asked_last = true;
            self.ask(now, out);
        }
        if self.open == 0 && !(self.accepting && (self.anybody || self.hosts.is_empty())) {
            out.push(self.finish(None, now));
        }
    }

    /// The time to accept is over: nobody joins any more.
    fn close(&mut self, out: &mut Vec<Output>) {
        self.accepting = false;
        for (name, host) in &mut self.hosts {
            if host.began || host.ended.is_some() {
                continue;
            }
            host.late = true;
            self.open -= 1;
            out.push(Output::Say(Report::Host {
                host: name.clone(),
                state: host.state(),
                error: None,
                revision: None,
                message: "has not accepted".to_owned(),
            }));
        }
    }

    fn scan(&mut self, now: Time, out: &mut Vec<Output>) {
        let mut stalled = false;
        for (name, host) in &mut self.hosts {
            let Some(seconds) = host.heartbeat.filter(|_| host.began && host.ended.is_none()) else {
                continue;
            };
            let silent = now.since(host.heard) > seconds * 1_000 * MISSED_HEARTBEATS;
            if silent && !host.stalled && self.connected {
                host.stalled = true;
                out.push(Output::Say(Report::Host {
                    host: name.clone(),
                    state: State::Stalled,
                    error: None,
                    revision: None,
                    message: format!("has said nothing for {} s", now.since(host.heard) / 1_000),
                }));
            }
            stalled |= host.stalled;
        }
        if stalled && self.asked.is_none_or(|asked| now.since(asked) >= ASK_PAUSE_MS * 5) {
            self.ask(now, out);
        }
    }

    // ---- the end

    fn stop(&mut self, now: Time) -> Output {
        let early = match self.phase {
            Phase::Discovering { .. } => (Verdict::Nobody, "stopped before anything was sent".to_owned()),
            _ => (Verdict::Unknown, "the watching was ended; the deploy goes on".to_owned()),
        };
        self.finish(Some(early), now)
    }

    fn finish(&mut self, early: Option<(Verdict, String)>, now: Time) -> Output {
        self.phase = Phase::Done;
        let spec = &self.spec;
        let ends: BTreeMap<Hostname, HostEnd> = std::mem::take(&mut self.hosts)
            .into_iter()
            .map(|(name, host)| {
                let optional = spec.skip_offline || spec.optional.contains(&name);
                let watching = early.as_ref().is_some_and(|(verdict, _)| *verdict == Verdict::Unknown);
                let end = end_of(&host, optional, spec.started, now, watching);
                (name, end)
            })
            .collect();
        let missing = ends
            .iter()
            .filter(|(_, end)| matches!(end.state, State::Missing | State::Unreachable))
            .map(|(name, _)| name.clone())
            .collect();
        let (verdict, error) = match early {
            Some((verdict, why)) => (verdict, Some(why)),
            None => verdict(&ends, self.connected),
        };
        Output::Finish(Outcome {
            verdict,
            error,
            hosts: ends,
            missing,
            unexpected: std::mem::take(&mut self.unexpected),
            notes: std::mem::take(&mut self.notes).into_iter().collect(),
            started: spec.started,
            finished: now,
        })
    }
}

fn end_of(host: &Host, optional: bool, started: Time, now: Time, early: bool) -> HostEnd {
    let state = match host.state() {
        State::Accepted | State::Started if !early => State::Timeout,
        State::Waiting if !early && host.discovered => State::Unreachable,
        State::Waiting if !early => State::Missing,
        state => state,
    };
    let (error, revision, message, at) = match &host.ended {
        Some(ended) => (ended.error.clone(), ended.revision.clone(), ended.message.clone(), ended.at),
        None => (None, None, reason(state, host, now), now),
    };
    HostEnd { state, error, revision, message, seconds: at.since(started).div_ceil(1_000), optional }
}

/// Why a host has no result.
fn reason(state: State, host: &Host, now: Time) -> String {
    let silent = now.since(host.heard) / 1_000;
    match state {
        State::Missing => "did not answer discovery and did not accept".to_owned(),
        State::Unreachable => "answered discovery and did not accept".to_owned(),
        State::Stalled => format!("accepted, then silent for {silent} s"),
        State::Timeout => format!("accepted, and had not ended in time; last: {}", host.line),
        _ => host.line.clone(),
    }
}

fn verdict(ends: &BTreeMap<Hostname, HostEnd>, connected: bool) -> (Verdict, Option<String>) {
    let away = |end: &HostEnd| matches!(end.state, State::Missing | State::Unreachable);
    let failed: Vec<String> = ends
        .iter()
        .filter(|(_, end)| end.state != State::Completed && !(end.optional && away(end)))
        .map(|(name, end)| format!("{name} {}", end.state.as_str()))
        .collect();
    let known = ends.values().any(|end| matches!(end.state, State::Failed | State::Rejected));
    if !failed.is_empty() && !connected && !known {
        return (Verdict::Unknown, Some("the connection to the server is lost".to_owned()));
    }
    if !failed.is_empty() {
        return (Verdict::Fail, Some(failed.join(", ")));
    }
    if !ends.values().any(|end| end.state == State::Completed) {
        return (Verdict::Unknown, Some("it was sent, and no host has answered".to_owned()));
    }
    (Verdict::Ok, None)
}
