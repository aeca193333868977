//! [simulation] The deployer's decisions and the listener's, driven by seeded histories: messages are delayed, lost, doubled
//! and reordered, server, deployer and hosts restart, clocks are off, 503s are true and false, hosts lie about their names.
//! A failing seed prints its history; put it into [`KNOWN`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Mutex;
use std::time::Instant;

use homelab_deploy::host::admission::{Admission, Present, Verdict};
use homelab_deploy::rollout::{Input, Outcome, Output, Rollout, Spec, State, Verdict as End};
use homelab_deploy::wire::message::Incoming;
use homelab_deploy::wire::{Action, Answer, Hostname, Last, Request, Response, RunId, Running, Status, Subject, Time};

/// Seeds that have failed once.
const KNOWN: [u64; 0] = [];
/// So many hosts are all there, and nothing is lost.
const ALL_THERE: usize = 10_000;
const START: u64 = 1_800_000_000_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a history is made of.
struct World {
    loss: u64,
    double: u64,
    delay: u64,
    crash: u64,
    server: u64,
    liar: u64,
}

#[derive(Clone)]
enum Event {
    Tick,
    ToDeployer(Box<Input>),
    Request(usize, Vec<u8>),
    Question(usize, Option<RunId>),
    RunEnds(usize, RunId),
    Beat(usize, RunId),
    HostBack(usize),
    ServerDown,
    ServerUp,
    Lie,
}

struct SimHost {
    name: Hostname,
    instance: String,
    /// How far its clock is off, in milliseconds.
    clock: i64,
    up: bool,
    joined: bool,
    /// On disk.
    admission: Admission,
    running: Option<(Running, Request)>,
    results: BTreeMap<RunId, Last>,
    /// Runs that were begun, with the host's time.
    begun: Vec<(RunId, Time)>,
    fails: bool,
    works_ms: u64,
}

struct Sim {
    random: Random,
    world: World,
    now: u64,
    queue: BinaryHeap<std::cmp::Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    number: u64,
    hosts: Vec<SimHost>,
    server_up: bool,
    request: Vec<u8>,
    id: RunId,
    deadline: Time,
    published: u32,
    ended: Option<Outcome>,
    history: Vec<String>,
    keep_history: bool,
    /// Hosts whose answer has reached the deployer before the request went: of others it does not know what they call
    /// themselves, and a lie about them needs signed statuses to be seen.
    discovered: BTreeSet<Hostname>,
}

impl Sim {
    fn new(seed: u64, hosts: usize, keep_history: bool) -> (Sim, Rollout) {
        let mut random = Random(seed);
        let calm = random.chance(20) || hosts == ALL_THERE;
        let pick = |random: &mut Random, most: u64| if calm { 0 } else { random.below(most) };
        let world = World {
            loss: pick(&mut random, 30),
            double: pick(&mut random, 20),
            delay: pick(&mut random, 3_000),
            crash: pick(&mut random, 8),
            server: pick(&mut random, 4),
            liar: pick(&mut random, 3),
        };
        let timeout = 5_000 + random.below(60_000);
        let id = RunId::from_random([random.next() as u8; 16]);
        let deadline = Time(START + timeout);
        let sim_hosts: Vec<SimHost> =
            (0..hosts).map(|number| SimHost::new(number, hosts == ALL_THERE, &mut random)).collect();
        let expected: Option<BTreeSet<Hostname>> =
            random.chance(40).then(|| sim_hosts.iter().map(|host| host.name.clone()).collect());
        let (target, revision) = ("deploy.test.all".parse().unwrap(), "main".parse().unwrap());
        let mut spec = Spec::new(target, Action::Switch, revision, id.clone(), None);
        (spec.timeout_ms, spec.expected) = (timeout, expected);
        let (rollout, outputs) = Rollout::start(spec, Time(START));
        let mut sim = Sim {
            random,
            world,
            now: START,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            number: 0,
            hosts: sim_hosts,
            server_up: true,
            request: serde_json::to_vec(&rollout.spec().request).unwrap(),
            id,
            deadline,
            published: 0,
            ended: None,
            history: Vec::new(),
            keep_history,
            discovered: BTreeSet::new(),
        };
        sim.obey(outputs);
        (sim, rollout)
    }

    fn log(&mut self, text: impl FnOnce() -> String) {
        if self.keep_history {
            let line = format!("{:>7} {}", self.now - START, text());
            self.history.push(line);
        }
    }

    fn at(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.events.insert(self.number, event);
        self.queue.push(std::cmp::Reverse((time.max(self.now), self.number)));
    }

    /// A message on its way: lost, doubled, late.
    fn send(&mut self, event: Event) {
        if !self.server_up || self.random.chance(self.world.loss) {
            return self.log(|| "lost".to_owned());
        }
        let copies = 1 + u64::from(self.random.chance(self.world.double));
        for _ in 0..copies {
            let delay = 1 + self.random.below(self.world.delay.max(3));
            self.at(self.now + delay, event.clone());
        }
    }

    fn obey(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            assert!(self.ended.is_none(), "something after the end");
            match output {
                Output::Deploy => self.deploy(),
                Output::Discover(id) => {
                    for host in 0..self.hosts.len() {
                        self.send(Event::Question(host, id.clone()));
                    }
                    if self.hosts.iter().all(|host| !host.up) && self.random.chance(50) {
                        self.send(Event::ToDeployer(Box::new(Input::NobodyDiscovers)));
                    }
                }
                Output::Probe(_) => {}
                Output::Say(report) => self.log(|| format!("says {report:?}")),
                Output::Finish(outcome) => self.ended = Some(outcome),
            }
        }
    }

    fn deploy(&mut self) {
        self.published += 1;
        self.log(|| "publishes".to_owned());
        let listening = self.server_up && self.hosts.iter().any(|host| host.up && host.joined);
        if !listening {
            // The server's word comes at once and in order, on the connection that the request went.
            if self.server_up {
                self.at(self.now + 1, Event::ToDeployer(Box::new(Input::NobodyDeploys)));
            }
            return;
        }
        let request = self.request.clone();
        for host in 0..self.hosts.len() {
            self.send(Event::Request(host, request.clone()));
        }
    }

    fn respond(&mut self, host: usize, status: Status, error: Option<&str>, id: &RunId) {
        let from = &self.hosts[host];
        let response = Response {
            hostname: from.name.clone(),
            status,
            error: error.map(str::to_owned),
            message: String::new(),
            id: Some(id.clone()),
            revision: None,
            time: None,
            run: None,
            heartbeat: Some(1),
            instance: Some(from.instance.clone()),
        };
        self.send(Event::ToDeployer(Box::new(Input::Response(Ok(Box::new(response))))));
    }
}

impl SimHost {
    fn new(number: usize, all_there: bool, random: &mut Random) -> SimHost {
        SimHost {
            name: format!("h{number}").parse().unwrap(),
            instance: format!("token{number}.boot"),
            clock: random.below(80_000) as i64 - 40_000,
            up: all_there || random.chance(92),
            joined: true,
            admission: Admission::default(),
            running: None,
            results: BTreeMap::new(),
            begun: Vec::new(),
            fails: random.chance(10),
            works_ms: 50 + random.below(8_000),
        }
    }

    fn time(&self, now: u64) -> Time {
        Time(now.saturating_add_signed(self.clock))
    }
}

impl Sim {
    fn host_request(&mut self, host: usize, bytes: &[u8]) {
        let now = self.now;
        let it = &mut self.hosts[host];
        if !it.up {
            return;
        }
        let incoming = Incoming::read(bytes).unwrap();
        let present =
            Present { now: it.time(now), running: it.running.as_ref().map(|(running, _)| running), held: None };
        let (verdict, _) = it.admission.decide(&incoming, bytes, &present);
        let id = incoming.id();
        match verdict {
            Verdict::Accept(request) => {
                let time = it.time(now);
                it.begun.push((id.clone(), time));
                let limit = request.deadline.unwrap();
                it.running = Some((Running::of(&request, time), *request));
                let works = it.works_ms;
                self.log(|| format!("h{host} begins, until {limit}"));
                self.respond(host, Status::Accepted, None, &id);
                self.at(now + works, Event::RunEnds(host, id.clone()));
                self.at(now + 1_000, Event::Beat(host, id));
            }
            Verdict::Repeat => {
                if let Some(last) = self.hosts[host].results.get(&id).cloned() {
                    self.respond(host, last.status, last.error.as_deref(), &id);
                } else if self.hosts[host].running.is_some() {
                    self.respond(host, Status::Started, None, &id);
                }
            }
            Verdict::Reject(code, _) => self.respond(host, Status::Rejected, Some(&code.to_string()), &id),
        }
    }

    fn host_question(&mut self, host: usize, id: Option<RunId>) {
        let it = &self.hosts[host];
        if !it.up {
            return;
        }
        let last = id.and_then(|id| it.results.get(&id)).or_else(|| it.results.values().next_back()).cloned();
        let answer = Answer {
            hostname: it.name.clone(),
            tier: None,
            role: None,
            subjects: vec!["deploy.test.all".parse::<Subject>().unwrap()],
            instance: Some(it.instance.clone()),
            version: None,
            backend: None,
            timeout: None,
            heartbeat: Some(1),
            time: Some(it.time(self.now)),
            running: it.running.as_ref().map(|(running, _)| running.clone()),
            last,
            held: None,
        };
        self.send(Event::ToDeployer(Box::new(Input::Answer(Box::new(answer)))));
    }

    /// The run ends, whatever became of the listener: it is a process of its own.
    fn run_ends(&mut self, host: usize, id: RunId) {
        let now = self.now;
        let it = &mut self.hosts[host];
        if it.running.take().is_none() {
            return;
        }
        let (status, error) = if it.fails { (Status::Failed, Some("build_failed")) } else { (Status::Completed, None) };
        let finished_at = it.time(now);
        let last = Last {
            id: id.clone(),
            status,
            error: error.map(str::to_owned),
            revision: None,
            finished_at,
            message: String::new(),
        };
        it.results.insert(id.clone(), last);
        if it.up {
            self.respond(host, status, error, &id);
        }
    }

    fn host_back(&mut self, host: usize) {
        self.hosts[host].up = true;
        self.hosts[host].joined = true;
        if let Some(last) = self.hosts[host].results.values().next_back().cloned() {
            self.respond(host, last.status, last.error.as_deref(), &last.id);
        }
    }

    /// Another listener says that a host has completed. It does not know what that one calls itself.
    fn lie(&mut self) {
        let about = self.random.below(self.hosts.len() as u64) as usize;
        let hostname = self.hosts[about].name.clone();
        if !self.discovered.contains(&hostname) {
            return;
        }
        let response = Response {
            hostname,
            status: Status::Completed,
            error: None,
            message: String::new(),
            id: Some(self.id.clone()),
            revision: None,
            time: None,
            run: None,
            heartbeat: None,
            instance: self.random.chance(50).then(|| "guessed.boot".to_owned()),
        };
        self.send(Event::ToDeployer(Box::new(Input::Response(Ok(Box::new(response))))));
    }

    fn step(&mut self, rollout: &mut Rollout, event: Event) {
        let outputs = match event {
            Event::Tick => rollout.handle(Input::Tick, Time(self.now)),
            Event::ToDeployer(input) => {
                self.log(|| format!("hears {input:?}"));
                if let (Input::Answer(answer), 0) = (&*input, self.published) {
                    self.discovered.insert(answer.hostname.clone());
                }
                rollout.handle(*input, Time(self.now))
            }
            Event::Request(host, bytes) => {
                self.host_request(host, &bytes);
                Vec::new()
            }
            Event::Question(host, id) => {
                self.host_question(host, id);
                Vec::new()
            }
            Event::RunEnds(host, id) => {
                self.run_ends(host, id);
                Vec::new()
            }
            Event::Beat(host, id) => {
                if self.hosts[host].running.is_some() && self.now < self.deadline.0 + 10_000 {
                    if self.hosts[host].up {
                        self.respond(host, Status::Started, None, &id);
                    }
                    self.at(self.now + 1_000, Event::Beat(host, id));
                }
                Vec::new()
            }
            Event::HostBack(host) => {
                self.host_back(host);
                Vec::new()
            }
            Event::ServerDown => {
                self.log(|| "the server goes".to_owned());
                self.server_up = false;
                let back = self.now + 100 + self.random.below(2_000);
                self.at(back, Event::ServerUp);
                rollout.handle(Input::Disconnected, Time(self.now))
            }
            Event::ServerUp => self.server_back(rollout),
            Event::Lie => {
                self.lie();
                Vec::new()
            }
        };
        self.obey(outputs);
    }

    fn server_back(&mut self, rollout: &mut Rollout) -> Vec<Output> {
        self.log(|| "the server is back".to_owned());
        self.server_up = true;
        let mut outputs = rollout.handle(Input::Reconnected, Time(self.now));
        // Each listener comes back at a time of its own.
        for host in 0..self.hosts.len() {
            if self.hosts[host].up {
                self.hosts[host].up = false;
                let back = self.now + self.random.below(600);
                self.at(back, Event::HostBack(host));
            }
        }
        if self.random.chance(30) {
            outputs.extend(rollout.handle(Input::NobodyDeploys, Time(self.now)));
        }
        if self.random.chance(10) {
            outputs.extend(rollout.handle(Input::MessagesLost, Time(self.now)));
        }
        outputs
    }

    fn disturb(&mut self) {
        let host = self.random.below(self.hosts.len() as u64) as usize;
        if self.random.chance(self.world.crash) && self.hosts[host].up {
            self.log(|| format!("h{host} restarts"));
            self.hosts[host].up = false;
            let back = self.now + 100 + self.random.below(5_000);
            self.at(back, Event::HostBack(host));
        }
        if self.server_up && self.random.chance(self.world.server) {
            let time = self.now + self.random.below(500);
            self.at(time, Event::ServerDown);
        }
        if self.random.chance(self.world.liar) {
            self.at(self.now, Event::Lie);
        }
    }

    fn run(&mut self, rollout: &mut Rollout) {
        let disturb_every = 16.max(self.hosts.len() as u64 / 4);
        let mut steps = 0_u64;
        while self.ended.is_none() {
            let wake = rollout.wake().expect("it has not ended").0.max(self.now);
            let next = self.queue.peek().map(|std::cmp::Reverse((time, _))| *time);
            let event = match next {
                Some(time) if time <= wake => {
                    let std::cmp::Reverse((time, number)) = self.queue.pop().unwrap();
                    self.now = time;
                    self.events.remove(&number).unwrap()
                }
                _ => {
                    // A tick never comes early, and may come late.
                    self.now = wake + self.random.below(20);
                    Event::Tick
                }
            };
            if matches!(event, Event::ServerDown) && !self.server_up {
                continue;
            }
            self.step(rollout, event);
            steps += 1;
            if steps.is_multiple_of(disturb_every) {
                self.disturb();
            }
            assert!(steps < 20_000_000, "it does not end");
        }
        // What comes after the end has no effect.
        let after = rollout.handle(Input::Reconnected, Time(self.now + 1));
        assert!(after.is_empty(), "something after the end");
        assert!(rollout.wake().is_none());
    }

    fn check(&self) {
        let outcome = self.ended.as_ref().unwrap();
        assert!(
            outcome.finished.0 <= self.deadline.0 + 20,
            "it ended {} ms late",
            outcome.finished.0 - self.deadline.0
        );
        for host in &self.hosts {
            let runs = host.begun.iter().filter(|(id, _)| *id == self.id).count();
            assert!(runs <= 1, "{} ran it {runs} times", host.name);
            for (_, time) in &host.begun {
                let limit = self.deadline.0 + 30_000;
                assert!(time.0 <= limit, "{} began what has expired", host.name);
            }
            let truth = host.results.get(&self.id).map(|last| last.status);
            let said = outcome.hosts.get(&host.name).map(|end| end.state);
            if said == Some(State::Completed) {
                assert_eq!(truth, Some(Status::Completed), "{} is said to have completed", host.name);
            }
            if outcome.verdict == End::Ok && said.is_some() {
                assert_eq!(truth, Some(Status::Completed), "ok, and {} has not completed", host.name);
            }
            if outcome.verdict == End::Nobody {
                assert!(host.begun.is_empty(), "{} has begun, and it is said that nobody got it", host.name);
            }
        }
        assert!(outcome.hosts.values().all(|end| end.state != State::Waiting || outcome.verdict == End::Unknown));
        if outcome.verdict == End::Ok {
            assert!(outcome.hosts.values().all(|end| end.state == State::Completed));
            assert!(!outcome.hosts.is_empty());
        }
    }
}

fn play(seed: u64, hosts: usize, keep_history: bool) -> Result<Outcome, String> {
    let history = RefCell::new(Vec::new());
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let (mut sim, mut rollout) = Sim::new(seed, hosts, keep_history);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            sim.run(&mut rollout);
            sim.check();
        }));
        history.replace(std::mem::take(&mut sim.history));
        match ended {
            Ok(()) => sim.ended.take().unwrap(),
            Err(why) => std::panic::resume_unwind(why),
        }
    }));
    played.map_err(|why| {
        let why =
            why.downcast_ref::<String>().cloned().or_else(|| why.downcast_ref::<&str>().map(|why| (*why).to_owned()));
        format!("seed {seed}, {hosts} hosts: {}\n{}", why.unwrap_or_default(), history.borrow().join("\n"))
    })
}

fn hosts_of(seed: u64) -> usize {
    match seed % 100 {
        0 => 300,
        1..=9 => 40,
        _ => 1 + (seed % 7) as usize,
    }
}

#[test]
fn simulation_of_seeded_histories_keeps_every_promise() {
    let count = if crate::support::all() { 100_000 } else { 100 };
    let mut ends: BTreeMap<u8, u32> = BTreeMap::new();
    std::panic::set_hook(Box::new(|_| {}));
    let seeds: Vec<u64> = KNOWN.into_iter().chain(1..=count).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (wrong, played) = (Mutex::new(None), Mutex::new(&mut ends));
    std::thread::scope(|scope| {
        for share in seeds.chunks(seeds.len().div_ceil(threads)) {
            let (wrong, played) = (&wrong, &played);
            scope.spawn(move || {
                for &seed in share {
                    match play(seed, hosts_of(seed), false) {
                        Ok(outcome) => *played.lock().unwrap().entry(outcome.verdict.exit_status()).or_default() += 1,
                        Err(_) => return *wrong.lock().unwrap() = play(seed, hosts_of(seed), true).err(),
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    drop(std::panic::take_hook());
    assert!(wrong.is_none(), "{}", wrong.unwrap());
    // It reaches each kind of end, or it simulates nothing.
    assert!(ends.len() >= 3 && ends.contains_key(&0) && ends.contains_key(&1), "{ends:?}");
}

#[test]
fn simulation_would_see_a_host_that_runs_twice_and_a_lie_that_is_believed() {
    let (mut sim, mut rollout) = Sim::new(5, 2, false);
    sim.run(&mut rollout);
    let id = sim.id.clone();
    sim.hosts[0].begun = vec![(id.clone(), Time(START)), (id, Time(START))];
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sim.check())).is_err());
    let (mut sim, mut rollout) = Sim::new(5, 2, false);
    sim.run(&mut rollout);
    let outcome = sim.ended.as_mut().unwrap();
    let end = outcome.hosts.values_mut().next().unwrap();
    end.state = State::Completed;
    sim.hosts.iter_mut().for_each(|host| host.results.clear());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sim.check())).is_err());
}

/// Of this thread, in milliseconds.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks * 10
}

#[test]
fn simulation_ten_thousand_hosts_cost_the_deployer_two_seconds_at_most() {
    let (mut sim, mut rollout) = Sim::new(4_242, ALL_THERE, false);
    let (begin, begin_cpu) = (Instant::now(), cpu_ms());
    sim.run(&mut rollout);
    sim.check();
    // The simulated hosts are in it: the deployer alone costs less.
    let spent = cpu_ms() - begin_cpu;
    assert!(spent <= if cfg!(debug_assertions) { 20_000 } else { 2_000 }, "{spent} ms of CPU, {:?}", begin.elapsed());
    assert_eq!(sim.ended.as_ref().unwrap().hosts.len(), 10_000);
}

#[test]
fn discovery_a_host_whose_clock_is_off_is_named() {
    let (mut sim, mut rollout) = Sim::new(1, 2, false);
    sim.hosts[0].clock = 9_000;
    sim.hosts[1].clock = -4_000;
    let mut named = Vec::new();
    for host in &sim.hosts {
        let answer = Answer {
            hostname: host.name.clone(),
            tier: None,
            role: None,
            subjects: Vec::new(),
            instance: None,
            version: None,
            backend: None,
            timeout: None,
            heartbeat: None,
            time: Some(host.time(START)),
            running: None,
            last: None,
            held: None,
        };
        let outputs = rollout.handle(Input::Answer(Box::new(answer)), Time(START));
        named.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Say(homelab_deploy::rollout::Report::Note(note)) => Some(note),
            _ => None,
        }));
    }
    assert_eq!(named, ["the clock of h0 is 9 s off"]);
}
