//! The state machine itself.

use std::collections::{BTreeMap, BTreeSet};

use super::host::Host;
use super::{HostEnd, Input, Outcome, Output, Report, Spec, State, Verdict};
use crate::limits::{
    ASK_PAUSE_MS, CLOCK_OFF_MS, DISCOVER_LEAST_MS, DISCOVER_QUIET_MS, MESSAGES_OF_A_HOST, MISSED_HEARTBEATS,
    UNHEARD_MS, UNHEARD_PAUSE_MS,
};
use crate::wire::{Answer, Hostname, Response, Status, Time};

/// Stalled hosts are looked for this often.
const SCAN_MS: u64 = 500;

enum Phase {
    /// Since when, when the last answer came, and who has answered on a connection that is gone.
    Discovering {
        since: Time,
        last_answer: Option<Time>,
        again: BTreeSet<Hostname>,
    },
    /// Since when, when the request is published again, and until when hosts may accept.
    Watching {
        first: Time,
        again: Option<Time>,
        closes: Time,
    },
    Done,
}

pub struct Rollout {
    spec: Spec,
    started: Time,
    deadline: Time,
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
    /// The time of the input that is handled, and what it leads to.
    now: Time,
    out: Vec<Output>,
}

fn report(name: &Hostname, host: &Host, message: String) -> Output {
    let (error, revision) = (host.error.clone(), host.revision.clone());
    Output::Say(Report::Host { host: name.clone(), state: host.state(), error, revision, message })
}

impl Rollout {
    /// The machine, and the first things to do: ask who is there, and whether the server would take the request at all.
    pub fn start(mut spec: Spec, now: Time) -> (Self, Vec<Output>) {
        let deadline = now.plus_ms(spec.timeout_ms);
        // Hosts end a little earlier, so that what they say of it arrives.
        let margin = (spec.timeout_ms / 10).min(15_000);
        spec.request.issued_at = Some(now);
        spec.request.deadline = Some(Time(deadline.0 - margin));
        let outputs = vec![Output::Probe(spec.target.beside()), Output::Discover(None)];
        let rollout = Rollout {
            spec,
            started: now,
            deadline,
            phase: Phase::Discovering { since: now, last_answer: None, again: BTreeSet::new() },
            answers: BTreeMap::new(),
            hosts: BTreeMap::new(),
            open: 0,
            anybody: false,
            accepting: true,
            connected: true,
            broken: false,
            asked: None,
            asked_last: false,
            next_scan: now,
            unexpected: BTreeSet::new(),
            notes: BTreeSet::new(),
            now,
            out: Vec::new(),
        };
        (rollout, outputs)
    }

    /// What is deployed: the request in it is the one to publish.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// When to come with a `Tick` at the latest.
    pub fn wake(&self) -> Option<Time> {
        match self.phase {
            Phase::Done => None,
            Phase::Discovering { .. } => Some(self.discovery_ends().min(self.deadline)),
            Phase::Watching { again, closes, .. } => {
                let scan = (!self.accepting || self.open > 0).then_some(self.next_scan);
                let times = [again, self.accepting.then_some(closes), self.last_question(), scan];
                times.into_iter().flatten().chain([self.deadline]).min()
            }
        }
    }

    pub fn handle(&mut self, input: Input, now: Time) -> Vec<Output> {
        if matches!(self.phase, Phase::Done) {
            return Vec::new();
        }
        self.now = now;
        match input {
            Input::Tick => {}
            Input::Answer(answer) => self.answer(*answer),
            Input::Response(Ok(response)) => self.response(&response),
            Input::Response(Err(why)) => self.note(format!("ignored: {why}")),
            Input::NobodyDiscovers if matches!(self.phase, Phase::Discovering { .. }) && !self.broken => self.publish(),
            Input::NobodyDiscovers => {}
            Input::NobodyDeploys => self.nobody_deploys(),
            Input::Forbidden { publish, subject } => self.forbidden(publish, &subject),
            Input::Disconnected => (self.connected, self.broken) = (false, true),
            Input::Reconnected => self.reconnected(),
            Input::MessagesLost => self.ask(),
            Input::Stop => self.stop(),
        }
        self.advance();
        std::mem::take(&mut self.out)
    }

    // ---- discovery

    fn discovery_ends(&self) -> Time {
        let Phase::Discovering { since, last_answer, again } = &self.phase else {
            return self.deadline;
        };
        let most = since.plus_ms(self.spec.discover_wait_ms);
        if !again.is_empty() {
            return most;
        }
        let quiet = last_answer.map_or(*since, |time| time.plus_ms(DISCOVER_QUIET_MS));
        quiet.max(since.plus_ms(DISCOVER_LEAST_MS)).min(most)
    }

    fn answer(&mut self, answer: Answer) {
        let Phase::Discovering { last_answer, again, .. } = &mut self.phase else {
            return self.later_answer(answer);
        };
        *last_answer = Some(self.now);
        again.remove(&answer.hostname);
        if !self.spec.target.reaches(&answer.subjects()) {
            return;
        }
        let off = answer.time.map_or(0, |time| time.0.abs_diff(self.now.0));
        if off > CLOCK_OFF_MS {
            self.note(format!("the clock of {} is {} s off", answer.hostname, off / 1_000));
        }
        let name = answer.hostname.clone();
        let instance = answer.instance.clone();
        if self.answers.insert(name.clone(), answer).is_some_and(|known| known.instance != instance) {
            self.nobody(format!("two machines call themselves {name}: each would run the deploy; nothing was sent"));
        }
    }

    /// An answer to a question about this deploy: it stands for the statuses that were lost.
    fn later_answer(&mut self, answer: Answer) {
        let id = &self.spec.request.id;
        let mut response = Response::new(answer.hostname, Status::Accepted, String::new());
        match (answer.running, answer.last) {
            (_, Some(last)) if last.id == *id => {
                (response.status, response.error, response.revision) = (last.status, last.error, last.revision);
                response.message = last.message;
            }
            // It says that the run is there, not that it lives.
            (Some(running), _) if running.id == *id => {
                if self.hosts.get(&response.hostname).is_some_and(|host| host.began) {
                    return;
                }
            }
            _ => return,
        }
        (response.heartbeat, response.instance) = (answer.heartbeat, answer.instance);
        self.response(&response);
    }

    /// Discovery is over: the plan, and the request.
    fn publish(&mut self) {
        let answers = std::mem::take(&mut self.answers);
        let wanted = self.spec.expected.as_ref().unwrap_or(&self.spec.optional);
        let planned = wanted.iter().map(|name| (name.clone(), Host::new(answers.get(name), self.now)));
        self.hosts.extend(planned);
        if self.spec.expected.is_some() {
            self.unexpected.extend(answers.into_keys().filter(|name| !self.hosts.contains_key(name)));
        } else {
            self.anybody = answers.is_empty();
            let found = answers.into_iter().map(|(name, answer)| (name, Host::new(Some(&answer), self.now)));
            self.hosts.extend(found);
        }
        self.open = self.hosts.len();
        let away: Vec<&str> =
            self.hosts.iter().filter(|(_, host)| !host.discovered).map(|(name, _)| name.as_str()).collect();
        let there = self.hosts.len() - away.len();
        let message = match away.len() {
            _ if self.anybody => "no host answered: the plan is whoever accepts".to_owned(),
            0 => format!("{there} hosts"),
            count => format!("{there} hosts; {count} did not answer: {}", away.join(", ")),
        };
        let reached = there + self.unexpected.len();
        if let Some(most) = self.spec.max_hosts.filter(|most| reached > *most) {
            let why = format!("{reached} hosts would be deployed, and at most {most} are allowed; nothing was sent");
            return self.nobody(why);
        }
        let hosts: Vec<Hostname> = self.hosts.keys().cloned().collect();
        self.out.push(Output::Say(Report::Plan { hosts: hosts.clone(), message }));
        self.out.push(Output::Deploy);
        let message = format!("published to {}", self.spec.target);
        self.out.push(Output::Say(Report::Sent { hosts, message }));
        let closes = self.now.plus_ms(self.spec.accept_wait_ms);
        self.phase = Phase::Watching { first: self.now, again: None, closes };
        self.next_scan = self.now.plus_ms(SCAN_MS);
    }

    // ---- the request

    fn nobody_deploys(&mut self) {
        if self.broken || self.hosts.values().any(|host| host.began) {
            return;
        }
        let Phase::Watching { first, again, .. } = &mut self.phase else {
            return;
        };
        if self.now.since(*first) < UNHEARD_MS {
            *again = Some(self.now.plus_ms(UNHEARD_PAUSE_MS));
        } else {
            self.nobody(format!("no listener on {}", self.spec.target));
        }
    }

    fn forbidden(&mut self, publish: bool, subject: &str) {
        // The subject beside the target is only a hint: a key may be allowed the target and nothing else.
        if publish && subject == self.spec.target.beside().as_str() {
            if matches!(self.phase, Phase::Discovering { .. }) {
                self.out.push(Output::Probe(self.spec.target.clone()));
            }
            return;
        }
        let sent = self.hosts.values().any(|host| host.began);
        let verdict = if sent { Verdict::Unknown } else { Verdict::Nobody };
        self.finish(Some((verdict, crate::wire::forbidden(publish, subject))));
    }

    fn reconnected(&mut self) {
        self.connected = true;
        // Hosts come back when we do: what is published before they have is lost.
        if let Phase::Discovering { since, last_answer, again, .. } = &mut self.phase {
            (*since, *last_answer) = (self.now, None);
            again.extend(self.answers.keys().cloned());
            self.out.push(Output::Discover(None));
        } else if let Phase::Watching { closes, .. } = &mut self.phase {
            // They have as long again as a question takes.
            *closes = (*closes).max(self.now.plus_ms(ASK_PAUSE_MS));
            self.ask();
        }
    }

    fn ask(&mut self) {
        if matches!(self.phase, Phase::Watching { .. }) {
            self.asked = Some(self.now);
            self.out.push(Output::Discover(Some(self.spec.request.id.clone())));
        }
    }

    // ---- statuses

    fn response(&mut self, response: &Response) {
        let name = &response.hostname;
        if !matches!(self.phase, Phase::Watching { .. }) {
            return;
        }
        if response.id.as_ref().is_some_and(|id| *id != self.spec.request.id) {
            return self.note(format!("ignored: a status of {name} for another deploy"));
        }
        if !self.hosts.contains_key(name) && !self.joins(response) {
            return;
        }
        let host = self.hosts.get_mut(name).expect("it is in the plan, or has joined");
        host.messages += 1;
        if host.messages > MESSAGES_OF_A_HOST {
            return self.note(format!("ignored: more than {MESSAGES_OF_A_HOST} messages of {name}"));
        }
        if !host.is(response.instance.as_deref()) {
            return self.note(format!("ignored: a status in the name of {name} that is not of that machine"));
        }
        self.open -= usize::from(!host.settled());
        if host.take(response, self.now) {
            self.out.push(report(name, host, response.message.clone()));
        }
        self.open += usize::from(!host.settled());
    }

    /// A host that is not in the plan: whether it joins.
    fn joins(&mut self, response: &Response) -> bool {
        let name = response.hostname.clone();
        if self.spec.expected.is_some() || !self.accepting {
            if self.unexpected.insert(name.clone()) {
                self.out.push(Output::Say(Report::Note(format!("{name} answers and is not in the plan"))));
            }
            return false;
        }
        let mut host = Host::new(None, self.now);
        host.instance = response.instance.clone();
        self.hosts.insert(name, host);
        self.open += 1;
        true
    }

    fn note(&mut self, text: String) {
        if self.notes.len() < 1_000 && self.notes.insert(text.clone()) {
            self.out.push(Output::Say(Report::Note(text)));
        }
    }

    // ---- time

    fn last_question(&self) -> Option<Time> {
        let before = (self.spec.timeout_ms / 5).min(5_000);
        (!self.asked_last).then_some(Time(self.deadline.0 - before))
    }

    /// What the time alone brings.
    fn advance(&mut self) {
        let now = self.now;
        match &mut self.phase {
            Phase::Done => {}
            Phase::Discovering { .. } if now >= self.deadline => {
                self.nobody("the time was over before anything was sent".to_owned());
            }
            Phase::Discovering { .. } => {
                if now >= self.discovery_ends() && self.connected {
                    self.publish();
                }
            }
            Phase::Watching { .. } if now >= self.deadline => self.finish(None),
            Phase::Watching { again, closes, .. } => {
                if again.is_some_and(|time| now >= time) {
                    *again = None;
                    *closes = (*closes).max(now.plus_ms(self.spec.accept_wait_ms));
                    self.out.push(Output::Deploy);
                }
                let closes = *closes;
                self.watch(closes);
            }
        }
    }

    fn watch(&mut self, closes: Time) {
        let now = self.now;
        if self.accepting && now >= closes && self.connected {
            self.close();
        }
        if now >= self.next_scan {
            self.next_scan = now.plus_ms(SCAN_MS);
            self.scan();
        }
        if self.last_question().is_some_and(|time| now >= time) {
            self.asked_last = true;
            self.ask();
        }
        if self.open == 0 && !(self.accepting && (self.anybody || self.hosts.is_empty())) {
            self.finish(None);
        }
    }

    /// The time to accept is over: nobody joins any more.
    fn close(&mut self) {
        self.accepting = false;
        for (name, host) in self.hosts.iter_mut().filter(|(_, host)| !host.began) {
            host.late = true;
            self.open -= 1;
            self.out.push(report(name, host, "has not accepted".to_owned()));
        }
    }

    fn scan(&mut self) {
        let mut stalled = false;
        for (name, host) in self.hosts.iter_mut().filter(|(_, host)| host.began && host.ended.is_none()) {
            let Some(seconds) = host.heartbeat else { continue };
            let silent = self.now.since(host.heard);
            if silent > seconds * 1_000 * MISSED_HEARTBEATS && !host.stalled && self.connected {
                host.stalled = true;
                self.out.push(report(name, host, format!("has said nothing for {} s", silent / 1_000)));
            }
            stalled |= host.stalled;
        }
        if stalled && self.asked.is_none_or(|asked| self.now.since(asked) >= ASK_PAUSE_MS * 5) {
            self.ask();
        }
    }

    // ---- the end

    fn stop(&mut self) {
        match self.phase {
            Phase::Discovering { .. } => self.nobody("stopped before anything was sent".to_owned()),
            _ => self.finish(Some((Verdict::Unknown, "the watching was ended; the deploy goes on".to_owned()))),
        }
    }

    fn nobody(&mut self, why: String) {
        self.finish(Some((Verdict::Nobody, why)));
    }

    fn finish(&mut self, early: Option<(Verdict, String)>) {
        self.phase = Phase::Done;
        let watched = !matches!(early, Some((Verdict::Unknown, _)));
        let end = |(name, host): (Hostname, Host)| {
            let optional = self.spec.skip_offline || self.spec.optional.contains(&name);
            (name, host.end(self.started, self.now, watched, optional))
        };
        let hosts: BTreeMap<Hostname, HostEnd> = std::mem::take(&mut self.hosts).into_iter().map(end).collect();
        let (verdict, error) = match early {
            Some((verdict, why)) => (verdict, Some(why)),
            None => verdict(&hosts, self.connected),
        };
        self.out.push(Output::Finish(Outcome {
            verdict,
            error,
            hosts,
            unexpected: std::mem::take(&mut self.unexpected),
            notes: std::mem::take(&mut self.notes),
            started: self.started,
            finished: self.now,
        }));
    }
}

fn verdict(hosts: &BTreeMap<Hostname, HostEnd>, connected: bool) -> (Verdict, Option<String>) {
    let has = |states: &[State]| hosts.values().any(|end| states.contains(&end.state));
    let failed: Vec<String> = hosts
        .iter()
        .filter(|(_, end)| end.state != State::Completed && !(end.optional && end.away()))
        .map(|(name, end)| format!("{name} {}", end.state))
        .collect();
    if !failed.is_empty() && !connected && !has(&[State::Failed, State::Rejected]) {
        return (Verdict::Unknown, Some("the connection to the server is lost".to_owned()));
    }
    if !failed.is_empty() {
        return (Verdict::Fail, Some(failed.join(", ")));
    }
    if !has(&[State::Completed]) {
        return (Verdict::Unknown, Some("it was sent, and no host has answered".to_owned()));
    }
    (Verdict::Ok, None)
}
