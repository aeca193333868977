//! One deploy, from the question to the table.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use async_nats::Message;
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::Access;
use crate::nats::{Connection, Happened, is_nobody};
use crate::os::{Exit, clock};
use crate::rollout::{Input, Outcome, Output, Report, Rollout, Spec, Verdict};
use crate::wire::{Discovery, ReplyTo, Response};

fn status(message: Message) -> Option<Input> {
    Some(match is_nobody(&message) {
        true => Input::NobodyDeploys,
        false => Input::Response(Response::read(&message.payload).map(Box::new)),
    })
}

fn discovery(message: Message) -> Option<Input> {
    if is_nobody(&message) {
        return Some(Input::NobodyDiscovers);
    }
    match Discovery::read(&message.payload)? {
        Discovery::Answer(answer) => Some(Input::Answer(answer)),
        Discovery::Ask(_) => None,
    }
}

fn event(happened: Happened, was_lost: bool) -> Option<Input> {
    match happened {
        // The connection that we began with.
        Happened::Connected if !was_lost => None,
        Happened::Connected => Some(Input::Reconnected),
        Happened::Disconnected => Some(Input::Disconnected),
        Happened::MessagesLost => Some(Input::MessagesLost),
        Happened::Forbidden { publish, subject } => Some(Input::Forbidden { publish, subject }),
        Happened::Trouble(_) => None,
    }
}

struct Watch<'a> {
    access: &'a Access,
    connection: Connection,
    discover_reply: ReplyTo,
}

impl Watch<'_> {
    async fn messages(&self, spec: &Spec) -> Result<SelectAll<BoxStream<'static, Option<Input>>>, Exit> {
        let mut messages = SelectAll::new();
        messages.push(self.connection.subscribe(spec.request.reply_to.as_str()).await?.map(status).boxed());
        for subject in [self.discover_reply.as_str(), self.access.args.discover_subject.as_str()] {
            messages.push(self.connection.subscribe(subject).await?.map(discovery).boxed());
        }
        Ok(messages)
    }

    async fn publish(&self, output: &Output, Spec { target, request, .. }: &Spec) -> Result<(), Exit> {
        match output {
            Output::Deploy => {
                let payload = serde_json::to_vec(request).expect("a request is JSON");
                self.connection.publish(target.as_str(), Some(request.reply_to.as_str()), payload).await
            }
            Output::Probe(target) => self.connection.publish(target.as_str(), None, Vec::new()).await,
            Output::Discover(id) => {
                let (discover, reply) = (self.access.args.discover_subject.as_str(), self.discover_reply.clone());
                self.connection.ask(discover, reply, None, id.clone()).await
            }
            Output::Say(_) | Output::Finish(_) => Ok(()),
        }
    }
}

/// Deploys, says what happens, and returns how it ended. `stop` ends the watching; the deploy goes on.
pub async fn watch(access: &Access, spec: Spec, say: impl FnMut(Report), stop: impl Future<Output = ()>) -> Outcome {
    let started = clock::now();
    let (hosts, unexpected, notes) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    deploy(access, spec, say, stop).await.unwrap_or_else(|Exit(_, why)| Outcome {
        verdict: Verdict::Nobody,
        error: Some(why),
        hosts,
        unexpected,
        notes,
        started,
        finished: clock::now(),
    })
}

async fn deploy(
    access: &Access,
    spec: Spec,
    mut say: impl FnMut(Report),
    stop: impl Future<Output = ()>,
) -> Result<Outcome, Exit> {
    let mut watch = Watch { access, connection: access.connect().await?, discover_reply: access.reply_to() };
    let mut messages = watch.messages(&spec).await?;
    let (begin, started) = (Instant::now(), clock::now());
    let now = || started.plus_ms(begin.elapsed().as_millis() as u64);
    let (mut rollout, mut outputs) = Rollout::start(spec, started);
    let mut stop = std::pin::pin!(stop.fuse());
    let (mut was_lost, mut sent) = (false, false);
    loop {
        for output in outputs.drain(..) {
            // Once the request is out, only the deadline says that nothing is known.
            match watch.publish(&output, rollout.spec()).await {
                Err(why) if !sent => return Err(why),
                _ => sent |= matches!(output, Output::Deploy),
            }
            match output {
                Output::Say(report) => say(report),
                Output::Finish(outcome) => {
                    watch.connection.flush().await;
                    return Ok(outcome);
                }
                _ => {}
            }
        }
        let rest = Duration::from_millis(rollout.wake().unwrap_or(started).since(now()));
        let input = tokio::select! {
            biased;
            () = &mut stop => Some(Input::Stop),
            Some(happened) = watch.connection.events.recv() => {
                was_lost |= matches!(happened, Happened::Disconnected);
                event(happened, was_lost)
            }
            Some(input) = messages.next() => input,
            () = tokio::time::sleep(rest) => Some(Input::Tick),
        };
        outputs = input.map(|input| rollout.handle(input, now())).unwrap_or_default();
    }
}
