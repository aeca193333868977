//! The network half: NATS and TLS, without privileges. It passes requests up and statuses down. It decides nothing, starts
//! nothing, and opens no file but CA certificates and the resolver's.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::link::{self, Decoder, Down, Up};
use super::metrics_server;
use crate::limits::REQUEST_BYTES;
use crate::nats::{self, Connection, Happened, Patience, Seed, is_nobody};
use crate::os::clock;
use crate::wire::message::Incoming;
use crate::wire::{Ask, Discovery, ReplyTo, Subject};

/// What the keeper has set us to.
pub struct Task {
    pub servers: String,
    pub seed: String,
    pub ca_file: Option<std::path::PathBuf>,
    pub name: String,
    pub subjects: Vec<Subject>,
    pub discover: Subject,
    pub metrics: Option<String>,
}

enum Came {
    Deploy(async_nats::Message),
    Discovery(async_nats::Message),
}

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

/// Why the half ends.
pub type End = Result<(), String>;

pub async fn serve(link: UnixStream, decoder: Decoder, task: Task) -> End {
    let servers = task.servers.parse().map_err(|why: crate::wire::Invalid| why.0)?;
    let seed = Seed::of(&task.seed)?;
    let connecting = nats::connect(&servers, &seed, task.ca_file.as_ref(), Patience::Listener, &task.name);
    let connection = connecting.await.map_err(|why| why.0)?;
    let mut streams: SelectAll<BoxStream<'static, Came>> = SelectAll::new();
    for subject in &task.subjects {
        let stream = connection.subscribe(subject.as_str()).await.map_err(|why| why.0)?;
        streams.push(stream.map(Came::Deploy).boxed());
    }
    let stream = connection.subscribe(task.discover.as_str()).await.map_err(|why| why.0)?;
    streams.push(stream.map(Came::Discovery).boxed());
    let metrics = Rc::new(RefCell::new(String::new()));
    if let Some(address) = &task.metrics {
        let listener = metrics_server::bind(address)
            .await
            .map_err(|why| format!("the metrics cannot be served at {address}: {why}"))?;
        tokio::task::spawn_local(metrics_server::serve(listener, metrics.clone()));
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
    network.run(streams).await
}

impl Network {
    async fn run(mut self, mut streams: SelectAll<BoxStream<'static, Came>>) -> End {
        let mut buffer = [0; 16 * 1024];
        loop {
            while let Some(down) = self.decoder.next::<Down>().map_err(|why| why.0)? {
                self.obey(down).await?;
            }
            tokio::select! {
                read = self.link.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(count) => self.decoder.push(&buffer[..count]),
                },
                Some(came) = streams.next() => match came {
                    Came::Deploy(message) => self.request(message).await?,
                    Came::Discovery(message) => self.discovery(message).await?,
                },
                Some(happened) = self.connection.events.recv() => self.event(happened).await?,
            }
        }
    }

    async fn up(&mut self, frame: &Up) -> End {
        let written = self.link.write_all(&link::encode(frame)).await;
        written.map_err(|why: io::Error| format!("the link: {why}"))
    }

    async fn log(&mut self, message: String) -> End {
        self.up(&Up::Log { message }).await
    }

    async fn obey(&mut self, down: Down) -> End {
        match down {
            Down::Settings { .. } => return Err("settings came twice".to_owned()),
            Down::Answer { answer } => self.answer = Some(answer),
            Down::Metrics { text } => *self.metrics.borrow_mut() = text,
            Down::Publish { reply_to, payload } => self.publish(reply_to.as_str(), payload.into_bytes()).await?,
        }
        Ok(())
    }

    async fn publish(&mut self, subject: &str, payload: Vec<u8>) -> End {
        match self.connection.publish(subject, None, payload).await {
            Ok(()) => Ok(()),
            Err(why) => self.log(why.0).await,
        }
    }

    async fn request(&mut self, message: async_nats::Message) -> End {
        // The server's word that nobody listens has no payload; neither has a probe of permissions.
        if is_nobody(&message) || message.payload.is_empty() {
            return Ok(());
        }
        match Incoming::read(&message.payload) {
            Err(why) => self.drop_request(&why.to_string()).await,
            Ok(_) => match String::from_utf8(message.payload.to_vec()) {
                Ok(payload) => self.up(&Up::Request { payload }).await,
                Err(_) => self.drop_request("it is not text").await,
            },
        }
    }

    /// Counted, and said at most once a second: whoever may publish may flood.
    async fn drop_request(&mut self, why: &str) -> End {
        self.dropped += 1;
        if self.dropped_said.is_some_and(|said| said.elapsed() < Duration::from_secs(1)) {
            return Ok(());
        }
        self.dropped_said = Some(Instant::now());
        let count = std::mem::take(&mut self.dropped);
        self.log(format!("dropped {count} requests; the last: {why}")).await
    }

    async fn discovery(&mut self, message: async_nats::Message) -> End {
        if is_nobody(&message) || message.payload.len() > REQUEST_BYTES {
            return Ok(());
        }
        let ask = match Discovery::read(&message.payload) {
            Some(Discovery::Ask(ask)) => ask,
            // A question of an unknown kind that says where the answer goes.
            None if message.payload.is_empty() && message.reply.is_some() => {
                Ask { reply_to: None, tier: None, id: None }
            }
            _ => return Ok(()),
        };
        let reply = message.reply.as_ref().and_then(|reply| reply.as_str().parse::<ReplyTo>().ok());
        let reply_to = ask.reply_to.clone().or(reply);
        let Some(answer) = &self.answer else { return Ok(()) };
        if ask.tier.is_some_and(|tier| answer["tier"] != tier.as_str()) {
            return Ok(());
        }
        if let (Some(id), Some(reply_to)) = (&ask.id, &reply_to)
            && answer["last"]["id"] != id.as_str()
            && answer["running"]["id"] != id.as_str()
        {
            return self.up(&Up::Ask { reply_to: reply_to.clone(), id: id.clone() }).await;
        }
        self.tell(reply_to).await
    }

    async fn tell(&mut self, reply_to: Option<ReplyTo>) -> End {
        let Some(mut answer) = self.answer.clone() else {
            return Ok(());
        };
        answer["time"] = clock::now().to_string().into();
        if let Some(reply_to) = reply_to {
            return self.publish(reply_to.as_str(), answer.to_string().into_bytes()).await;
        }
        if self.answered_all.is_some_and(|time| time.elapsed() < Duration::from_secs(1)) {
            return Ok(());
        }
        self.answered_all = Some(Instant::now());
        // Every listener reads this: what proves a status to be ours is not for them.
        answer["instance"] = serde_json::Value::Null;
        let discover = self.discover.to_string();
        self.publish(&discover, answer.to_string().into_bytes()).await
    }

    async fn event(&mut self, happened: Happened) -> End {
        match happened {
            Happened::Connected => {
                self.trouble = None;
                self.up(&Up::Connected).await
            }
            Happened::Disconnected => self.up(&Up::Disconnected).await,
            Happened::Forbidden { publish: false, subject } => {
                Err(format!("the server does not let this key subscribe to {subject}"))
            }
            Happened::Forbidden { publish: true, subject } => {
                self.log(format!("the server does not let this key publish to {subject}")).await
            }
            Happened::MessagesLost => self.log("messages were lost: too many came at once".to_owned()).await,
            Happened::Refused => self.once("the server does not know this key".to_owned()).await,
            Happened::Trouble(text) => self.once(text).await,
        }
    }

    /// Each try to connect fails in the same words: they are said once.
    async fn once(&mut self, text: String) -> End {
        if self.trouble.as_ref() == Some(&text) {
            return Ok(());
        }
        self.trouble = Some(text.clone());
        self.log(text).await
    }
}
