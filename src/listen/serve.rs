//! `serve`: holds the listening sockets, keeps ONE warm session waiting, reads from no connection.
//!
//! A session reports `ready`, then `accepted ADDRESS`; only then the next one is started, so a flood of connections never
//! becomes a flood of starts. A session that ends before it has a connection is started again after a growing pause.
//! Where a supervisor keeps the socket, an idle `serve` ends, and the next connection starts it again.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::config::{Config, Settings, warnings};
use crate::deploy;
use crate::limits::{RETRY, WARM_BACKOFF, WARM_CALM};
use crate::listen::notify_status::NotifyStatus;
use crate::listen::reload::WatchedFiles;
use crate::listen::warm_session::WarmSession;
use crate::os::child;
use crate::os::notify::Notifier;
use crate::os::poll::{self, For};
use crate::os::secret;
use crate::os::settings::{self, Source};
use crate::os::signal::{Signal, Signals};

/// What `serve` listens on.
pub struct Listeners {
    sockets: Vec<TcpListener>,
    /// Whether they are the supervisor's, which starts us again when somebody connects. Else nobody listens without us.
    are_inherited: bool,
}

impl Listeners {
    /// They accept without waiting from here on, however their maker left them.
    pub fn new(sockets: Vec<TcpListener>, are_inherited: bool) -> io::Result<Self> {
        for socket in &sockets {
            socket.set_nonblocking(true)?;
            log::info!("listening on {}", socket.local_addr()?);
        }
        Ok(Self {
            sockets,
            are_inherited,
        })
    }

    fn idle_exit(&self, config: &Config) -> Option<Duration> {
        config.idle_exit.filter(|_| self.are_inherited)
    }
}

/// The role's state.
struct Serve {
    listeners: Listeners,
    source: Source,
    settings: Settings,
    /// What the settings meant when we were started: some of it only a restart can change.
    first: Config,
    signals: Signals,
    watched: WatchedFiles,
    status: NotifyStatus,
    /// The session that takes the next connection.
    warm: Option<WarmSession>,
    /// Takes the place of `warm` when it is ready.
    replacement: Option<Replacement>,
    /// When a session may be started, after some ended early.
    start_at: Instant,
    pause: Duration,
    /// Why we end: the beginning of a log line.
    stop: Option<&'static str>,
}

/// A session made from new settings, these, and how long to stay idle with them.
type Replacement = (WarmSession, Settings, Option<Duration>);

const IDLE: Option<&str> = Some("nothing to do");

/// Serves until TERM or INT, or until it is idle for too long. Connections that were accepted, and runs, go on without
/// us.
///
/// # Errors
/// Those of the machine alone: no descriptors, no signals. Everything a session does wrong is logged and tried again.
pub fn serve(listeners: Listeners, settings: Settings, config: Config, source: Source) -> io::Result<()> {
    let signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD])?;
    let (now, idle_exit) = (Instant::now(), listeners.idle_exit(&config));
    let mut serve = Serve {
        watched: watched_files(&config, &source),
        status: NotifyStatus::new(Notifier::from_environment(), &config.places, idle_exit, now),
        listeners,
        source,
        settings,
        first: config,
        signals,
        warm: None,
        replacement: None,
        start_at: now,
        pause: WARM_BACKOFF.0,
        stop: None,
    };
    loop {
        serve.start_warm_session();
        serve.wait_and_react()?;
        if let Some(reason) = serve.stop {
            log::info!("{reason}: no more connections; what runs goes on");
            serve.status.notifier.send("STOPPING=1");
            return Ok(());
        }
    }
}

/// Logs what the operator should know of settings that are valid all the same.
pub fn log_warnings(settings: &Settings, config: &Config) {
    warnings(settings)
        .iter()
        .chain(&config.no_plan())
        .chain(&secret::known_to_all(&config.key_file))
        .for_each(|line| log::warn!("{line}"));
}

fn watched_files(config: &Config, source: &Source) -> WatchedFiles {
    let files = [config.cert_file.as_path(), &config.key_file];
    WatchedFiles::new(files.into_iter().chain(source.file()))
}

impl Serve {
    /// Unless there is one, or it is too early after a failure.
    fn start_warm_session(&mut self) {
        if self.warm.is_some() || Instant::now() < self.start_at {
            return;
        }
        match WarmSession::start(&self.listeners.sockets, &self.settings) {
            Ok(session) => self.warm = Some(session),
            Err(error) => {
                log::error!("start a session: {error}");
                self.delay_start();
            }
        }
    }

    /// The next start comes after a pause, which doubles each time.
    fn delay_start(&mut self) {
        self.start_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(WARM_BACKOFF.1);
    }

    /// Waits until something happens and does what follows from it.
    fn wait_and_react(&mut self) -> io::Result<()> {
        // A source that is missing is a descriptor of ours that never hangs up.
        let source = |descriptor: Option<_>| match descriptor {
            Some(descriptor) => (descriptor, For::Reading),
            None => (self.signals.as_fd(), For::HangUp),
        };
        let sources = [
            source(Some(self.signals.as_fd())),
            source(self.warm.as_ref().map(WarmSession::descriptor)),
            source(self.replacement.as_ref().map(|new| new.0.descriptor())),
            source(self.watched.folders.descriptor()),
            source(self.status.descriptor()),
        ];
        let [signal, warm, replacement, files, queue] = poll::wait(sources, self.due_at())?;
        if warm.any() {
            self.read_warm_session();
        }
        if replacement.any() {
            self.read_replacement();
        }
        if files.any() && self.watched.changed() {
            self.reload("a file it was made from changed");
        }
        if signal.any() {
            self.read_signals()?;
        }
        let now = Instant::now();
        if queue.any() {
            self.status.update(now);
        }
        self.status.tick(now);
        self.begin_idle_exit(now);
        Ok(())
    }

    /// When to wake without an event.
    fn due_at(&self) -> Option<Instant> {
        match &self.warm {
            None => self.status.due_at().into_iter().chain([self.start_at]).min(),
            // The idle exit is due and begun, so `due_at` has passed.
            Some(warm) if warm.is_dismissed => Some(Instant::now() + RETRY),
            Some(_) => self.status.due_at(),
        }
    }

    /// Begins the idle exit when it is due: the warm session is dismissed, and `serve` ends with it, unless it has just
    /// taken a connection.
    fn begin_idle_exit(&mut self, now: Instant) {
        if self.warm.as_ref().is_some_and(|warm| warm.is_dismissed) || !self.status.is_idle_exit_due(now) {
            return;
        }
        // What inotify did not show.
        self.status.update(now);
        if self.status.is_idle_exit_due(now) {
            self.replacement = None;
            match &mut self.warm {
                Some(warm) => warm.dismiss(),
                None => self.stop = IDLE,
            }
        }
    }

    fn read_signals(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.take()? {
            match signal {
                Signal::SIGHUP => self.reload("SIGHUP"),
                Signal::SIGCHLD => {
                    // Before the rest is reaped: sessions with a connection are counted here.
                    self.status.update(Instant::now());
                    child::reap_all();
                }
                other => self.stop = Some(other.as_str()),
            }
        }
        Ok(())
    }

    fn read_warm_session(&mut self) {
        while let Some(line) = self.warm.as_mut().and_then(WarmSession::next_line) {
            if line == "ready" {
                if self.pause > WARM_BACKOFF.0 {
                    log::info!("a session is ready again");
                }
                self.status.ready(Instant::now());
                continue;
            }
            match self.warm.take() {
                Some(warm) if line.starts_with("accepted ") => {
                    log::debug!("{line}");
                    self.pause = WARM_BACKOFF.0;
                    self.status.accepted(warm.child, Instant::now());
                }
                Some(warm) if warm.is_dismissed => self.stop = IDLE,
                _ => self.warm_session_failed(),
            }
        }
    }

    fn warm_session_failed(&mut self) {
        // Isolated failures do not add up.
        if self.start_at.elapsed() > WARM_CALM {
            self.pause = WARM_BACKOFF.0;
        }
        // The session has logged why; once is enough.
        if self.pause == WARM_BACKOFF.0 {
            log::error!("the warm session ended without a connection; starting others, ever more slowly");
        }
        self.delay_start();
    }

    /// Makes a new session from what the files say now, and keeps the old one until that is ready.
    fn reload(&mut self, why: &str) {
        log::info!("{why}: making a new session");
        self.status.notifier.reloading();
        match self.start_replacement() {
            Ok(replacement) => self.replacement = Some(replacement),
            Err(why) => {
                log::error!("the old settings stay in use: {why}");
                self.status.reloaded(Instant::now());
            }
        }
    }

    fn start_replacement(&mut self) -> Result<Replacement, String> {
        let settings = self.source.load().map_err(|errors| errors.join("; "))?;
        let config = settings::understand_in_one_line(&settings)?;
        deploy::refusal(&config).map_or(Ok(()), Err)?;
        if !self.listeners.are_inherited && config.listen != self.first.listen {
            log::warn!(
                "DEPLOYER_ADDR is {} now: a restart will take it up",
                config.listen
            );
        }
        // `serve` makes the replay memory, and completes the runs, in its folders when it starts.
        if config.places != self.first.places {
            return Err("DEPLOYER_STATE_DIR, DEPLOYER_RUNS_DIR or DEPLOYER_RUNTIME_DIR changed: a restart will take it up".into());
        }
        log_warnings(&settings, &config);
        self.watched = watched_files(&config, &self.source);
        let session = WarmSession::start(&self.listeners.sockets, &settings)
            .map_err(|error| format!("start a session with the new ones: {error}"))?;
        Ok((session, settings, self.listeners.idle_exit(&config)))
    }

    fn read_replacement(&mut self) {
        let Some((mut session, settings, idle_exit)) = self.replacement.take() else {
            return;
        };
        match session.next_line().as_deref() {
            None => {
                self.replacement = Some((session, settings, idle_exit));
                return;
            }
            Some("ready") => {
                // Dropping the old one closes its lifeline; if it is just accepting, it goes on with its connection.
                self.warm = Some(session);
                self.settings = settings;
                self.status.idle_exit = idle_exit;
                self.status.ready(Instant::now());
                self.pause = WARM_BACKOFF.0;
                log::info!("the new settings are in use");
            }
            Some(_) => {
                log::error!("a session with the new settings did not become ready; the old ones stay in use");
            }
        }
        self.status.reloaded(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn a_listener_that_its_maker_left_waiting_accepts_without_waiting() {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let listeners = Listeners::new(vec![socket], true).unwrap();
        let error = listeners.sockets[0].accept().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}
