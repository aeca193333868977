//! `serve`: everything that is done once, before the first connection; then [`crate::listen::serve`], or the one session
//! for a connection that is here already.

use std::path::Path;
use std::time::SystemTime;

use crate::cli::help::ExitStatus;
use crate::cli::output::CommandError;
use crate::cli::settings_source::{self, FoundSettings};
use crate::config::{Config, Settings};
use crate::deploy;
use crate::gate::Memory;
use crate::listen::Inherited;
use crate::listen::serve::{self as role, Listeners};
use crate::os::settings::Source;
use crate::os::{logging, net, places, process};
use crate::queue;
use crate::session::{self, Arrival};

/// Answers requests until it is told to stop, or has answered the one that it was started for.
///
/// # Errors
/// Everything that is wrong with the settings at once; else the first thing that the host refuses.
pub fn serve(file: Option<&Path>, inherited: Inherited) -> Result<ExitStatus, CommandError> {
    let found = settings_source::from(source(file, &inherited)?)?;
    let config = found.config()?;
    let listeners = match inherited {
        Inherited::Connected(stream) => return one_session(Arrival::Connected(stream), &found, &config),
        Inherited::Listening(sockets) => Some(Listeners::Inherited(sockets)),
        Inherited::Nothing => None,
    };
    logging::start("serve", &config.log);
    deploy::refusal(&config).map_or(Ok(()), Err)?;
    log_warnings(&found, &config);
    prepare_state(&config, &found.settings)?;
    let listeners = listeners.map_or_else(|| bind(&config), Ok)?;
    for socket in listeners.sockets() {
        log::info!("listening on {}", socket.local_addr()?);
    }
    role::serve(listeners, found.settings, &config, found.source)?;
    Ok(ExitStatus::Done)
}

/// Whoever starts a daemon says what it reads, and no usual file is looked for. A supervisor that passes a socket may
/// have nowhere to say it: inetd gives an empty environment.
fn source(file: Option<&Path>, inherited: &Inherited) -> Result<Source, CommandError> {
    Ok(match (file, inherited) {
        // Absolute, because its folder is watched.
        (Some(file), _) => Source::Named(std::path::absolute(file)?),
        (None, Inherited::Nothing) => Source::Environment,
        (None, _) => settings_source::source(None),
    })
}

/// A connection that the supervisor accepted: a session and nothing else, so what `serve` does once is done here where it
/// was not.
fn one_session(arrival: Arrival, found: &FoundSettings, config: &Config) -> Result<ExitStatus, CommandError> {
    logging::start("session", &config.log);
    prepare_state(config, &found.settings)?;
    session::session(arrival, &found.settings, config)?;
    Ok(ExitStatus::Done)
}

fn bind(config: &Config) -> Result<Listeners, CommandError> {
    net::listen(&config.listen)
        .map(Listeners::Own)
        .map_err(|error| CommandError::from(format!("listen on {}: {error}", config.listen)))
}

fn log_warnings(found: &FoundSettings, config: &Config) {
    role::log_warnings(&found.settings, config);
    // None of it keeps us from serving: a template folder may not be mounted yet.
    for complaint in deploy::complaints(config) {
        log::error!("a deploy would fail: {complaint}");
    }
    if !process::is_root() {
        log::warn!("not root: front and fetch keep our user, and docker must let it in");
    }
}

/// The folders, the replay memory, and what earlier runs left. An error in the last does not keep us from serving: a status
/// is better late than never.
fn prepare_state(config: &Config, settings: &Settings) -> Result<(), CommandError> {
    places::prepare(&config.places)?;
    ensure_memory(config)?;
    if let Err(error) = queue::ensure_published(&config.places, config.runs.keep) {
        log::error!("publish the last results: {error}");
    }
    if let Err(error) = queue::ensure_recovered(&config.places, settings) {
        log::error!("complete interrupted runs: {error}");
    }
    Ok(())
}

/// A memory that is not there may have been lost, so tokens from before are not trusted.
fn ensure_memory(config: &Config) -> Result<(), String> {
    let made = Memory::of(&config.places.state).create(Some(SystemTime::now()));
    if made.map_err(|refusal| refusal.detail)? {
        log::warn!(
            "the replay memory was not there and is new: tokens issued before now are refused; should it have been \
             there, see what became of {}",
            config.places.state.display()
        );
    }
    Ok(())
}
