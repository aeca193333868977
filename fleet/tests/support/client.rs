//! A bare NATS client: what a stranger with a key can send, and what is answered.

use std::time::Duration;

use futures_util::StreamExt;
use homelab_deploy::nats::Seed;

use super::server::Server;

pub struct Client {
    runtime: tokio::runtime::Runtime,
    client: async_nats::Client,
}

pub struct Heard<'a> {
    client: &'a Client,
    subscriber: async_nats::Subscriber,
}

impl Client {
    pub fn connect(server: &Server, seed: &Seed) -> Client {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let options = async_nats::ConnectOptions::with_nkey(seed.reveal().to_owned()).no_echo();
        let client = runtime.block_on(options.connect(server.url())).unwrap();
        Client { runtime, client }
    }

    pub fn publish(&self, subject: &str, payload: impl Into<Vec<u8>>) {
        let payload: Vec<u8> = payload.into();
        self.runtime.block_on(async {
            self.client.publish(subject.to_owned(), payload.into()).await.unwrap();
            self.client.flush().await.unwrap();
        });
    }

    pub fn publish_with_reply(&self, subject: &str, reply: &str, payload: impl Into<Vec<u8>>) {
        let payload: Vec<u8> = payload.into();
        self.runtime.block_on(async {
            self.client.publish_with_reply(subject.to_owned(), reply.to_owned(), payload.into()).await.unwrap();
            self.client.flush().await.unwrap();
        });
    }

    pub fn subscribe(&self, subject: &str) -> Heard<'_> {
        let subscriber = self.runtime.block_on(async {
            let subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
            self.client.flush().await.unwrap();
            subscriber
        });
        Heard { client: self, subscriber }
    }
}

impl Heard<'_> {
    /// The next message as JSON, within a time.
    pub fn next(&mut self, time: Duration) -> Option<serde_json::Value> {
        self.raw(time).map(|(_, payload)| serde_json::from_slice(&payload).unwrap())
    }

    pub fn raw(&mut self, time: Duration) -> Option<(String, Vec<u8>)> {
        let next = async { tokio::time::timeout(time, self.subscriber.next()).await.ok().flatten() };
        let message = self.client.runtime.block_on(next)?;
        Some((message.subject.to_string(), message.payload.to_vec()))
    }

    /// What comes until a status is final.
    pub fn statuses(&mut self) -> Vec<serde_json::Value> {
        let mut statuses = Vec::new();
        loop {
            let status = self.next(super::PATIENCE).expect("a final status");
            let end = ["completed", "failed", "rejected"].contains(&status["status"].as_str().unwrap());
            statuses.push(status);
            if end {
                return statuses;
            }
        }
    }
}
