//! Connecting, and the two kinds of patience: a deployer wants to know now, a listener waits for its server.

use std::error::Error;
use std::iter::successors;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{ConnectErrorKind, ConnectOptions, ServerAddr, Subscriber};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::event::UNKNOWN_KEY;
use super::{Happened, Seed};
use crate::limits::{CONNECT_WAIT, PING_INTERVAL};
use crate::os::Exit;
use crate::wire::subject::{DISCOVER, RESPONSES};
use crate::wire::{Ask, Invalid, ReplyTo, Role, RunId, Subject, Tier};

/// Addresses of servers, joined by commas.
#[derive(Clone, Serialize, Deserialize)]
pub struct Servers(Vec<String>);

impl FromStr for Servers {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let urls: Vec<String> = text.split(',').map(|url| url.trim().to_owned()).collect();
        for url in &urls {
            let known = ["nats://", "tls://"].iter().any(|scheme| url.starts_with(scheme));
            if !known || url.parse::<ServerAddr>().is_err() {
                return Err(Invalid(format!("NATS server {url:?}: as in nats://host:4222 or tls://host:4222")));
            }
        }
        Ok(Servers(urls))
    }
}

impl std::fmt::Display for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A URL may carry a password.
        let shown = |url: &String| match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => url.clone(),
        };
        f.write_str(&self.0.iter().map(shown).collect::<Vec<_>>().join(","))
    }
}

/// What every command that connects is told.
#[derive(Clone, clap::Args)]
pub struct ConnectArgs {
    /// NATS servers, joined by commas: nats://host:4222, tls://host:4222
    #[arg(long, env = "HOMELAB_DEPLOY_NATS_URL", value_name = "URL")]
    pub nats_url: Servers,
    /// File with the NKey seed
    #[arg(long, env = "HOMELAB_DEPLOY_NKEY_FILE", value_name = "FILE")]
    pub nkey_file: PathBuf,
    /// PEM file with the certificates that may have signed the server's
    #[arg(long, env = "HOMELAB_DEPLOY_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Subject of discovery
    #[arg(long, default_value = DISCOVER, value_name = "SUBJECT")]
    pub discover_subject: Subject,
    /// Take answers below deploy.responses.NAME: for servers that give each deployer subjects of its own
    #[arg(long, env = "HOMELAB_DEPLOY_RESPONSES", value_name = "NAME")]
    pub responses: Option<Role>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Patience {
    /// An error at the first connect ends it; later it reconnects after 0.1 to 2 s.
    Deployer,
    /// It tries for ever, after 0.1 to 30 s.
    Listener,
}

pub struct Connection {
    client: async_nats::Client,
    pub events: mpsc::UnboundedReceiver<Happened>,
}

/// A pause between two tries: doubled each time, and somewhere between half of it and all, so that a fleet does not come back
/// in one moment.
fn pause(attempt: usize, most: Duration) -> Duration {
    use std::hash::{BuildHasher, Hasher};
    let whole = Duration::from_millis(100 << attempt.saturating_sub(1).min(10)).min(most);
    let random = std::hash::RandomState::new().build_hasher().finish() % 1_000;
    whole / 2 + whole / 2 * (random as u32) / 1_000
}

pub async fn connect(
    servers: &Servers,
    seed: &Seed,
    ca_file: Option<&PathBuf>,
    patience: Patience,
    name: &str,
) -> Result<Connection, Exit> {
    let (to, events) = mpsc::unbounded_channel();
    let was_connected = Arc::new(AtomicBool::new(false));
    let connected = was_connected.clone();
    let most = match patience {
        Patience::Deployer => Duration::from_secs(2),
        Patience::Listener => Duration::from_secs(30),
    };
    let mut options = ConnectOptions::with_nkey(seed.reveal().to_owned())
        .name(name)
        // The seed's permissions allow no `_INBOX`.
        .custom_inbox_prefix(RESPONSES)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_WAIT)
        .ignore_discovered_servers()
        .reconnect_delay_callback(move |attempt| {
            if was_connected.load(Ordering::Relaxed) || attempt > 1 { pause(attempt, most) } else { Duration::ZERO }
        })
        .event_callback(move |event| {
            if matches!(event, async_nats::Event::Connected) {
                connected.store(true, Ordering::Relaxed);
            }
            if let Some(happened) = Happened::of(event) {
                to.send(happened).ok();
            }
            std::future::ready(())
        });
    if let Some(file) = ca_file {
        options = options.add_root_certificates(file.clone());
    }
    options = match patience {
        Patience::Deployer => options.no_echo(),
        Patience::Listener => options.retry_on_initial_connect(),
    };
    let connecting = tokio::time::timeout(CONNECT_WAIT, options.connect(servers.0.clone()));
    match connecting.await {
        Ok(Ok(client)) => Ok(Connection { client, events }),
        Ok(Err(why)) => Err(Exit(3, sentence(servers, &why))),
        Err(_) => Err(Exit(3, format!("{servers} does not answer"))),
    }
}

/// What came back, in words that say what to do about it.
fn sentence(servers: &Servers, why: &async_nats::ConnectError) -> String {
    let causes: Vec<String> = successors(why.source(), |&cause| cause.source()).map(ToString::to_string).collect();
    let text = format!("{why}: {}", causes.join(": "));
    let plain = match why.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => UNKNOWN_KEY,
        ConnectErrorKind::TimedOut => "the server does not answer",
        ConnectErrorKind::Dns => "the server's name cannot be looked up",
        _ if text.contains("InvalidContentType") => "the server speaks no TLS: use nats:// in the place of tls://",
        _ if text.contains("invalid peer certificate") => {
            "the server's certificate is not trusted: name its issuer's with --ca-file"
        }
        _ => causes.last().unwrap_or(&text),
    };
    format!("no connection to {servers}: {plain}")
}

impl Connection {
    pub async fn subscribe(&self, subject: &str) -> Result<Subscriber, Exit> {
        let subscribed = self.client.subscribe(subject.to_owned()).await;
        subscribed.map_err(|why| Exit(3, format!("subscribing to {subject}: {why}")))
    }

    /// Hands bytes to the connection; while it is down they wait.
    pub async fn publish(&self, subject: &str, reply: Option<&str>, payload: Vec<u8>) -> Result<(), Exit> {
        let sent = match reply {
            Some(reply) => self.client.publish_with_reply(subject.to_owned(), reply.to_owned(), payload.into()).await,
            None => self.client.publish(subject.to_owned(), payload.into()).await,
        };
        sent.map_err(|why| Exit(3, format!("publishing to {subject}: {why}")))
    }

    /// Asks who is there, about one deploy or about none.
    pub async fn ask(
        &self,
        discover: &str,
        reply_to: ReplyTo,
        tier: Option<Tier>,
        id: Option<RunId>,
    ) -> Result<(), Exit> {
        let ask = Ask { reply_to: Some(reply_to.clone()), tier, id };
        let payload = serde_json::to_vec(&ask).expect("a question is JSON");
        self.publish(discover, Some(reply_to.as_str()), payload).await
    }

    pub async fn flush(&self) {
        tokio::time::timeout(Duration::from_secs(1), self.client.flush()).await.ok();
    }
}

/// Whether a message is the server's word that nobody got what was published.
pub fn is_nobody(message: &async_nats::Message) -> bool {
    message.status == Some(async_nats::StatusCode::NO_RESPONDERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_server_addresses_are_checked_and_shown_without_passwords() {
        let servers: Servers = "nats://a:4222, tls://u:secret@b:4222".parse().unwrap();
        assert_eq!(servers.to_string(), "nats://a:4222,tls://b:4222");
        for bad in ["", "http://a", "a:4222", "nats://a,", "ws://a"] {
            assert!(bad.parse::<Servers>().is_err(), "{bad}");
        }
    }

    #[test]
    fn contract_pauses_grow_and_stay_below_their_bound() {
        for attempt in 1..40 {
            let pause = pause(attempt, Duration::from_secs(30));
            assert!(pause >= Duration::from_millis(50) && pause <= Duration::from_secs(30));
        }
        assert!(pause(30, Duration::from_secs(2)) >= Duration::from_secs(1));
    }
}
