//! `session`: one connection, first byte to last. Root, but it parses neither TLS nor HTTP.
//!
//! It holds the gates between a request and a run. Front, which reads the network, is another process and may have been
//! taken over: what it relays is a claim, not a fact. A run is another process too and does not know who is listening.

mod arrival;
mod front_link;
mod slots;

pub use arrival::Arrival;

use std::io;
use std::time::Instant;

use crate::config::{Config, Settings};
use crate::limits::{REQUEST_DEADLINE, WARM_DEADLINE};
use crate::os::{places, random};
use front_link::FrontLink;

/// The story of one connection.
///
/// # Errors
/// Whatever ended it before its answer was complete, for the log; the peer has been let go.
pub fn session(arrival: Arrival, _settings: &Settings, config: &Config) -> io::Result<()> {
    places::prepare(&config.places).map_err(io::Error::other)?;
    let mut front = FrontLink::start(config)?;
    front
        .await_ready(Instant::now() + WARM_DEADLINE)
        .map_err(io::Error::other)?;
    let Some(visitor) = arrival.wait(config, front.descriptor())? else {
        return Ok(());
    };
    let id = random::hex::<8>()?;
    front.hand_over(visitor.stream, &id, visitor.open_paths)?;
    let Ok(request) = front.request(Instant::now() + REQUEST_DEADLINE)? else {
        return Ok(());
    };
    log::info!("{id} {} {}", request.method, request.path);
    Ok(())
}
