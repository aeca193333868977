//! Who is there: one question, and the answers until no more come.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until, timeout};

use super::Access;
use crate::limits::{CONNECT_WAIT, DISCOVER_LEAST_MS, DISCOVER_QUIET_MS};
use crate::nats::{Failure, Happened, is_nobody};
use crate::os::clock::random;
use crate::wire::{Answer, Ask, Discovery, Hostname, ReplyTo, RunId, Tier};

/// The answers by hostname. With an id, `last` of each is about that deploy where the host knows of it.
pub async fn ask(
    access: &Access,
    tier: Option<Tier>,
    id: Option<RunId>,
    most: Duration,
) -> Result<BTreeMap<Hostname, Answer>, Failure> {
    let mut connection = access.connect().await?;
    let reply_to = ReplyTo::of(&RunId::from_random(random()), access.responses.as_ref());
    let replies = connection.subscribe(reply_to.as_str()).await?;
    let others = connection.subscribe(access.discover.as_str()).await?;
    let mut messages = futures_util::stream::select(replies, others);
    let question = Ask { reply_to: Some(reply_to.clone()), tier, id };
    let payload = serde_json::to_vec(&question).expect("a question is JSON");
    connection.publish(access.discover.as_str(), Some(reply_to.as_str()), payload).await?;
    let start = Instant::now();
    let mut end = start + Duration::from_millis(DISCOVER_LEAST_MS).min(most);
    let mut answers = BTreeMap::new();
    loop {
        tokio::select! {
            () = sleep_until(end) => break,
            message = messages.next() => match message {
                Some(message) if is_nobody(&message) => break,
                Some(message) => {
                    let Some(Discovery::Answer(answer)) = Discovery::read(&message.payload) else { continue };
                    // A host of the Go tool knows no filter.
                    if tier.is_none() || answer.tier.is_none() || answer.tier == tier {
                        answers.insert(answer.hostname.clone(), *answer);
                    }
                    end = end.max(Instant::now() + Duration::from_millis(DISCOVER_QUIET_MS)).min(start + most);
                }
                None => break,
            },
            happened = connection.events.recv() => match happened {
                Some(Happened::Forbidden { publish, subject }) => return Err(forbidden(publish, &subject)),
                Some(Happened::Disconnected) => return Err(Failure("the connection was lost".to_owned())),
                _ => {}
            },
        }
    }
    timeout(CONNECT_WAIT, connection.flush()).await.ok();
    Ok(answers)
}

fn forbidden(publish: bool, subject: &str) -> Failure {
    let what = if publish { "publish to" } else { "subscribe to" };
    Failure(format!("the server does not let this key {what} {subject}"))
}
