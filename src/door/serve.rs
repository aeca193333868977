//! `serve`: holds the listening sockets, keeps ONE warm session waiting, reads from no connection.
//!
//! A session says `ready`, then `accepted ADDRESS`; only then the next one is started, so a flood of connections never
//! becomes a flood of starts. A session that dies before it has a connection is started again after a growing pause.
//! Where a starter keeps the socket, an idle `serve` ends, and the next connection starts it again.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::{Config, Settings, warnings};
use crate::deploy;
use crate::door::duty::Duty;
use crate::door::reload::{Fixed, Watched};
use crate::door::warm::{Said, Warm};
use crate::limits::{RETRY, WARM_BACKOFF, WARM_CALM};
use crate::os::child;
use crate::os::notify::Notifier;
use crate::os::poll::{self, For};
use crate::os::secret;
use crate::os::settings::{self, Source};
use crate::os::signal::{Signal, Signals};

/// What `serve` listens on, and whose that is.
#[derive(Debug)]
pub struct Listening {
    /// They accept without waiting.
    pub sockets: Vec<TcpListener>,
    /// Who keeps them when we end.
    pub keeper: Keeper,
}

/// Whose the sockets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// Ours: without us nobody listens.
    Ourselves,
    /// Our starter's, which starts us again when somebody comes.
    Starter,
}

impl Keeper {
    /// How long `serve` may be idle.
    fn idle_exit(self, config: &Config) -> Option<Duration> {
        config.idle_exit.filter(|_| self == Keeper::Starter)
    }
}

/// The role's state.
struct Serve {
    listening: Listening,
    source: Source,
    settings: Settings,
    fixed: Fixed,
    signals: Signals,
    watched: Watched,
    duty: Duty,
    /// The session that takes the next connection.
    current: Option<Warm>,
    /// Its replacement after a change, until it is ready.
    next: Option<Next>,
    /// When a session may be started, after deaths.
    start_at: Instant,
    pause: Duration,
    stage: Stage,
}

/// A session made from new settings.
struct Next {
    warm: Warm,
    settings: Settings,
    idle_exit: Option<Duration>,
}

/// How far we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The warm session was told to end. A connection that it took meanwhile is served, and we stay.
    Leaving,
    /// It took none.
    Left,
}

/// What ended the wait.
enum Go {
    On,
    Stop(String),
}

/// Serves until TERM or INT, or until it is idle for too long. Connections that were accepted, and runs, go on without
/// us.
///
/// # Errors
/// Those of the machine alone: no descriptors, no signals. Everything a session does wrong is logged and tried again.
pub fn serve(listening: Listening, settings: Settings, config: &Config, source: Source) -> io::Result<()> {
    let signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD])?;
    let now = Instant::now();
    let idle_exit = listening.keeper.idle_exit(config);
    let bound = match listening.keeper {
        Keeper::Ourselves => Some(&config.listen),
        Keeper::Starter => None,
    };
    let mut serve = Serve {
        watched: Watched::new(watched_files(config, source.file())),
        duty: Duty::new(Notifier::from_environment(), &config.places, idle_exit, now),
        listening,
        source,
        settings,
        fixed: Fixed::new(bound, &config.places),
        signals,
        current: None,
        next: None,
        start_at: now,
        pause: WARM_BACKOFF.0,
        stage: Stage::Serving,
    };
    loop {
        serve.keep_one_warm();
        if let Go::Stop(why) = serve.wait()? {
            log::info!("{why}: no more connections; what runs goes on");
            serve.duty.stopping();
            return Ok(());
        }
    }
}

/// Logs what the operator should know of settings that are taken up, though nothing refuses them.
pub fn say_what_may_surprise(settings: &Settings, config: &Config) {
    warnings(settings)
        .iter()
        .chain(&config.no_plan())
        .chain(&secret::known_to_all(&config.key_file))
        .for_each(|line| log::warn!("{line}"));
}

fn watched_files<'a>(config: &'a Config, env_file: Option<&'a Path>) -> Vec<&'a Path> {
    [config.cert_file.as_path(), config.key_file.as_path()]
        .into_iter()
        .chain(env_file)
        .collect()
}

impl Serve {
    fn keep_one_warm(&mut self) {
        if self.current.is_some() || Instant::now() < self.start_at {
            return;
        }
        match Warm::start(&self.listening.sockets, &self.settings) {
            Ok(warm) => self.current = Some(warm),
            Err(error) => {
                log::error!("start a session: {error}");
                self.start_later();
            }
        }
    }

    fn wait(&mut self) -> io::Result<Go> {
        let nothing = || (self.signals.as_fd(), For::HangUp);
        let reading = |descriptor| (descriptor, For::Reading);
        let current = self.current.as_ref().map(Warm::descriptor);
        let next = self.next.as_ref().map(|next| next.warm.descriptor());
        let sources = [
            reading(self.signals.as_fd()),
            current.map_or_else(nothing, reading),
            next.map_or_else(nothing, reading),
            self.watched.descriptor().map_or_else(nothing, reading),
            self.duty.descriptor().map_or_else(nothing, reading),
        ];
        let restart = self.current.is_none().then_some(self.start_at);
        let until = restart.into_iter().chain(self.duty_at()).min();
        let [signal, current, next, changed, queue] = poll::wait(sources, until)?;
        if current.any() {
            self.hear_current();
        }
        if next.any() {
            self.hear_next();
        }
        if changed.any() && self.watched.changed() {
            self.replace("a file it was made from changed");
        }
        if signal.any()
            && let Go::Stop(why) = self.take_signals()?
        {
            return Ok(Go::Stop(why));
        }
        Ok(self.do_our_duty(queue.any()))
    }

    /// When our duty calls. The time to leave has come already while the warm session is still taking its leave.
    fn duty_at(&self) -> Option<Instant> {
        match self.stage {
            Stage::Leaving => Some(Instant::now() + RETRY),
            Stage::Serving | Stage::Left => self.duty.until(),
        }
    }

    /// Tells our starter what is new, and goes when there is nothing to do.
    fn do_our_duty(&mut self, changed: bool) -> Go {
        let now = Instant::now();
        self.duty.beat(now);
        if changed || self.duty.until().is_some_and(|until| until <= now) {
            self.duty.look(now);
        }
        if self.stage == Stage::Serving && self.duty.is_over(now) {
            self.begin_to_leave(now);
        }
        match self.stage {
            Stage::Left => Go::Stop("nothing to do".to_owned()),
            Stage::Serving | Stage::Leaving => Go::On,
        }
    }

    fn begin_to_leave(&mut self, now: Instant) {
        // What inotify did not show.
        self.duty.look(now);
        if !self.duty.is_over(now) {
            return;
        }
        self.next = None;
        self.stage = match &self.current {
            Some(warm) => {
                warm.dismiss();
                Stage::Leaving
            }
            None => Stage::Left,
        };
    }

    fn take_signals(&mut self) -> io::Result<Go> {
        while let Some(signal) = self.signals.take()? {
            match signal {
                Signal::SIGHUP => self.replace("SIGHUP"),
                Signal::SIGCHLD => {
                    // Sessions with a connection first: they are counted.
                    self.duty.look(Instant::now());
                    child::reap_all();
                }
                other => return Ok(Go::Stop(other.to_string())),
            }
        }
        Ok(Go::On)
    }

    fn hear_current(&mut self) {
        while let Some(said) = self.current.as_mut().and_then(Warm::hear) {
            match said {
                Said::Ready => {
                    if self.pause > WARM_BACKOFF.0 {
                        log::info!("a session is ready again");
                    }
                    self.duty.ready(Instant::now());
                }
                Said::Accepted(address) => {
                    log::debug!("{address}: accepted");
                    self.pause = WARM_BACKOFF.0;
                    if let Some(session) = self.current.take() {
                        self.duty.accepted(session.into_child(), Instant::now());
                    }
                    self.stage = Stage::Serving;
                }
                Said::Gone if self.stage == Stage::Leaving => {
                    self.current = None;
                    self.stage = Stage::Left;
                }
                Said::Gone => {
                    // A death now and then is none of a row.
                    if self.start_at.elapsed() > WARM_CALM {
                        self.pause = WARM_BACKOFF.0;
                    }
                    // It has said why; once is enough.
                    if self.pause == WARM_BACKOFF.0 {
                        log::error!(
                            "the warm session ended without a connection; starting others, ever more slowly"
                        );
                    }
                    self.current = None;
                    self.start_later();
                }
            }
        }
    }

    fn hear_next(&mut self) {
        let Some(mut next) = self.next.take() else {
            return;
        };
        match next.warm.hear() {
            Some(Said::Ready) => {
                // The old one's lifeline ends here; one that was just accepting goes on with its connection.
                self.current = Some(next.warm);
                self.settings = next.settings;
                self.duty.set_idle_exit(next.idle_exit);
                self.duty.ready(Instant::now());
                // Whom we told to end is gone; this one was told nothing yet.
                self.stage = Stage::Serving;
                self.pause = WARM_BACKOFF.0;
                log::info!("the new settings are in use");
            }
            Some(Said::Gone) => {
                log::error!("a session with the new settings did not become ready; the old ones stay in use");
            }
            Some(Said::Accepted(_)) | None => {
                self.next = Some(next);
                return;
            }
        }
        self.duty.reloaded(Instant::now());
    }

    /// Makes a new warm session from what the files say now, and keeps the old one until that is ready.
    fn replace(&mut self, why: &str) {
        log::info!("{why}: making a new session");
        self.duty.reloading();
        match self.made_anew() {
            Ok(next) => self.next = Some(next),
            Err(why) => {
                log::error!("the old settings stay in use: {why}");
                self.duty.reloaded(Instant::now());
            }
        }
    }

    fn made_anew(&mut self) -> Result<Next, String> {
        let settings = self.source.load().map_err(|errors| errors.join("; "))?;
        let config = settings::understand(&settings).map_err(|complaints| {
            let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            all.join("; ")
        })?;
        deploy::refusal(&config).map_or(Ok(()), Err)?;
        self.fixed.still_fits(&config)?;
        say_what_may_surprise(&settings, &config);
        self.watched = Watched::new(watched_files(&config, self.source.file()));
        let warm = Warm::start(&self.listening.sockets, &settings)
            .map_err(|error| format!("start a session with the new ones: {error}"))?;
        Ok(Next {
            warm,
            settings,
            idle_exit: self.listening.keeper.idle_exit(&config),
        })
    }

    fn start_later(&mut self) {
        self.start_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(WARM_BACKOFF.1);
    }
}
