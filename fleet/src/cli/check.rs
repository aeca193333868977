//! `check`: tries what the listener of this host needs, and prints the line that is missing in the server's configuration.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::Ended;
use crate::fleet::Access;
use crate::host::Settings;
use crate::nats::Happened;
use crate::os::{Exit, clock};
use crate::wire::{ReplyTo, RunId};

/// A refusal comes within a round trip.
const WAIT: Duration = Duration::from_millis(700);

pub async fn check(settings: Settings) -> Ended {
    let (subjects, discover) = (settings.subjects()?, &settings.connect.discover_subject);
    let access = Access::of(&settings.connect, &settings.connect.nkey_file)?;
    println!("seed: {}", access.seed.public_key());
    let mut connection = access.connect().await?;
    println!("server: {}", settings.connect.nats_url);
    let mut open = Vec::new();
    for subject in subjects.iter().chain([discover]) {
        open.push(connection.subscribe(subject.as_str()).await?);
    }
    let reply = ReplyTo::of(&RunId::from_random(clock::random()), None);
    // What has a hostname is an answer to nobody's question.
    let harmless = format!("{{\"hostname\":\"{}\"}}", settings.hostname).into_bytes();
    for subject in [reply.as_str(), discover.as_str()] {
        connection.publish(subject, None, harmless.clone()).await?;
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
        return Err(Exit(3, format!("{} permissions are missing", refused.len())));
    }
    println!("permissions: all that this listener needs");
    Ok(0)
}
