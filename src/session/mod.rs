//! `session`: one connection, first byte to last. Root, but it parses neither TLS nor HTTP.
//!
//! It holds the gates between a request and a run. Front, which reads the network, is another process and may have been
//! taken over: what it relays is a claim, not a fact. A run is another process too and does not know who is listening.

mod arrival;
mod front_link;
mod slots;

pub use arrival::Arrival;

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{Config, Settings};
use crate::gate::{self, Refusal};
use crate::limits::{HEARTBEAT, REQUEST_DEADLINE, WARM_DEADLINE};
use crate::os::{places, random};
use crate::run;
use front_link::FrontLink;

/// The story of one connection.
///
/// # Errors
/// Whatever ended it before its answer was complete, for the log; the peer has been let go.
pub fn session(arrival: Arrival, settings: &Settings, config: &Config) -> Result<(), String> {
    places::prepare(&config.places)?;
    let mut front = FrontLink::start(config)?;
    front.await_ready(Instant::now() + WARM_DEADLINE)?;
    let Some(visitor) = arrival.wait(config, front.descriptor())? else { return Ok(()) };
    let id = random::hex::<8>()?;
    front.hand_over(visitor.stream, &id, visitor.open_paths)?;
    let Some(request) = front.request(Instant::now() + REQUEST_DEADLINE)? else { return Ok(()) };
}
