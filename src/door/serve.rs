//! `serve`: holds the listening socket, keeps ONE warm session waiting, reads from no connection.
//!
//! A session says `ready`, then `accepted ADDRESS`; only then the next one is started, so a flood of connections never
//! becomes a flood of starts. A session that dies before it has a connection is started again after a growing pause.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::{Config, Settings};
use crate::door::reload::Watched;
use crate::door::warm::{Said, Warm};
use crate::limits::WARM_BACKOFF;
use crate::os::poll::{self, For};
use crate::os::signal::{Signal, Signals};
use crate::os::{child, settings};

/// The role's state.
struct Serve {
    listener: TcpListener,
    env_file: Option<PathBuf>,
    settings: Settings,
    signals: Signals,
    watched: Watched,
    /// The session that takes the next connection.
    current: Option<Warm>,
    /// Its replacement after a change, with the settings it was made from, until it is ready.
    next: Option<(Warm, Settings)>,
    /// When a session may be started, after deaths.
    start_at: Instant,
    pause: Duration,
}

/// What ended the wait.
enum Go {
    On,
    Stop(Signal),
}

/// Serves until TERM or INT. Connections that were accepted, and runs, go on without us.
///
/// # Errors
/// Those of the machine alone: no descriptors, no signals. Everything a session does wrong is logged and tried again.
pub fn serve(
    listener: TcpListener,
    settings: Settings,
    config: &Config,
    env_file: Option<PathBuf>,
) -> io::Result<()> {
    let signals = Signals::block(&[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD])?;
    let watched = Watched::new(watched_files(config, env_file.as_deref()));
    let mut serve = Serve {
        listener,
        env_file,
        settings,
        signals,
        watched,
        current: None,
        next: None,
        start_at: Instant::now(),
        pause: WARM_BACKOFF.0,
    };
    loop {
        serve.keep_one_warm();
        if let Go::Stop(signal) = serve.wait()? {
            log::info!("{signal}: no more connections; what runs goes on");
            return Ok(());
        }
    }
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
        match Warm::start(&self.listener, &self.settings) {
            Ok(warm) => self.current = Some(warm),
            Err(error) => {
                log::error!("start a session: {error}");
                self.start_later();
            }
        }
    }

    fn wait(&mut self) -> io::Result<Go> {
        let nothing = || (self.signals.as_fd(), For::HangUp);
        let sources = [
            (self.signals.as_fd(), For::Reading),
            self.current
                .as_ref()
                .map_or_else(nothing, |warm| (warm.descriptor(), For::Reading)),
            self.next
                .as_ref()
                .map_or_else(nothing, |(warm, _)| (warm.descriptor(), For::Reading)),
            self.watched
                .descriptor()
                .map_or_else(nothing, |changes| (changes, For::Reading)),
        ];
        let until = self.current.is_none().then_some(self.start_at);
        let [signal, current, next, changed] = poll::wait(sources, until)?;
        if current.any() {
            self.hear_current();
        }
        if next.any() {
            self.hear_next();
        }
        if changed.any() && self.watched.changed() {
            self.replace("a file it was made from changed");
        }
        if signal.any() {
            self.take_signals()
        } else {
            Ok(Go::On)
        }
    }

    fn take_signals(&mut self) -> io::Result<Go> {
        while let Some(signal) = self.signals.take()? {
            match signal {
                Signal::SIGHUP => self.replace("SIGHUP"),
                Signal::SIGCHLD => drop(child::reap_all()),
                other => return Ok(Go::Stop(other)),
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
                    self.pause = WARM_BACKOFF.0;
                }
                Said::Accepted(address) => {
                    log::debug!("{address}: accepted");
                    self.current = None;
                }
                Said::Gone => {
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
        let Some((mut warm, settings)) = self.next.take() else {
            return;
        };
        match warm.hear() {
            Some(Said::Ready) => {
                // The old one's lifeline ends here; one that was just accepting goes on with its connection.
                self.current = Some(warm);
                self.settings = settings;
                self.pause = WARM_BACKOFF.0;
                log::info!("the new settings are in use");
            }
            Some(Said::Gone) => {
                log::error!("a session with the new settings did not become ready; the old ones stay in use");
            }
            Some(Said::Accepted(_)) | None => self.next = Some((warm, settings)),
        }
    }

    /// Makes a new warm session from what the files say now, and keeps the old one until that is ready.
    fn replace(&mut self, why: &str) {
        log::info!("{why}: making a new session");
        let new = match settings::load(self.env_file.as_deref()) {
            Ok(new) => new,
            Err(error) => return log::error!("the old settings stay in use: {}", error.faults.join("; ")),
        };
        let config = match settings::understand(&new) {
            Ok(config) => config,
            Err(complaints) => {
                let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
                return log::error!("the old settings stay in use: {}", all.join("; "));
            }
        };
        config.no_plan().iter().for_each(|line| log::warn!("{line}"));
        self.watched = Watched::new(watched_files(&config, self.env_file.as_deref()));
        match Warm::start(&self.listener, &new) {
            Ok(warm) => self.next = Some((warm, new)),
            Err(error) => log::error!("start a session with the new settings: {error}"),
        }
    }

    fn start_later(&mut self) {
        self.start_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(WARM_BACKOFF.1);
    }
}
