//! What was ordered, by whom, when: the content of a run folder's `grant.json`. Claims, and never the token.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::Job;
use crate::gate::{Permitted, Task, TokenId};
use crate::os::clock;
use crate::queue::RunId;

/// An admitted order. Written once, before the token's `jti` is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The run that carries it out.
    pub run_id: RunId,
    /// The endpoint's name, as in [`crate::config::Endpoint::name`]; the local command line uses the same names.
    pub endpoint: String,
    /// What was asked for.
    pub task: Task,
    /// Who asked.
    pub origin: Origin,
    /// As in the answer's `Request-Id`; for the local command line one of its own.
    pub request_id: String,
    /// RFC 3339, UTC, milliseconds.
    pub accepted_at: String,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Origin {
    /// A CI job, by its token.
    Token {
        /// Under which the replay memory knows the token.
        token: TokenId,
        /// The claims worth keeping: [`KEPT_CLAIMS`], those that were there.
        claims: Map<String, Value>,
    },
    /// Somebody on the host.
    Local {
        /// Real user id.
        uid: u32,
        /// Its name, if it has one.
        user: String,
    },
}

/// The claims that a record keeps: who, from where, and which CI job to look at.
pub const KEPT_CLAIMS: &str = "actor event_name project_path ref repository run_attempt run_id run_number sha sub \
                               user_login workflow_ref";

/// What of those is for everyone to read: `/runs` and the files in the public folder.
const PUBLIC_CLAIMS: &str = "actor project_path repository run_attempt run_id user_login";

impl RunRequest {
    /// The order of a token that went through the gates.
    pub fn of_token(permitted: &Permitted, run_id: &RunId, request_id: &str, now: SystemTime) -> Self {
        let origin = Origin::Token {
            token: permitted.token(),
            claims: only(KEPT_CLAIMS, |name| permitted.claims().get(name)),
        };
        Self {
            run_id: run_id.clone(),
            endpoint: permitted.endpoint().to_owned(),
            task: permitted.task().clone(),
            origin,
            request_id: request_id.to_owned(),
            accepted_at: clock::rfc3339(now),
        }
    }

    /// The order of somebody on the host.
    pub fn local(task: Task, run_id: &RunId, uid: u32, user: &str, now: SystemTime) -> Self {
        let job = match &task {
            Task::Deploy(_) => Job::Deploy,
            #[cfg(feature = "terraform")]
            Task::Terraform(task) => task.what,
        };
        Self {
            run_id: run_id.clone(),
            endpoint: job.name().to_owned(),
            task,
            origin: Origin::Local {
                uid,
                user: user.to_owned(),
            },
            request_id: run_id.to_string(),
            accepted_at: clock::rfc3339(now),
        }
    }

    /// The version and the commit that it names, as texts.
    pub fn names(&self) -> (Option<String>, Option<String>) {
        match &self.task {
            Task::Deploy(task) => (
                Some(task.version.to_string()),
                task.sha.as_ref().map(ToString::to_string),
            ),
            #[cfg(feature = "terraform")]
            Task::Terraform(task) => (None, task.sha.as_ref().map(ToString::to_string)),
        }
    }

    /// The module that it is about, where its kind of run has modules.
    pub fn module(&self) -> Option<&str> {
        match &self.task {
            Task::Deploy(_) => None,
            #[cfg(feature = "terraform")]
            Task::Terraform(task) => Some(task.module.as_deref().unwrap_or(crate::config::DEFAULT_MODULE)),
        }
    }

    /// Whether nothing is to be changed.
    pub fn dry_run(&self) -> bool {
        matches!(&self.task, Task::Deploy(task) if task.dry_run)
    }
}

impl Origin {
    /// What everyone may know of it.
    pub fn summary(&self) -> Value {
        self.shown(PUBLIC_CLAIMS)
    }

    /// All that the host's operator may want to know of it.
    pub fn details(&self) -> Value {
        self.shown(KEPT_CLAIMS)
    }

    fn shown(&self, names: &str) -> Value {
        match self {
            Origin::Local { user, .. } => json!({"from": "local", "user": user}),
            Origin::Token { claims, .. } => {
                let mut shown = only(names, |name| claims.get(name));
                shown.insert("from".to_owned(), json!("token"));
                Value::Object(shown)
            }
        }
    }
}

/// The claims of these names, where they are there.
fn only<'a>(names: &str, claim: impl Fn(&str) -> Option<&'a Value>) -> Map<String, Value> {
    let found = names
        .split(' ')
        .map(|name| Some((name.to_owned(), claim(name)?.clone())));
    found.flatten().collect()
}
