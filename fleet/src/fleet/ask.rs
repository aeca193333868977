//! Who is there: one question, and the answers until no more come.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::Access;
use crate::limits::{DISCOVER_LEAST_MS, DISCOVER_MOST_MS, DISCOVER_QUIET_MS};
use crate::nats::{Happened, is_nobody};
use crate::os::Exit;
use crate::wire::{Answer, Discovery, Hostname, RunId, Tier, forbidden};

/// The answers by hostname. With an id, `last` of each is about that deploy where the host knows of it.
pub async fn ask(access: &Access, tier: Option<Tier>, id: Option<RunId>) -> Result<BTreeMap<Hostname, Answer>, Exit> {
    let mut connection = access.connect().await?;
    let (reply_to, discover) = (access.reply_to(), access.args.discover_subject.as_str());
    let replies = connection.subscribe(reply_to.as_str()).await?;
    let mut messages = futures_util::stream::select(replies, connection.subscribe(discover).await?);
    connection.ask(discover, reply_to, tier, id).await?;
    let start = Instant::now();
    let most = Duration::from_millis(DISCOVER_MOST_MS);
    let mut end = start + Duration::from_millis(DISCOVER_LEAST_MS);
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
                Some(Happened::Forbidden { publish, subject }) => return Err(Exit(3, forbidden(publish, &subject))),
                Some(Happened::Disconnected) => return Err(Exit(3, "the connection was lost".to_owned())),
                _ => {}
            },
        }
    }
    connection.flush().await;
    Ok(answers)
}
