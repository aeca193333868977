//! `check`: tries what the listener of this host needs, and prints the line that is missing in the server's configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::args::ListenerArgs;
use super::{Ended, NOBODY, listener, nobody, usage};
use crate::nats::Happened;
use crate::os::clock;
use crate::wire::{ReplyTo, RunId};

/// A refusal comes within a round trip.
const WAIT: Duration = Duration::from_millis(700);

pub async fn check(args: ListenerArgs) -> Ended {
    let settings = listener::settings(&args).map_err(usage)?;
    let access = args.connect.access().map_err(usage)?;
    println!("seed: {}", access.seed.public_key());
    let mut connection = access.connect().await.map_err(nobody)?;
    println!("server: {}", settings.servers);
    let mut open = Vec::new();
    for subject in settings.subjects.iter().chain([&settings.discover]) {
        open.push(connection.subscribe(subject.as_str()).await.map_err(nobody)?);
    }
    let reply = ReplyTo::of(&RunId::from_random(clock::random()), None);
    // What has a hostname is an answer to nobody's question.
    let harmless = format!("{{\"hostname\":\"{}\"}}", settings.hostname).into_bytes();
    for subject in [reply.as_str(), settings.discover.as_str()] {
        connection.publish(subject, None, harmless.clone()).await.map_err(nobody)?;
    }
    let mut refused = BTreeSet::new();
    let until = Instant::now() + WAIT;
    while let Ok(Some(happened)) = timeout_at(until, connection.events.recv()).await {
        if let Happened::Forbidden { publish, subject } = happened {
            let subject = if subject == reply.as_str() { "deploy.responses.>".to_owned() } else { subject };
            refused.insert((publish, subject));
        }
    }
    for (publish, subject) in &refused {
        let list = if *publish { "publish" } else { "subscribe" };
        println!("missing: the key may not {list} {subject}; add {subject:?} to permissions.{list} of its user");
    }
    if !refused.is_empty() {
        return Err((NOBODY, format!("{} permissions are missing", refused.len())));
    }
    println!("permissions: all that this listener needs");
    Ok(0)
}
