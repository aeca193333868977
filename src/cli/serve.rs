//! `serve`: everything that is done once, before the first connection; then [`crate::door::serve`], or the one session
//! for a connection that is here already.

use std::path::Path;
use std::time::SystemTime;

use crate::cli::given::{self, Found};
use crate::cli::help::Exit;
use crate::cli::out::Trouble;
use crate::config::{Config, Settings};
use crate::deploy;
use crate::door::Door;
use crate::door::serve::{self as role, Keeper, Listening};
use crate::gate::{Creation, Memory, Past};
use crate::os::settings::Source;
use crate::os::{logging, net, places, process};
use crate::queue;
use crate::session::{self, Arrival};

/// Answers requests until it is told to stop, or has answered the one that it was started for.
///
/// # Errors
/// Everything that is wrong with the settings at once; else the first thing that the host refuses.
pub fn serve(file: Option<&Path>, door: Door) -> Result<Exit, Trouble> {
    let found = given::from(source(file, &door)?)?;
    let config = found.config()?;
    let listening = match door {
        Door::Connected(stream) => return one_session(Arrival::Connected(stream), &found, &config),
        Door::Listening(sockets) => Some(Listening {
            sockets,
            keeper: Keeper::Starter,
        }),
        Door::Bind => None,
    };
    logging::start("serve", &config.log);
    deploy::refusal(&config).map_or(Ok(()), Err)?;
    say_what_may_surprise(&found, &config);
    put_in_order(&config, &found.settings)?;
    let listening = listening.map_or_else(|| bind(&config), Ok)?;
    for socket in &listening.sockets {
        log::info!("listening on {}", socket.local_addr()?);
    }
    role::serve(listening, found.settings, &config, found.source)?;
    Ok(Exit::Done)
}

/// Whoever starts a daemon says what it reads, and no usual file is looked for. A starter with a socket may have nowhere
/// to say it: inetd gives an empty environment.
fn source(file: Option<&Path>, door: &Door) -> Result<Source, Trouble> {
    Ok(match (file, door) {
        // Absolute, because its folder is watched.
        (Some(file), _) => Source::Named(std::path::absolute(file)?),
        (None, Door::Bind) => Source::Environment,
        (None, Door::Listening(_) | Door::Connected(_)) => given::source(None),
    })
}

/// A connection that our starter accepted: a session and nothing else, so what `serve` does once is done here as well
/// where it was not.
fn one_session(arrival: Arrival, found: &Found, config: &Config) -> Result<Exit, Trouble> {
    logging::start("session", &config.log);
    put_in_order(config, &found.settings)?;
    session::session(arrival, &found.settings, config)?;
    Ok(Exit::Done)
}

fn bind(config: &Config) -> Result<Listening, Trouble> {
    let socket = net::listen(&config.listen)
        .map_err(|error| Trouble::unable(format!("listen on {}: {error}", config.listen)))?;
    Ok(Listening {
        sockets: vec![socket],
        keeper: Keeper::Ourselves,
    })
}

fn say_what_may_surprise(found: &Found, config: &Config) {
    role::say_what_may_surprise(&found.settings, config);
    // None of it keeps us from serving: a template folder may not be mounted yet.
    for complaint in deploy::complaints(config) {
        log::error!("a deploy would fail: {complaint}");
    }
    if !process::is_root() {
        log::warn!("not root: front and fetch keep our user, and docker must let it in");
    }
}

/// Where everything lies, and what earlier runs left. What is left over does not keep us from serving: a status is
/// better late than never.
fn put_in_order(config: &Config, settings: &Settings) -> Result<(), Trouble> {
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
