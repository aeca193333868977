//! `session`: one connection, first byte to last. Root, but it parses neither TLS nor HTTP.
//!
//! It holds the gates between a request and a run. Front, which reads the network, is another process and may have been
//! taken over: what it relays is a claim, not a fact. A run is another process too and does not know who is listening.

mod admission;
mod arrival;
mod front_link;
mod slots;
mod stream;

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use crate::config::{Config, Settings};
use crate::limits::{REQUEST_DEADLINE, STALLED_CALLER};
use crate::link::Caller;
use crate::os::{descriptor, places, random, settings};
use crate::queue::{self, RunId, Urgency};
use admission::{Admission, Admitted};
use arrival::Visitor;
use front_link::FrontLink;

/// Settings on standard input, the line to `serve` as 3, its listeners from 4 on: one, or as many as the argument says.
///
/// # Errors
/// Whatever ended it before its answer was complete, for the log; and what `serve` handed over that makes no sense.
pub fn role() -> io::Result<()> {
    let count = std::env::args().nth(2).map_or(Ok(1), |count| count.parse());
    let count = count.map_err(|error| io::Error::other(format!("the number of listeners: {error}")))?;
    let numbers: Vec<_> = (descriptor::FIRST..).take(1 + count).collect();
    descriptor::close_inherited(&numbers)?;
    let serve = UnixStream::from(descriptor::adopt(descriptor::FIRST)?);
    let listeners = numbers[1..]
        .iter()
        .map(|number| descriptor::adopt(*number).map(TcpListener::from));
    let listeners = listeners.collect::<io::Result<_>>()?;
    let (settings, config) = settings::received("session")?;
    places::prepare(&config.places).map_err(io::Error::other)?;
    let front = FrontLink::ready(&config)?;
    match arrival::wait(&config, front.descriptor(), listeners, serve)? {
        Some(visitor) => converse(front, visitor, &settings, &config),
        None => Ok(()),
    }
}

/// The session of a connection that somebody else has accepted (inetd `nowait`, systemd `Accept=yes`). Nothing is started
/// for one that may not come in.
///
/// # Errors
/// Whatever ended it before its answer was complete, for the log.
pub fn connected(stream: TcpStream, settings: &Settings, config: &Config) -> io::Result<()> {
    places::prepare(&config.places).map_err(io::Error::other)?;
    match arrival::judge(config, stream)? {
        Some(visitor) => converse(FrontLink::ready(config)?, visitor, settings, config),
        None => Ok(()),
    }
}

/// The story of one connection. The peer is let go at its end, whatever that is.
fn converse(mut front: FrontLink, visitor: Visitor, settings: &Settings, config: &Config) -> io::Result<()> {
    let (peer, request_id) = (visitor.peer, &random::hex::<8>()?);
    let caller = Caller {
        request_id: request_id.clone(),
        open_paths: visitor.open_paths,
    };
    front.hand_over(visitor.stream, caller)?;
    // Front has the deadlines, and answers what comes too late itself; this is for one that keeps none.
    let Some(request) = front.request(Instant::now() + REQUEST_DEADLINE + STALLED_CALLER)? else {
        return Ok(());
    };
    let admission = Admission {
        config,
        settings,
        request_id,
        peer,
    };
    let answered = match admission.of(&request) {
        Err(refusal) => {
            // What the caller is not told goes here, under the id that the caller was given.
            let (method, path) = (&request.method, &request.path);
            let (status, sentence, detail) = (refusal.status, &refusal.sentence, &refusal.detail);
            log::warn!("request {request_id} of {peer}: {method} {path}: {status} {sentence}: {detail}");
            front.refuse(refusal)
        }
        Ok(Admitted {
            follower,
            slot,
            ends_with_caller,
        }) => {
            // Caps count connections that are not yet admitted; this one is a follower now.
            drop(visitor.slot);
            let run = follower.run_id().clone();
            let streamed = stream::stream(&mut front, follower, slot);
            if ends_with_caller && streamed.as_ref().is_err_and(is_gone) {
                cancel(config, &run);
            }
            streamed
        }
    };
    match answered {
        // Callers go as they please, and a run does not notice.
        Err(error) if is_gone(&error) => {
            log::info!("request {request_id}: the caller went before the end of its answer");
            Ok(())
        }
        answered => answered,
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

/// Nobody waits for its answer any more, and it changes nothing: it only keeps a lock and a turn from others.
fn cancel(config: &Config, run: &RunId) {
    match queue::cancel(&config.places, run, Urgency::Gentle) {
        Ok(()) => log::info!("run {run} is cancelled, because its caller went"),
        Err(error) => log::info!("run {run} is not cancelled, although its caller went: {error}"),
    }
}
