//! What happens to a connection. async-nats has no typed event for a refused subject: the server's words are read.

use async_nats::{ClientError, Event, ServerError};

/// The words for a key that the server does not take.
pub(super) const UNKNOWN_KEY: &str = "the server does not know this key";

#[derive(Debug, PartialEq)]
pub enum Happened {
    Connected,
    Disconnected,
    /// The server refuses a subject: whether to publish, and which.
    Forbidden {
        publish: bool,
        subject: String,
    },
    /// Messages of a subscription were dropped on this side.
    MessagesLost,
    /// A try to connect has failed, or what else is worth a line in the log.
    Trouble(String),
}

impl Happened {
    pub(super) fn of(event: Event) -> Option<Happened> {
        Some(match event {
            Event::Connected => Happened::Connected,
            Event::Disconnected | Event::Closed => Happened::Disconnected,
            Event::SlowConsumer(_) => Happened::MessagesLost,
            Event::ServerError(ServerError::AuthorizationViolation) => Happened::Trouble(UNKNOWN_KEY.to_owned()),
            Event::ServerError(ServerError::Other(text)) => forbidden(&text).unwrap_or(Happened::Trouble(text)),
            Event::ServerError(ServerError::SlowConsumer(_)) => Happened::MessagesLost,
            Event::ClientError(ClientError::Other(text)) if text.contains("authorization violation") => {
                Happened::Trouble(UNKNOWN_KEY.to_owned())
            }
            Event::ClientError(error) => Happened::Trouble(error.to_string()),
            Event::LameDuckMode | Event::Draining => return None,
        })
    }
}

/// `Permissions Violation for Publish to "deploy.prod.all"`.
fn forbidden(text: &str) -> Option<Happened> {
    let rest = text.strip_prefix("Permissions Violation for ")?;
    let publish = rest.starts_with("Publish to ");
    let subject = rest.split('"').nth(1)?.to_owned();
    Some(Happened::Forbidden { publish, subject })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_violations_are_read_from_the_servers_words() {
        assert_eq!(
            forbidden("Permissions Violation for Publish to \"deploy.prod.all\""),
            Some(Happened::Forbidden { publish: true, subject: "deploy.prod.all".to_owned() })
        );
        assert_eq!(
            forbidden("Permissions Violation for Subscription to \"deploy.responses.X\" using queue \"q\""),
            Some(Happened::Forbidden { publish: false, subject: "deploy.responses.X".to_owned() })
        );
        assert_eq!(forbidden("stale connection"), None);
    }
}
