//! The record of a run: how it ended, as the result in its folder says it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::event::{Outcome, Status, bounded, harmless};
use crate::os::clock;
use crate::queue::RunRequest;

/// Where a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    /// In `/runs`, and as its endpoint's status.
    Status,
    /// In `/runs` alone: a dry run, and a run that never had its turn.
    #[serde(rename = "runs_alone")]
    RunsOnly,
}

/// How a run ended, with what a list of runs says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its endpoint's name.
    pub endpoint: String,
    /// Who asked, as everyone may know it.
    pub origin: Value,
    /// Where it is shown.
    #[serde(rename = "shown")]
    pub publication: Publication,
    /// The last line of its log.
    pub outcome: Outcome,
    /// How many runs of this host had ended when it ended, or more: clocks may step back, this does not.
    pub sequence: u64,
}

impl Record {
    /// The record of `order`'s run, which went well and is shown, unless it is a dry run.
    pub fn new(order: &RunRequest, started: SystemTime, finished: SystemTime) -> Self {
        let (version, sha) = order.names();
        let mut more = Map::new();
        let publication = match order.dry_run() {
            true => Publication::RunsOnly,
            false => Publication::Status,
        };
        if order.dry_run() {
            more.insert("dry_run".to_owned(), json!(true));
        }
        if let Some(module) = order.module() {
            // Which status shows it depends on this one.
            more.insert("module".to_owned(), json!(module));
        }
        let took = finished.duration_since(started).unwrap_or_default();
        let outcome = Outcome {
            status: Status::Ok,
            error: None,
            version,
            sha,
            started_at: clock::rfc3339(started),
            finished_at: clock::rfc3339(finished),
            duration_ms: took.as_millis() as u64,
            run_id: order.run_id.to_string(),
            more,
        };
        Self {
            endpoint: order.endpoint.clone(),
            origin: order.origin.summary(),
            publication,
            outcome,
            sequence: 0,
        }
    }

    /// It went wrong, and why.
    pub fn fail(&mut self, why: &str) {
        self.outcome.status = Status::Fail;
        self.outcome.error = Some(bounded(&harmless(why)));
    }

    /// As `/runs` lists it, a line: the outcome, the endpoint, who asked.
    pub fn listed(&self) -> String {
        self.line(&self.origin, None)
    }

    /// The same, with what else may be known of it.
    pub fn line(&self, origin: &Value, accepted_at: Option<&str>) -> String {
        let listed = Listed {
            outcome: &self.outcome,
            endpoint: &self.endpoint,
            accepted_at,
            origin,
        };
        // Strings, numbers and maps with string keys: serialising them cannot fail.
        serde_json::to_string(&listed).unwrap_or_default()
    }
}

/// The outcome's members first: scripts that read a notice rely on `error` standing right behind `status`.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<&'a str>,
    origin: &'a Value,
}
