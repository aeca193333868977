//! `session`: one connection, first byte to last. Root, but it parses neither TLS nor HTTP.
//!
//! It holds the gates between a request and a run. Front, which reads the network, is another process and may have been
//! taken over: what it relays is a claim, not a fact. A run is another process too and does not know who is listening.

mod admission;
mod arrival;
mod front_link;
mod slots;
mod stream;

pub use arrival::{Arrival, Waiting};

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::config::{Config, Settings};
use crate::gate::Refusal;
use crate::limits::{REQUEST_DEADLINE, STALLED_CALLER};
use crate::link::{self, Caller};
use crate::os::{descriptor, places, random, settings};
use crate::queue::{self, RunId, Urgency};
use admission::{Admission, Admitted};
use arrival::Visitor;
use front_link::FrontLink;

/// Settings on standard input, the line to `serve` as 3, its listeners from 4 on: one, or as many as the argument says.
///
/// # Errors
/// Those of [`session`], and what whoever started us handed over that makes no sense.
pub fn role() -> io::Result<()> {
    let count = std::env::args().nth(2).map_or(Ok(1), |count| count.parse());
    let count = count.map_err(|error| io::Error::other(format!("the number of listeners: {error}")))?;
    let numbers: Vec<_> = (descriptor::FIRST..).take(1 + count).collect();
    descriptor::close_inherited(&numbers)?;
    let serve = UnixStream::from(descriptor::adopt(descriptor::FIRST)?);
    let listeners: io::Result<Vec<_>> = numbers[1..]
        .iter()
        .map(|number| descriptor::adopt(*number).map(TcpListener::from))
        .collect();
    let waiting = Waiting {
        listeners: listeners?,
        serve,
    };
    let (settings, config) = settings::received("session")?;
    session(Arrival::Shared(waiting), &settings, &config)
}

/// The story of one connection.
///
/// # Errors
/// Whatever ended it before its answer was complete, for the log; the peer has been let go.
pub fn session(arrival: Arrival, settings: &Settings, config: &Config) -> io::Result<()> {
    places::prepare(&config.places).map_err(io::Error::other)?;
    let Some((mut front, visitor)) = meet(arrival, config)? else {
        return Ok(());
    };
    let request_id = random::hex::<8>()?;
    let caller = Caller {
        request_id: request_id.clone(),
        open_paths: visitor.open_paths,
    };
    front.hand_over(visitor.stream, caller)?;
    // Front has the deadlines, and answers what comes too late itself; this is for one that keeps none.
    let patience = REQUEST_DEADLINE + STALLED_CALLER;
    let Some(request) = front.request(Instant::now() + patience)? else {
        return Ok(());
    };
    let admission = Admission {
        config,
        settings,
        request_id: &request_id,
        peer: visitor.peer,
    };
    let answered = match admission.of(&request) {
        Err(refusal) => {
            log_refusal(&admission, &request, &refusal);
            front.refuse(head_of(&refusal))
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

/// A front, and a visitor for it. Where the connection is here first, nothing is started for one that may not come in.
fn meet(arrival: Arrival, config: &Config) -> io::Result<Option<(FrontLink, Visitor)>> {
    match arrival {
        Arrival::Connected(stream) => match arrival::judge(config, stream)? {
            Some(visitor) => Ok(Some((FrontLink::ready(config)?, visitor))),
            None => Ok(None),
        },
        Arrival::Shared(waiting) => {
            let front = FrontLink::ready(config)?;
            let visitor = waiting.visitor(config, front.descriptor())?;
            Ok(visitor.map(|visitor| (front, visitor)))
        }
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

fn head_of(refusal: &Refusal) -> link::Head {
    let retry_after = |after: Duration| ("Retry-After".to_owned(), after.as_secs().to_string());
    link::Head {
        status: refusal.status,
        headers: refusal.retry_after.map(retry_after).into_iter().collect(),
        sentence: Some(refusal.sentence.clone().into_owned()),
    }
}

/// What the caller is not told goes here, under the id that the caller was given.
fn log_refusal(admission: &Admission<'_>, request: &link::Request, refusal: &Refusal) {
    log::warn!(
        "request {} of {}: {} {}: {} {}: {}",
        admission.request_id,
        admission.peer,
        request.method,
        request.path,
        refusal.status,
        refusal.sentence,
        refusal.detail
    );
}
