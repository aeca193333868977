//! `serve`: everything that is done once, before the first connection; then [`crate::door::serve`].

use std::path::Path;
use std::time::SystemTime;

use crate::cli::given::Found;
use crate::cli::help::Exit;
use crate::cli::out::Trouble;
use crate::config::{Config, Settings, warnings};
use crate::deploy;
use crate::door;
use crate::gate::{Creation, Memory, Past};
use crate::os::{logging, net, places, process, settings};
use crate::run;

/// Answers requests until it is told to stop.
///
/// # Errors
/// Everything that is wrong with the settings at once; else the first thing that the host refuses.
pub fn serve(file: Option<&Path>) -> Result<Exit, Trouble> {
    // No usual file is looked for: whoever starts a daemon says what it reads.
    // Absolute, because its folder is watched.
    let file = file.map(std::path::absolute).transpose()?;
    let settings = settings::load(file.as_deref()).map_err(|error| Trouble::Unable(error.faults))?;
    let found = Found { settings, file };
    let config = found.config()?;
    logging::start("serve", &config.log);
    deploy::refusal(&config).map_or(Ok(()), Err)?;
    say_what_may_surprise(&found, &config);
    places::prepare(&config.places)?;
    ensure_memory(&config)?;
    put_in_order(&config, &found.settings);
    let listener = net::listen(&config.listen)
        .map_err(|error| Trouble::unable(format!("listen on {}: {error}", config.listen)))?;
    log::info!("listening on {}", listener.local_addr()?);
    door::serve::serve(listener, found.settings, &config, found.file)?;
    Ok(Exit::Done)
}

fn say_what_may_surprise(found: &Found, config: &Config) {
    warnings(&found.settings)
        .iter()
        .chain(&config.no_plan())
        .for_each(|line| log::warn!("{line}"));
    if !process::is_root() {
        log::warn!("not root: front and fetch keep our user, and docker must let it in");
    }
}

/// What earlier runs left, and what the next ones would stumble over. None of it keeps us from serving: a template
/// folder may not be mounted yet, and a status is better late than never.
fn put_in_order(config: &Config, settings: &Settings) {
    for complaint in deploy::complaints(config) {
        log::error!("a deploy would fail: {complaint}");
    }
    if let Err(error) = run::ensure_published(&config.places, config.runs.keep) {
        log::error!("publish the last results: {error}");
    }
    if let Err(error) = run::ensure_recovered(&config.places, settings) {
        log::error!("complete interrupted runs: {error}");
    }
}

/// A memory that is not there may have been lost, so tokens from before are not trusted.
fn ensure_memory(config: &Config) -> Result<(), String> {
    let made = Memory::of(&config.places.state).create(Past::Unknown, SystemTime::now())?;
    if made == Creation::New {
        log::warn!(
            "the replay memory was not there and is new: tokens issued before now are refused; should it have been \
             there, see what became of {}",
            config.places.state.display()
        );
    }
    Ok(())
}
