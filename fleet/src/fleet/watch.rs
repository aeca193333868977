//! One deploy, from the question to the table.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::Access;
use crate::nats::{Connection, Failure, Happened, is_nobody};
use crate::os::clock;
use crate::rollout::{Input, Outcome, Output, Report, Rollout, Spec};
use crate::wire::{Action, Ask, Discovery, Hostname, ReplyTo, Request, Response, Revision, Role, RunId, Target, Time};

/// What a person has ordered.
#[derive(Clone, Debug)]
pub struct Order {
    pub id: RunId,
    pub target: Target,
    pub action: Action,
    pub revision: Revision,
    pub branch: Option<Revision>,
    pub by: Option<String>,
    pub timeout: Duration,
    pub discover_wait: Duration,
    pub accept_wait: Duration,
    pub expected: Option<BTreeSet<Hostname>>,
    pub optional: BTreeSet<Hostname>,
    pub skip_offline: bool,
    pub max_hosts: Option<usize>,
}

impl Order {
    fn spec(&self, started: Time, deployer: Option<&Role>) -> Spec {
        let whole = self.timeout.as_millis() as u64;
        let deadline = started.plus_ms(whole);
        // Hosts end a little earlier, so that what they say of it arrives.
        let margin = (whole / 10).min(15_000);
        let request = Request {
            action: self.action,
            revision: self.revision.clone(),
            reply_to: ReplyTo::of(&self.id, deployer),
            id: self.id.clone(),
            issued_at: Some(started),
            deadline: Some(Time(deadline.0 - margin)),
            branch: self.branch.clone(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            by: self.by.clone(),
        };
        Spec {
            target: self.target.clone(),
            request,
            started,
            deadline,
            discover_wait_ms: self.discover_wait.as_millis() as u64,
            accept_wait_ms: self.accept_wait.as_millis() as u64,
            expected: self.expected.clone(),
            optional: self.optional.clone(),
            skip_offline: self.skip_offline,
            max_hosts: self.max_hosts,
        }
    }
}

enum Came {
    Status(async_nats::Message),
    Discovery(async_nats::Message),
}

impl Came {
    fn input(self) -> Option<Input> {
        match self {
            Came::Status(message) if is_nobody(&message) => Some(Input::NobodyDeploys),
            Came::Status(message) => Some(Input::Response(Response::read(&message.payload).map(Box::new))),
            Came::Discovery(message) if is_nobody(&message) => Some(Input::NobodyDiscovers),
            Came::Discovery(message) => match Discovery::read(&message.payload)? {
                Discovery::Answer(answer) => Some(Input::Answer(answer)),
                Discovery::Ask(_) => None,
            },
        }
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
        Happened::Refused | Happened::Trouble(_) => None,
    }
}

struct Watch<'a> {
    connection: Connection,
    access: &'a Access,
    request: Request,
    target: Target,
    discover_reply: ReplyTo,
}

impl<'a> Watch<'a> {
    fn of(connection: Connection, access: &'a Access, spec: &Spec) -> Self {
        Watch {
            connection,
            access,
            request: spec.request.clone(),
            target: spec.target.clone(),
            discover_reply: ReplyTo::of(&RunId::from_random(clock::random()), access.responses.as_ref()),
        }
    }

    async fn publish(&self, output: &Output) -> Result<(), Failure> {
        let discover = self.access.discover.as_str();
        match output {
            Output::Deploy => {
                let payload = serde_json::to_vec(&self.request).expect("a request is JSON");
                self.connection.publish(self.target.as_str(), Some(self.request.reply_to.as_str()), payload).await
            }
            Output::Probe(target) => self.connection.publish(target.as_str(), None, Vec::new()).await,
            Output::Discover(id) => {
                let reply = self.discover_reply.clone();
                let question = Ask { reply_to: Some(reply.clone()), tier: None, id: id.clone() };
                let payload = serde_json::to_vec(&question).expect("a question is JSON");
                self.connection.publish(discover, Some(reply.as_str()), payload).await
            }
            Output::Say(_) | Output::Finish(_) => Ok(()),
        }
    }

    async fn messages(&self) -> Result<SelectAll<BoxStream<'static, Came>>, Failure> {
        let mut messages = SelectAll::new();
        let statuses = self.connection.subscribe(self.request.reply_to.as_str()).await?;
        messages.push(statuses.map(Came::Status).boxed());
        for subject in [self.discover_reply.as_str(), self.access.discover.as_str()] {
            messages.push(self.connection.subscribe(subject).await?.map(Came::Discovery).boxed());
        }
        Ok(messages)
    }
}

/// Deploys, says what happens, and returns how it ended. `stop` ends the watching; the deploy goes on.
pub async fn watch(
    access: &Access,
    order: &Order,
    mut say: impl FnMut(Report),
    stop: impl Future<Output = ()>,
) -> Result<Outcome, Failure> {
    let connection = access.connect().await?;
    let begin = Instant::now();
    let started = clock::now();
    let spec = order.spec(started, access.responses.as_ref());
    let mut watch = Watch::of(connection, access, &spec);
    let mut messages = watch.messages().await?;
    let (mut rollout, mut outputs) = Rollout::start(spec);
    let mut stop = std::pin::pin!(stop.fuse());
    let (mut was_lost, mut sent) = (false, false);
    let now = || started.plus_ms(begin.elapsed().as_millis() as u64);
    loop {
        for output in outputs.drain(..) {
            // Once the request is out, only the deadline says that nothing is known.
            match watch.publish(&output).await {
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
        let wake = rollout.wake().unwrap_or(started);
        let rest = Duration::from_millis(wake.since(now()));
        let input = tokio::select! {
            biased;
            () = &mut stop => Some(Input::Stop),
            Some(happened) = watch.connection.events.recv() => {
                was_lost |= happened == Happened::Disconnected;
                event(happened, was_lost)
            }
            Some(came) = messages.next() => came.input(),
            () = tokio::time::sleep(rest) => Some(Input::Tick),
        };
        outputs = input.map(|input| rollout.handle(input, now())).unwrap_or_default();
    }
}
