//! The keeper: checks every request again, starts and follows runs, and answers over the link. It opens no connection.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;

use super::active::Active;
use super::admission::{Admission, Present, Verdict};
use super::hold::held;
use super::link::{self, Decoder, Down, Up};
use super::metrics::Metrics;
use super::{Settings, unit};
use crate::limits::RESTART_PAUSE_MAX;
use crate::nats::Seed;
use crate::os::process::Signals;
use crate::os::{clock, failpoint, files, log};
use crate::run::{Order, Outcome, Runs};
use crate::wire::message::Incoming;
use crate::wire::{Answer, Code, Last, ReplyTo, Request, Response, RunId, Status, Time, harmless};

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
    runs: Runs,
    admission: Admission,
    instance: String,
    half: Option<Half>,
    half_pause: Duration,
    half_at: Instant,
    active: Option<Active>,
    /// How the last run ended, and who wanted to know.
    last: Option<(ReplyTo, RunId, Outcome)>,
    metrics: Metrics,
    held: Option<String>,
    refresh_at: Instant,
    unit_text: Option<Vec<u8>>,
    leave_at: Option<Instant>,
}

/// The exit status.
pub fn listen(settings: Settings) -> io::Result<u8> {
    // The seed is in no core.
    nix::sys::prctl::set_dumpable(false)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let signals = Signals::of(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD, Signal::SIGHUP])?;
    files::make_folder(&settings.state)?;
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(settings.state.join("listener"))?;
    if lock.try_lock().is_err() {
        log::line(&format!("another listener has the state folder {}", settings.state.display()));
        return Ok(2);
    }
    if !nix::unistd::geteuid().is_root() {
        log::line("not root: the network half runs as the same user");
    }
    let mut keeper = Keeper::new(settings)?;
    let status = keeper.serve(&signals)?;
    drop::<File>(lock);
    Ok(status)
}

/// What names this process to deployers: a random part that outlives a restart, and one that changes with a boot. A cloned machine
/// has the first in common, and not the second.
fn instance(state: &std::path::Path) -> io::Result<String> {
    let path = state.join("instance");
    let token = match files::read(&path, 64)? {
        Some(token) => String::from_utf8_lossy(&token).into_owned(),
        None => {
            let token: String = clock::random::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
            files::write(&path, token.as_bytes())?;
            token
        }
    };
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(format!("{token}.{}", boot.trim()))
}

impl Keeper {
    fn new(settings: Settings) -> io::Result<Self> {
        let runs = Runs::of(&settings.state);
        runs.prune()?;
        let admission = files::read_json(&settings.state.join("seen"))?.unwrap_or_default();
        let unit_text = settings.unit_file.as_ref().and_then(|path| std::fs::read(path).ok());
        let mut keeper = Keeper {
            instance: instance(&settings.state)?,
            metrics: Metrics::of(&settings),
            held: held(&settings.state),
            refresh_at: Instant::now() + REFRESH,
            half: None,
            half_pause: Duration::from_millis(100),
            half_at: Instant::now(),
            active: None,
            last: None,
            leave_at: None,
            settings,
            runs,
            admission,
            unit_text,
        };
        keeper.take_over()?;
        Ok(keeper)
    }

    /// What other keepers have left: the last result, and a run without one.
    fn take_over(&mut self) -> io::Result<()> {
        for folder in self.runs.all()? {
            let read = folder.order().and_then(|order| Ok(order.zip(Some(folder.result()?))));
            // A folder that cannot be read is left for a person; the others go on.
            let unreadable = |why: io::Error| {
                log::line(&why.to_string());
                None
            };
            let Some((order, result)) = read.unwrap_or_else(unreadable) else { continue };
            match result {
                Some(outcome)
                    if self.last.as_ref().is_none_or(|(_, _, last)| last.finished_at < outcome.finished_at) =>
                {
                    self.last = Some((order.request.reply_to.clone(), order.request.id.clone(), outcome));
                }
                Some(_) => {}
                None if self.active.is_none() => {
                    self.active = Some(Active::of(folder, order, &self.settings));
                    self.metrics.begun();
                }
                // Its turn comes when the other one has ended.
                None => {}
            }
        }
        Ok(())
    }

    fn serve(&mut self, signals: &Signals) -> io::Result<u8> {
        loop {
            self.wait(signals)?;
            while let Some(signal) = signals.next() {
                if matches!(signal, Signal::SIGTERM | Signal::SIGINT) {
                    log::line("ending; a run that goes on is not ended by this");
                    return Ok(0);
                }
            }
            if let Some(status) = self.hear()? {
                return Ok(status);
            }
            if let Some(status) = self.look_at_half()? {
                return Ok(status);
            }
            self.look_at_run()?;
            self.refresh();
            if self.leave_at.is_some_and(|time| Instant::now() >= time) {
                log::line("the unit of this listener has changed: ending, to be started anew");
                return Ok(0);
            }
        }
    }

    fn wait(&self, signals: &Signals) -> io::Result<()> {
        let mut until = self.refresh_at;
        if self.half.is_none() {
            until = until.min(self.half_at);
        }
        for time in [self.active.as_ref().map(Active::wake), self.leave_at].into_iter().flatten() {
            until = until.min(time);
        }
        let rest = until.saturating_duration_since(Instant::now()).as_millis() as u16 + 1;
        let mut events = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        if let Some(half) = &self.half {
            events.push(PollFd::new(half.link.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut events, PollTimeout::from(rest)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }

    // ---- the half

    fn look_at_half(&mut self) -> io::Result<Option<u8>> {
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
            return self.start_half();
        }
        Ok(None)
    }

    fn start_half(&mut self) -> io::Result<Option<u8>> {
        let seed = match Seed::read(&self.settings.seed_file) {
            Ok((seed, warning)) => {
                warning.iter().for_each(|text| log::line(text));
                seed
            }
            Err(why) => {
                log::line(&why.0);
                return Ok(Some(2));
            }
        };
        let user = nix::unistd::geteuid().is_root().then_some(self.settings.user);
        let (child, link) = unit::start_half(user)?;
        self.half = Some(Half { child, link, decoder: Decoder::default(), since: Instant::now() });
        let settings = Down::Settings {
            servers: self.settings.servers.joined(),
            seed: seed.reveal().to_owned(),
            ca_file: self.settings.ca_file.clone(),
            name: format!("homelab-deploy {}", self.settings.hostname),
            subjects: self.settings.subjects.clone(),
            discover: self.settings.discover.clone(),
            metrics: self.settings.metrics.clone(),
        };
        self.down(&settings);
        self.show();
        Ok(None)
    }

    /// Hands a frame to the half. A half that takes none is at its end, or will be.
    fn down(&mut self, frame: &Down) {
        let Some(half) = &mut self.half else { return };
        let bytes = link::encode(frame);
        half.link.set_nonblocking(false).ok();
        half.link.set_write_timeout(Some(Duration::from_secs(5))).ok();
        let written = half.link.write_all(&bytes);
        half.link.set_nonblocking(true).ok();
        if let Err(why) = written {
            log::debug(&format!("the link: {why}"));
            half.child.kill().ok();
        }
    }

    /// Reads what the half says.
    fn hear(&mut self) -> io::Result<Option<u8>> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let Some(half) = &mut self.half else {
                return Ok(None);
            };
            match half.link.read(&mut buffer) {
                Ok(0) => {
                    // Its end is reaped by look_at_half.
                    half.child.kill().ok();
                    half.child.wait()?;
                    return Ok(None);
                }
                Ok(count) => half.decoder.push(&buffer[..count]),
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(why) => {
                    log::line(&format!("the link: {why}"));
                    half.child.kill().ok();
                    return Ok(None);
                }
            }
            if let Some(status) = self.take_frames()? {
                return Ok(Some(status));
            }
        }
    }

    fn take_frames(&mut self) -> io::Result<Option<u8>> {
        loop {
            let Some(half) = &mut self.half else {
                return Ok(None);
            };
            match half.decoder.next::<Up>() {
                Ok(None) => return Ok(None),
                Ok(Some(Up::Fatal { message })) => {
                    log::line(&message);
                    return Ok(Some(3));
                }
                Ok(Some(frame)) => self.frame(frame)?,
                Err(why) => {
                    log::line(&format!("the network half is ended: {}", why.0));
                    half.child.kill().ok();
                    return Ok(None);
                }
            }
        }
    }

    fn frame(&mut self, frame: Up) -> io::Result<()> {
        match frame {
            Up::Connected => {
                log::line(&format!("connected to {}", self.settings.servers));
                self.resend();
            }
            Up::Disconnected => log::line("the connection is lost"),
            Up::Request { payload } => self.request(payload.as_bytes())?,
            Up::Ask { reply_to, id } => self.answer_about(&reply_to, &id),
            Up::Log { message } => log::line(&message),
            Up::Fatal { .. } => {}
        }
        Ok(())
    }

    // ---- requests

    fn request(&mut self, bytes: &[u8]) -> io::Result<()> {
        let incoming = match Incoming::read(bytes) {
            Ok(incoming) => incoming,
            Err(why) => {
                log::debug(&format!("dropped: {why}"));
                return Ok(());
            }
        };
        self.held = held(&self.settings.state);
        let running = self.active.as_ref().map(|active| active.running.clone());
        let present = Present { now: clock::now(), running: running.as_ref(), held: self.held.as_deref() };
        let (verdict, changed) = self.admission.decide(&incoming, bytes, &present);
        match verdict {
            Verdict::Repeat => {
                if let Some(response) = self.present_status(&incoming.id) {
                    self.respond(&incoming.reply_to, &response);
                }
            }
            Verdict::Reject(code, why) => {
                if changed {
                    self.remember();
                }
                self.reject(&incoming, code, why);
            }
            Verdict::Accept(request) => self.begin(&incoming, *request)?,
        }
        Ok(())
    }

    fn remember(&self) -> bool {
        let written = files::write_json(&self.settings.state.join("seen"), &self.admission);
        if let Err(why) = &written {
            log::line(&format!("the ids cannot be remembered: {why}"));
        }
        written.is_ok()
    }

    fn reject(&mut self, incoming: &Incoming, code: Code, why: String) {
        log::line(&format!("rejected {} ({code}): {why}", incoming.id));
        let mut response = self.response(&incoming.id, Status::Rejected, Some(code), why);
        if code == Code::AlreadyRunning {
            response.run = self.active.as_ref().map(|active| active.running.id.clone());
        }
        self.metrics.rejected(incoming.action(), code);
        self.respond(&incoming.reply_to, &response);
        self.show_metrics();
    }

    /// The run's folder is on disk before anybody hears of it, and `accepted` is sent before anything is started.
    fn begin(&mut self, incoming: &Incoming, request: Request) -> io::Result<()> {
        let order = self.order(request);
        failpoint::hit("keeper-before-folder");
        let folder = match self.runs.create(&order) {
            Ok(Some(folder)) => folder,
            Ok(None) => {
                if let Some(response) = self.present_status(&incoming.id) {
                    self.respond(&incoming.reply_to, &response);
                }
                return Ok(());
            }
            Err(why) => {
                self.admission.forget(&incoming.id);
                self.reject(incoming, Code::Held, format!("the state folder cannot be written: {why}"));
                return Ok(());
            }
        };
        self.remember();
        failpoint::hit("keeper-before-accepted");
        let request = &order.request;
        let what = format!("{} of {}", request.action, request.revision);
        log::line(&format!(
            "accepted {}: {what} for {}",
            request.id,
            request.by.as_deref().unwrap_or("an unnamed deployer")
        ));
        let response = self.response(&request.id, Status::Accepted, None, what);
        self.respond(&request.reply_to, &response);
        failpoint::hit("keeper-before-start");
        self.active = Some(Active::of(folder, order, &self.settings));
        self.metrics.begun();
        self.show();
        Ok(())
    }

    fn order(&self, request: Request) -> Order {
        let accepted_at = clock::now();
        let limit = accepted_at.plus_ms(self.settings.timeout.as_millis() as u64);
        Order {
            limit: request.deadline.map_or(limit, |deadline| limit.min(deadline)),
            request,
            hostname: self.settings.hostname.clone(),
            flake_url: self.settings.flake_url.clone(),
            nixos_rebuild: self.settings.nixos_rebuild.clone(),
            nix: self.settings.nix.clone(),
            places: self.settings.places.clone(),
            environment: self.settings.environment.clone(),
            accepted_at,
        }
    }

    // ---- the run

    fn look_at_run(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        let was_started = active.started;
        match active.look(&self.settings, &self.runs) {
            Ok(None) => {}
            Ok(Some(outcome)) => return self.finish(outcome),
            Err(why) => log::line(&format!("run {}: {why}", active.running.id)),
        }
        if active.beats(&self.settings) || active.started != was_started {
            self.beat();
        }
        Ok(())
    }

    /// `started`, with the run's last line.
    fn beat(&mut self) {
        let Some(active) = &self.active else { return };
        let (id, line) = (active.running.id.clone(), active.line());
        let reply_to = active.order.request.reply_to.clone();
        let response = self.response(&id, Status::Started, None, line);
        self.respond(&reply_to, &response);
    }

    fn finish(&mut self, outcome: Outcome) -> io::Result<()> {
        let Some(active) = self.active.take() else {
            return Ok(());
        };
        let request = active.order.request;
        let end = outcome.error.map_or("completed".to_owned(), |code| format!("failed ({code})"));
        let first = outcome.message.lines().next().unwrap_or_default();
        log::line(&format!("run {} {end}: {first}", request.id));
        failpoint::hit("keeper-before-final");
        self.metrics.ended(outcome.status, request.action, outcome.error, outcome.seconds);
        let response = self.final_status(&request.id, &outcome);
        self.last = Some((request.reply_to.clone(), request.id, outcome));
        self.show();
        self.respond(&request.reply_to, &response);
        if let Err(why) = self.runs.prune().and_then(|()| self.take_over()) {
            log::line(&format!("the folders of old runs: {why}"));
        }
        let now = self.settings.unit_file.as_ref().and_then(|path| std::fs::read(path).ok());
        if self.unit_text.is_some() && now.is_some() && now != self.unit_text {
            self.leave_at = Some(Instant::now() + LINGER);
        }
        Ok(())
    }

    // ---- answers

    fn response(&self, id: &RunId, status: Status, error: Option<Code>, message: String) -> Response {
        Response {
            hostname: self.settings.hostname.clone(),
            status,
            error: error.map(|code| code.to_string()),
            message,
            id: Some(id.clone()),
            revision: None,
            time: Some(clock::now()),
            run: None,
            heartbeat: Some(self.settings.heartbeat.as_secs()),
            instance: Some(self.instance.clone()),
        }
    }

    fn final_status(&self, id: &RunId, outcome: &Outcome) -> Response {
        let mut response = self.response(id, outcome.status, outcome.error, outcome.message.clone());
        response.revision = outcome.revision.clone();
        response
    }

    fn respond(&mut self, reply_to: &ReplyTo, response: &Response) {
        let payload = String::from_utf8(response.write()).expect("JSON is text");
        self.down(&Down::Publish { reply_to: reply_to.clone(), payload });
    }

    /// A final status may have been lost with the connection.
    fn resend(&mut self) {
        let Some((reply_to, id, outcome)) = self.last.clone() else {
            return;
        };
        let response = self.final_status(&id, &outcome);
        self.respond(&reply_to, &response);
    }

    /// What is known of an id now.
    fn present_status(&self, id: &RunId) -> Option<Response> {
        if let Some((code, why)) = self.admission.known(id).and_then(|known| known.rejected.clone()) {
            return Some(self.response(id, Status::Rejected, Some(code), why));
        }
        if let Some(active) = self.active.as_ref().filter(|active| active.running.id == *id) {
            let status = if active.started { Status::Started } else { Status::Accepted };
            return Some(self.response(id, status, None, active.line()));
        }
        let outcome = self.runs.open(id).result().ok().flatten()?;
        Some(self.final_status(id, &outcome))
    }

    fn last_of(&self, id: &RunId, now: Time) -> Option<Last> {
        if let Some((code, why)) = self.admission.known(id).and_then(|known| known.rejected.clone()) {
            return Some(Last {
                id: id.clone(),
                status: Status::Rejected,
                error: Some(code.to_string()),
                revision: None,
                finished_at: now,
                message: why,
            });
        }
        Some(self.runs.open(id).result().ok().flatten()?.last(id))
    }

    fn answer(&self) -> Answer {
        Answer {
            hostname: self.settings.hostname.clone(),
            tier: Some(self.settings.tier),
            role: self.settings.role.clone(),
            subjects: self.settings.subjects.clone(),
            instance: Some(self.instance.clone()),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            backend: Some("nixos".to_owned()),
            timeout: Some(self.settings.timeout.as_secs()),
            heartbeat: Some(self.settings.heartbeat.as_secs()),
            time: None,
            running: self.active.as_ref().map(|active| active.running.clone()),
            last: self.last.as_ref().map(|(_, id, outcome)| outcome.last(id)),
            held: self.held.as_deref().map(harmless),
        }
    }

    /// An answer about a deploy that is neither going on nor the last.
    fn answer_about(&mut self, reply_to: &ReplyTo, id: &RunId) {
        let mut answer = self.answer();
        answer.time = Some(clock::now());
        answer.last = self.last_of(id, clock::now()).or(answer.last);
        let payload = serde_json::to_string(&answer).expect("an answer is JSON");
        self.down(&Down::Publish { reply_to: reply_to.clone(), payload });
    }

    /// Gives the half what it answers to discovery, and the metrics.
    fn show(&mut self) {
        let answer = serde_json::to_value(self.answer()).expect("an answer is JSON");
        self.down(&Down::Answer { answer });
        self.show_metrics();
    }

    fn show_metrics(&mut self) {
        if self.settings.metrics.is_some() {
            let text = self.metrics.text();
            self.down(&Down::Metrics { text });
        }
    }

    fn refresh(&mut self) {
        if Instant::now() < self.refresh_at {
            return;
        }
        self.refresh_at = Instant::now() + REFRESH;
        let held = held(&self.settings.state);
        if held != self.held {
            self.held = held;
            self.show();
        }
    }
}
