//! The keeper: checks every request again, starts and follows runs, and answers over the link. It opens no connection.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;

use super::active::Active;
use super::admission::{Admission, Present, Verdict};
use super::hold::held;
use super::link::{self, Decoder, Down, Task, Up};
use super::metrics::Metrics;
use super::{Settings, unit};
use crate::limits::RESTART_PAUSE_MAX;
use crate::nats::Seed;
use crate::os::process::Signals;
use crate::os::{Exit, clock, failpoint, files, log};
use crate::run::{Order, Places, Runs};
use crate::wire::message::Incoming;
use crate::wire::{Answer, Code, Last, ReplyTo, Request, Response, RunId, Status, Subject, harmless};

/// A hold is noticed after this at the latest.
const REFRESH: Duration = Duration::from_secs(10);
/// After a final status, for the half to hand it to the server.
const LINGER: Duration = Duration::from_secs(2);

/// The network half, while it lives.
struct Half {
    child: Child,
    link: UnixStream,
    decoder: Decoder,
    since: Instant,
}

struct Keeper {
    settings: Settings,
    subjects: Vec<Subject>,
    runs: Runs,
    admission: Admission,
    instance: String,
    half: Option<Half>,
    half_pause: Duration,
    half_at: Instant,
    active: Option<Active>,
    /// How the last run ended, and where that is to be said.
    last: Option<(ReplyTo, Last)>,
    metrics: Metrics,
    held: Option<String>,
    refresh_at: Instant,
    unit_text: Option<Vec<u8>>,
    leave_at: Option<Instant>,
}

/// Listens until it is told to end.
pub fn listen(settings: Settings) -> Result<u8, Exit> {
    let subjects = settings.subjects()?;
    // The seed is in no core.
    nix::sys::prctl::set_dumpable(false).map_err(io::Error::from)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(io::Error::from)?;
    let signals = Signals::of(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD, Signal::SIGHUP])?;
    let state = settings.state.folder();
    files::make_folder(state)?;
    let lock = files::open_lock(&state.join("listener"))?;
    if lock.try_lock().is_err() {
        return Err(Exit(2, format!("another listener has the state folder {}", state.display())));
    }
    if !nix::unistd::geteuid().is_root() {
        log::line("not root: the network half runs as the same user");
    }
    Keeper::new(settings, subjects)?.serve(&signals)?;
    Ok(0)
}

/// What names this process to deployers: a random part that outlives a restart, and one that changes with a boot. A cloned machine
/// has the first in common, and not the second.
fn instance(state: &Path) -> io::Result<String> {
    let path = state.join("instance");
    let token = match files::read(&path, 64)? {
        Some(token) => String::from_utf8_lossy(&token).into_owned(),
        None => {
            let token = format!("{:032x}", u128::from_be_bytes(clock::random()));
            files::write(&path, token.as_bytes())?;
            token
        }
    };
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(format!("{token}.{}", boot.trim()))
}

fn unit_text(settings: &Settings) -> Option<Vec<u8>> {
    std::fs::read(settings.unit_file.as_ref()?).ok()
}

impl Keeper {
    fn new(settings: Settings, subjects: Vec<Subject>) -> io::Result<Self> {
        let state = settings.state.folder();
        let runs = Runs::of(state);
        runs.prune()?;
        let mut keeper = Keeper {
            admission: files::read_json(&state.join("seen"))?.unwrap_or_default(),
            instance: instance(state)?,
            metrics: Metrics::of(&settings),
            held: held(state),
            unit_text: unit_text(&settings),
            refresh_at: Instant::now() + REFRESH,
            half: None,
            half_pause: Duration::from_millis(100),
            half_at: Instant::now(),
            active: None,
            last: None,
            leave_at: None,
            settings,
            subjects,
            runs,
        };
        keeper.take_over()?;
        Ok(keeper)
    }

    /// What other keepers have left: the last result, and a run without one.
    fn take_over(&mut self) -> io::Result<()> {
        for folder in self.runs.all()? {
            let (order, result) = match (folder.order(), folder.result()) {
                (Ok(Some(order)), Ok(result)) => (order, result),
                (Ok(None), Ok(_)) => continue,
                // A folder that cannot be read is left for a person; the others go on.
                (Err(why), _) | (_, Err(why)) => {
                    log::line(&why.to_string());
                    continue;
                }
            };
            let newest = self.last.as_ref().map(|(_, last)| last.finished_at);
            match result {
                Some(last) if Some(last.finished_at) > newest => self.last = Some((order.request.reply_to, last)),
                Some(_) => {}
                // Another one's turn comes when this one has ended.
                None if self.active.is_some() => {}
                None => {
                    self.active = Some(Active::of(folder, order, &self.settings));
                    self.metrics.in_progress = true;
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self, signals: &Signals) -> Result<(), Exit> {
        loop {
            if self.wait(signals)? {
                self.hear()?;
            }
            while let Some(signal) = signals.next() {
                if matches!(signal, Signal::SIGTERM | Signal::SIGINT) {
                    log::line("ending; a run that goes on is not ended by this");
                    return Ok(());
                }
            }
            self.look_at_half()?;
            self.look_at_run();
            self.refresh();
            if self.leave_at.is_some_and(|time| Instant::now() >= time) {
                log::line("the unit of this listener has changed: ending, to be started anew");
                return Ok(());
            }
        }
    }

    /// Waits until something is to be done; whether the half has said something.
    fn wait(&self, signals: &Signals) -> io::Result<bool> {
        let half_at = self.half.is_none().then_some(self.half_at);
        let times = [half_at, self.active.as_ref().map(Active::wake), self.leave_at];
        let until = times.into_iter().flatten().fold(self.refresh_at, Instant::min);
        let rest = until.saturating_duration_since(Instant::now()).as_millis() as u16 + 1;
        let mut events = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        events.extend(self.half.iter().map(|half| PollFd::new(half.link.as_fd(), PollFlags::POLLIN)));
        match poll(&mut events, PollTimeout::from(rest)) {
            Ok(_) => Ok(events.get(1).is_some_and(|link| link.any() == Some(true))),
            Err(Errno::EINTR) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    // ---- the half

    fn look_at_half(&mut self) -> Result<(), Exit> {
        if let Some(half) = &mut self.half
            && let Some(status) = half.child.try_wait()?
        {
            if half.since.elapsed() > RESTART_PAUSE_MAX {
                self.half_pause = Duration::from_millis(100);
            }
            log::line(&format!("the network half ended ({status}); it is started again"));
            self.half = None;
            self.half_at = Instant::now() + self.half_pause;
            self.half_pause = (self.half_pause * 2).min(RESTART_PAUSE_MAX);
        }
        if self.half.is_none() && Instant::now() >= self.half_at {
            self.start_half()?;
        }
        Ok(())
    }

    fn start_half(&mut self) -> Result<(), Exit> {
        let connect = &self.settings.connect;
        let task = Task {
            servers: connect.nats_url.clone(),
            seed: Seed::read(&connect.nkey_file)?.reveal().to_owned(),
            ca_file: connect.ca_file.clone(),
            name: format!("homelab-deploy {}", self.settings.hostname),
            subjects: self.subjects.clone(),
            discover: connect.discover_subject.clone(),
            metrics: self.settings.metrics_enabled.then(|| self.settings.metrics_addr.clone()),
        };
        let user = nix::unistd::geteuid().is_root().then_some(self.settings.user);
        let (child, link) = unit::start_half(user)?;
        self.half = Some(Half { child, link, decoder: Decoder::default(), since: Instant::now() });
        self.down(&Down::Settings(task));
        self.show();
        Ok(())
    }

    /// Hands a frame to the half. A half that takes none is at its end, or will be.
    fn down(&mut self, frame: &Down) {
        if let Some(half) = &mut self.half
            && let Err(why) = half.link.write_all(&link::encode(frame))
        {
            log::debug(&format!("the link: {why}"));
            half.child.kill().ok();
        }
    }

    /// Reads what the half says. It is reaped by `look_at_half` where it has ended.
    fn hear(&mut self) -> Result<(), Exit> {
        let Some(half) = &mut self.half else { return Ok(()) };
        let mut buffer = [0; 16 * 1024];
        match half.link.read(&mut buffer) {
            Ok(0) | Err(_) => {
                half.child.kill().ok();
                half.child.wait()?;
                return Ok(());
            }
            Ok(count) => half.decoder.push(&buffer[..count]),
        }
        while let Some(half) = &mut self.half {
            match half.decoder.next() {
                Ok(Some(frame)) => self.frame(frame)?,
                Ok(None) => break,
                Err(why) => {
                    log::line(&format!("the network half is ended: {why}"));
                    half.child.kill().ok();
                    break;
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, frame: Up) -> Result<(), Exit> {
        match frame {
            Up::Connected => {
                log::line(&format!("connected to {}", self.settings.connect.nats_url));
                // A final status may have been lost with the connection.
                if let Some((reply_to, last)) = &self.last {
                    self.respond(&reply_to.clone(), &self.final_status(last));
                }
            }
            Up::Disconnected => log::line("the connection is lost"),
            Up::Request(payload) => self.request(payload.as_bytes()),
            Up::Ask(reply_to, id) => self.answer_about(reply_to, &id),
            Up::Log(message) => log::line(&message),
            Up::Fatal(message) => return Err(Exit(3, message)),
        }
        Ok(())
    }

    // ---- requests

    fn request(&mut self, bytes: &[u8]) {
        let incoming = match Incoming::read(bytes) {
            Ok(incoming) => incoming,
            Err(why) => return log::debug(&format!("dropped: {why}")),
        };
        self.held = held(self.settings.state.folder());
        let running = self.active.as_ref().map(|active| &active.running);
        let present = Present { now: clock::now(), running, held: self.held.as_deref() };
        let (verdict, changed) = self.admission.decide(&incoming, bytes, &present);
        match verdict {
            Verdict::Repeat => self.repeat(&incoming),
            Verdict::Reject(code, why) => {
                if changed {
                    self.remember();
                }
                self.reject(&incoming, code, why);
            }
            Verdict::Accept(request) => self.begin(&incoming, *request),
        }
    }

    /// The same request again: its present status.
    fn repeat(&mut self, incoming: &Incoming) {
        if let Some(response) = self.present_status(&incoming.id()) {
            self.respond(&incoming.reply_to, &response);
        }
    }

    fn remember(&self) {
        let written = files::write_json(&self.settings.state.folder().join("seen"), &self.admission);
        if let Err(why) = written {
            log::line(&format!("the ids cannot be remembered: {why}"));
        }
    }

    fn reject(&mut self, incoming: &Incoming, code: Code, why: String) {
        let id = incoming.id();
        log::line(&format!("rejected {id} ({code}): {why}"));
        let mut response = self.response(&id, Status::Rejected, why);
        response.error = Some(code.to_string());
        if code == Code::AlreadyRunning {
            response.run = self.active.as_ref().map(|active| active.running.id.clone());
        }
        self.metrics.rejected(incoming.action().ok(), code);
        self.show_metrics();
        self.respond(&incoming.reply_to, &response);
    }

    /// The run's folder is on disk before anybody hears of it, and `accepted` is sent before anything is started.
    fn begin(&mut self, incoming: &Incoming, request: Request) {
        let order = self.order(request);
        let request = &order.request;
        failpoint::hit("keeper-before-folder");
        let folder = match self.runs.create(&order) {
            Ok(Some(folder)) => folder,
            Ok(None) => return self.repeat(incoming),
            Err(why) => {
                self.admission.forget(&request.id);
                return self.reject(incoming, Code::Held, format!("the state folder cannot be written: {why}"));
            }
        };
        self.remember();
        failpoint::hit("keeper-before-accepted");
        let what = format!("{} of {}", request.action, request.revision);
        let by = request.by.as_deref().unwrap_or("an unnamed deployer");
        log::line(&format!("accepted {}: {what} for {by}", request.id));
        self.respond(&request.reply_to, &self.response(&request.id, Status::Accepted, what));
        failpoint::hit("keeper-before-start");
        self.active = Some(Active::of(folder, order, &self.settings));
        self.metrics.in_progress = true;
        self.show();
    }

    fn order(&self, request: Request) -> Order {
        let accepted_at = clock::now();
        let limit = accepted_at.plus_ms(self.settings.timeout * 1_000);
        Order {
            limit: request.deadline.map_or(limit, |deadline| limit.min(deadline)),
            request,
            hostname: self.settings.hostname.clone(),
            flake_url: self.settings.flake_url.clone(),
            nixos_rebuild: self.settings.program(&self.settings.nixos_rebuild),
            nix: self.settings.program(&self.settings.nix),
            places: Places { root: self.settings.root.clone() },
            environment: self.settings.environment(),
            accepted_at,
        }
    }

    // ---- the run

    fn look_at_run(&mut self) {
        let Some(active) = &mut self.active else { return };
        let was_started = active.started;
        match active.look(self.settings.state.folder(), &self.runs) {
            Ok(None) => {}
            Ok(Some(last)) => return self.finish(last),
            Err(why) => log::line(&format!("run {}: {why}", active.running.id)),
        }
        if active.beats() || active.started != was_started {
            let (id, line) = (active.running.id.clone(), active.line());
            let reply_to = active.order.request.reply_to.clone();
            self.respond(&reply_to, &self.response(&id, Status::Started, line));
        }
    }

    fn finish(&mut self, last: Last) {
        let Some(Active { order: Order { request, accepted_at, .. }, .. }) = self.active.take() else { return };
        let end = last.error.as_ref().map_or("completed".to_owned(), |code| format!("failed ({code})"));
        let first = last.message.lines().next().unwrap_or_default();
        log::line(&format!("run {} {end}: {first}", request.id));
        failpoint::hit("keeper-before-final");
        self.metrics.ended(request.action, &last, last.finished_at.since(accepted_at) / 1_000);
        let response = self.final_status(&last);
        self.last = Some((request.reply_to.clone(), last));
        self.show();
        self.respond(&request.reply_to, &response);
        if let Err(why) = self.runs.prune().and_then(|()| self.take_over()) {
            log::line(&format!("the folders of old runs: {why}"));
        }
        let now = unit_text(&self.settings);
        if self.unit_text.is_some() && now.is_some() && now != self.unit_text {
            self.leave_at = Some(Instant::now() + LINGER);
        }
    }

    // ---- answers

    fn response(&self, id: &RunId, status: Status, message: String) -> Response {
        Response {
            id: Some(id.clone()),
            time: Some(clock::now()),
            heartbeat: Some(self.settings.heartbeat_interval),
            instance: Some(self.instance.clone()),
            ..Response::new(self.settings.hostname.clone(), status, message)
        }
    }

    fn final_status(&self, last: &Last) -> Response {
        let response = self.response(&last.id, last.status, last.message.clone());
        Response { error: last.error.clone(), revision: last.revision.clone(), ..response }
    }

    fn respond(&mut self, reply_to: &ReplyTo, response: &Response) {
        let payload = String::from_utf8(response.write()).expect("JSON is text");
        self.down(&Down::Publish(reply_to.clone(), payload));
    }

    /// What is known of an id now.
    fn present_status(&self, id: &RunId) -> Option<Response> {
        match self.active.as_ref().filter(|active| active.running.id == *id) {
            Some(active) if active.started => Some(self.response(id, Status::Started, active.line())),
            Some(active) => Some(self.response(id, Status::Accepted, active.line())),
            None => self.end_of(id).map(|last| self.final_status(&last)),
        }
    }

    /// How a request ended, be it that it was rejected.
    fn end_of(&self, id: &RunId) -> Option<Last> {
        let Some((code, message)) = self.admission.rejected(id) else {
            return self.runs.open(id).result().ok().flatten();
        };
        let (error, finished_at) = (Some(code.to_string()), clock::now());
        Some(Last { id: id.clone(), status: Status::Rejected, error, revision: None, finished_at, message })
    }

    fn answer(&self) -> Answer {
        Answer {
            hostname: self.settings.hostname.clone(),
            tier: Some(self.settings.tier),
            role: self.settings.role.clone(),
            subjects: self.subjects.clone(),
            instance: Some(self.instance.clone()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            backend: Some("nixos".to_owned()),
            timeout: Some(self.settings.timeout),
            heartbeat: Some(self.settings.heartbeat_interval),
            time: Some(clock::now()),
            running: self.active.as_ref().map(|active| active.running.clone()),
            last: self.last.as_ref().map(|(_, last)| last.clone()),
            held: self.held.as_deref().map(harmless),
        }
    }

    /// An answer about a deploy that is neither going on nor the last.
    fn answer_about(&mut self, reply_to: ReplyTo, id: &RunId) {
        let mut answer = self.answer();
        answer.last = self.end_of(id).or(answer.last);
        self.down(&Down::Publish(reply_to, serde_json::to_string(&answer).expect("an answer is JSON")));
    }

    /// Gives the half what it answers to discovery, and the metrics.
    fn show(&mut self) {
        let answer = serde_json::to_value(self.answer()).expect("an answer is JSON");
        self.down(&Down::Answer(answer));
        self.show_metrics();
    }

    fn show_metrics(&mut self) {
        if self.settings.metrics_enabled {
            self.down(&Down::Metrics(self.metrics.text()));
        }
    }

    fn refresh(&mut self) {
        if Instant::now() < self.refresh_at {
            return;
        }
        self.refresh_at = Instant::now() + REFRESH;
        let held = held(self.settings.state.folder());
        if held != self.held {
            self.held = held;
            self.show();
        }
    }
}
