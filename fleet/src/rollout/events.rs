//! What goes into the state machine, and what comes out.

use super::{Outcome, State};
use crate::wire::{Answer, Hostname, Response, RunId, Target};

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The time alone.
    Tick,
    /// A status, or why what came is none.
    Response(Result<Box<Response>, &'static str>),
    Answer(Box<Answer>),
    /// The server says that nobody got the question.
    NobodyDiscovers,
    /// The server says that nobody got the request.
    NobodyDeploys,
    /// The server refuses a subject: whether to publish, and which.
    Forbidden {
        publish: bool,
        subject: String,
    },
    Disconnected,
    Reconnected,
    /// Messages were dropped on this side.
    MessagesLost,
    /// The person who watches goes away.
    Stop,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Publish the request to the target.
    Deploy,
    /// Publish an empty message: only the server's permission matters.
    Probe(Target),
    /// Publish a question, about one deploy or about none.
    Discover(Option<RunId>),
    Say(Report),
    Finish(Outcome),
}

/// What to tell the person who watches.
#[derive(Clone, Debug)]
pub enum Report {
    Plan { hosts: Vec<Hostname>, message: String },
    Sent { hosts: Vec<Hostname>, message: String },
    Host { host: Hostname, state: State, error: Option<String>, revision: Option<String>, message: String },
    Note(String),
}
