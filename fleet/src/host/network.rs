//! The network half: NATS and TLS, without privileges. It passes requests up and statuses down. It decides nothing, starts
//! nothing, and opens no file but CA certificates and the resolver's.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use async_nats::Message;
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::link::{self, Decoder, Down, Task, Up};
use super::metrics_server;
use crate::limits::REQUEST_BYTES;
use crate::nats::{self, Connection, Happened, Patience, Seed, is_nobody};
use crate::os::{Exit, clock};
use crate::wire::message::Incoming;
use crate::wire::{Ask, Discovery, ReplyTo, Subject, forbidden};

/// The pause between two lines, or two answers, that strangers can cause.
const PAUSE: Duration = Duration::from_secs(1);

struct Network {
    link: UnixStream,
    decoder: Decoder,
    connection: Connection,
    discover: Subject,
    answer: Option<serde_json::Value>,
    /// Answers that anybody may read are published at most once a second.
    answered_all: Option<Instant>,
    metrics: metrics_server::Text,
    /// Dropped since the last line about it.
    dropped: u64,
    dropped_said: Option<Instant>,
    trouble: Option<String>,
}

/// Whether it is time again; then the next pause begins.
fn is_due(last: &mut Option<Instant>) -> bool {
    let due = last.is_none_or(|time| time.elapsed() >= PAUSE);
    if due {
        *last = Some(Instant::now());
    }
    due
}

/// An error ends the half.
pub async fn serve(link: UnixStream, decoder: Decoder, task: Task) -> io::Result<()> {
    let seed = Seed::of(&task.seed).map_err(io::Error::other)?;
    let connection = nats::connect(&task.servers, &seed, task.ca_file.as_ref(), Patience::Listener, &task.name).await?;
    let mut requests = SelectAll::new();
    for subject in &task.subjects {
        requests.push(connection.subscribe(subject.as_str()).await?);
    }
    let questions = connection.subscribe(task.discover.as_str()).await?;
    let metrics = Rc::new(RefCell::new(String::new()));
    if let Some(address) = &task.metrics {
        let bound = metrics_server::bind(address).await;
        let wrong = |why| io::Error::other(format!("the metrics cannot be served at {address}: {why}"));
        tokio::task::spawn_local(metrics_server::serve(bound.map_err(wrong)?, metrics.clone()));
    }
    let network = Network {
        link,
        decoder,
        connection,
        discover: task.discover,
        answer: None,
        answered_all: None,
        metrics,
        dropped: 0,
        dropped_said: None,
        trouble: None,
    };
    network.run(requests, questions).await
}

impl Network {
    async fn run(
        mut self,
        mut requests: SelectAll<async_nats::Subscriber>,
        mut questions: async_nats::Subscriber,
    ) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            while let Some(down) = self.decoder.next()? {
                self.obey(down).await?;
            }
            tokio::select! {
                read = self.link.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(count) => self.decoder.push(&buffer[..count]),
                },
                Some(message) = requests.next() => self.request(message).await?,
                Some(message) = questions.next() => self.discovery(message).await?,
                Some(happened) = self.connection.events.recv() => self.event(happened).await?,
            }
        }
    }

    async fn up(&mut self, frame: Up) -> io::Result<()> {
        self.link.write_all(&link::encode(&frame)).await
    }

    async fn obey(&mut self, down: Down) -> io::Result<()> {
        match down {
            Down::Settings(_) => return Err(io::Error::other("settings came twice")),
            Down::Answer(answer) => self.answer = Some(answer),
            Down::Metrics(text) => *self.metrics.borrow_mut() = text,
            Down::Publish(reply_to, payload) => self.publish(reply_to.as_str(), payload).await?,
        }
        Ok(())
    }

    async fn publish(&mut self, subject: &str, payload: String) -> io::Result<()> {
        match self.connection.publish(subject, None, payload.into_bytes()).await {
            Ok(()) => Ok(()),
            Err(Exit(_, why)) => self.up(Up::Log(why)).await,
        }
    }

    async fn request(&mut self, message: Message) -> io::Result<()> {
        // The server's word that nobody listens has no payload; neither has a probe of permissions.
        if message.payload.is_empty() {
            return Ok(());
        }
        if let Err(why) = Incoming::read(&message.payload) {
            self.dropped += 1;
            // Whoever may publish may flood.
            if is_due(&mut self.dropped_said) {
                let count = std::mem::take(&mut self.dropped);
                self.up(Up::Log(format!("dropped {count} requests; the last: {why}"))).await?;
            }
            return Ok(());
        }
        // JSON that could be read is text.
        self.up(Up::Request(String::from_utf8_lossy(&message.payload).into_owned())).await
    }

    async fn discovery(&mut self, message: Message) -> io::Result<()> {
        if is_nobody(&message) || message.payload.len() > REQUEST_BYTES {
            return Ok(());
        }
        let ask = match Discovery::read(&message.payload) {
            Some(Discovery::Ask(ask)) => ask,
            // A question of an unknown kind that says where the answer goes.
            None if message.payload.is_empty() && message.reply.is_some() => Ask::default(),
            _ => return Ok(()),
        };
        let reply = message.reply.and_then(|reply| reply.as_str().parse::<ReplyTo>().ok());
        let reply_to = ask.reply_to.or(reply);
        let Some(mut answer) = self.answer.clone() else { return Ok(()) };
        if ask.tier.is_some_and(|tier| answer["tier"] != tier.to_string()) {
            return Ok(());
        }
        answer["time"] = clock::now().to_string().into();
        match (reply_to, ask.id) {
            (Some(reply_to), Some(id))
                if ![&answer["last"], &answer["running"]].iter().any(|run| run["id"] == id.as_str()) =>
            {
                self.up(Up::Ask(reply_to, id)).await
            }
            (Some(reply_to), _) => self.publish(reply_to.as_str(), answer.to_string()).await,
            (None, _) if is_due(&mut self.answered_all) => {
                // Every listener reads this: what proves a status to be ours is not for them.
                answer["instance"] = serde_json::Value::Null;
                self.publish(&self.discover.to_string(), answer.to_string()).await
            }
            (None, _) => Ok(()),
        }
    }

    async fn event(&mut self, happened: Happened) -> io::Result<()> {
        let text = match happened {
            Happened::Connected => {
                self.trouble = None;
                return self.up(Up::Connected).await;
            }
            Happened::Disconnected => return self.up(Up::Disconnected).await,
            Happened::Forbidden { publish: false, subject } => {
                return Err(io::Error::other(forbidden(false, &subject)));
            }
            Happened::Forbidden { publish: true, subject } => return self.up(Up::Log(forbidden(true, &subject))).await,
            Happened::MessagesLost => return self.up(Up::Log("messages were lost: too many at once".to_owned())).await,
            Happened::Trouble(text) => text,
        };
        // Each try to connect fails in the same words: they are said once.
        if self.trouble.as_ref() == Some(&text) {
            return Ok(());
        }
        self.trouble = Some(text.clone());
        self.up(Up::Log(text)).await
    }
}
