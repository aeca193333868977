//! `serve`: everything that is done once, before the first connection; then [`crate::listen::serve`], or the one session
//! for a connection that is here already.

use std::path::{self, Path};
use std::time::SystemTime;

use super::{ExitStatus, NEW_MEMORY, NOT_ROOT, Result, settings_source};
use crate::config::{Config, Settings};
use crate::gate::Memory;
use crate::listen::serve::{self as role, Listeners};
use crate::os::settings::Source;
use crate::os::supervisor::Inherited;
use crate::os::{logging, net, places, process};
use crate::session;
use crate::{deploy, queue};

/// Answers requests until it is told to stop, or has answered the one that it was started for.
///
/// # Errors
/// Everything that is wrong with the settings at once; else the first thing that the host refuses.
pub fn serve(file: Option<&Path>, inherited: Inherited) -> Result {
    let found = settings_source::from(source(file, &inherited)?)?;
    let config = found.config()?;
    let inherited = match inherited {
        // A session and nothing else, so what is done once is done here where it was not.
        Inherited::Connected(stream) => {
            logging::start("session", &config.log);
            prepare_state(&config, &found.settings)?;
            session::connected(stream, &found.settings, &config)?;
            return Ok(ExitStatus::Done);
        }
        Inherited::Listening(sockets) => Some(sockets),
        Inherited::Nothing => None,
    };
    logging::start("serve", &config.log);
    deploy::refusal(&config).map_or(Ok(()), Err)?;
    role::log_warnings(&found.settings, &config);
    // None of it keeps us from serving: a template folder may not be mounted yet.
    for complaint in deploy::complaints(&config) {
        log::error!("a deploy would fail: {complaint}");
    }
    if !process::is_root() {
        log::warn!("{NOT_ROOT}");
    }
    prepare_state(&config, &found.settings)?;
    let listen = &config.listen;
    let bind = || net::listen(listen).map_err(|error| format!("listen on {listen}: {error}"));
    let (sockets, are_inherited) = match inherited {
        Some(sockets) => (sockets, true),
        None => (vec![bind()?], false),
    };
    let listeners = Listeners::new(sockets, are_inherited)?;
    role::serve(listeners, found.settings, config, found.source)?;
    Ok(ExitStatus::Done)
}

/// Whoever starts a daemon says what it reads, and no usual file is looked for. A supervisor that passes a socket may
/// have nowhere to say it: inetd gives an empty environment.
fn source(file: Option<&Path>, inherited: &Inherited) -> Result<Source> {
    Ok(match (file, inherited) {
        // Absolute, because its folder is watched.
        (Some(file), _) => Source::Named(path::absolute(file)?),
        (None, Inherited::Nothing) => Source::Environment,
        (None, _) => settings_source::source(None),
    })
}

/// The folders, the replay memory, and what earlier runs left. An error in the last does not keep us from serving: a status
/// is better late than never.
fn prepare_state(config: &Config, settings: &Settings) -> Result<(), String> {
    let places = &config.places;
    places::prepare(places)?;
    // A memory that is not there may have been lost, so tokens from before are not trusted.
    let made = Memory::of(&places.state).create(Some(SystemTime::now()));
    if made.map_err(|refusal| refusal.detail)? {
        let state = places.state.display();
        log::warn!("the replay memory of {state} {NEW_MEMORY}");
    }
    if let Err(error) = queue::ensure_published(places, config.runs.keep) {
        log::error!("publish the last results: {error}");
    }
    if let Err(error) = queue::ensure_recovered(places, settings) {
        log::error!("complete interrupted runs: {error}");
    }
    Ok(())
}
