//! The documents that a run of terraform leaves: `plan.json`, `apply.json` and `health.json` in its folder, and the module's
//! last status. They hold counts and words, and nothing of a plan's content.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::config::{Job, Module, Places};
use crate::gate::{Commit, TerraformTask};
use crate::os::clock;
use crate::os::files::{self, Durability};
use crate::queue::RunRequest;
use crate::run::{Failure, RunContext};

use super::planning::{Changes, Planned};

/// What a run has come to so far.
#[derive(Debug)]
pub(super) struct Report {
    common: Value,
    module: String,
    what: Job,
    plan: Option<Value>,
    apply: Option<Value>,
    health: Option<Value>,
    sentence: String,
}

impl Report {
    pub fn new(order: &RunRequest, task: &TerraformTask, module: &Module) -> Self {
        let mut common = json!({
            "run_id": order.run_id, "module": module.name,
            "sha": task.sha.as_ref().map(ToString::to_string),
        });
        if let Some(number) = task.approved_pr {
            common["approved_pr"] = json!(number);
        }
        Self {
            common,
            module: module.name.clone(),
            what: task.what,
            plan: None,
            apply: None,
            health: None,
            sentence: String::new(),
        }
    }

    /// Notes which commit it is about, where the request named none.
    pub fn of_commit(&mut self, commit: &Commit) {
        self.common["sha"] = json!(commit.to_string());
    }

    /// Notes what the plan came to.
    pub fn planned(&mut self, planned: &Result<Planned, Failure>) {
        self.plan = Some(match planned {
            Ok(planned) => {
                let (status, exit_code) = match planned.changes {
                    Changes::None => ("in-sync", 0),
                    Changes::Some => ("changes", 2),
                };
                self.sentence = match (self.what, planned.changes) {
                    (Job::TfDrift, Changes::None) => "nothing has drifted".to_owned(),
                    (Job::TfDrift, Changes::Some) if planned.summary.drifted == 0 => {
                        "an output has drifted".to_owned()
                    }
                    (Job::TfDrift, Changes::Some) => {
                        format!("resources that have drifted: {}", planned.summary.drifted)
                    }
                    (_, Changes::None) => "nothing to do".to_owned(),
                    (_, Changes::Some) => planned.summary.counts.to_string(),
                };
                self.document(json!({
                    "status": status, "exit_code": exit_code, "changes": planned.summary.counts.value(),
                    "plan_digest": planned.summary.digest,
                }))
            }
            Err(failure) => self.failed(failure),
        });
    }

    /// Notes that there was nothing to apply.
    pub fn nothing_to_apply(&mut self) {
        self.apply = Some(self.document(json!({"status": "noop", "exit_code": 0})));
        self.sentence = "nothing to do".to_owned();
    }

    /// Notes what the apply came to.
    pub fn applied(&mut self, applied: &Result<(), Failure>) {
        self.apply = Some(match applied {
            Ok(()) => {
                self.sentence = format!("applied: {}", self.sentence);
                self.document(json!({"status": "applied", "exit_code": 0}))
            }
            Err(failure) => self.failed(failure),
        });
    }

    /// Notes what the health came to.
    pub fn healthy(&mut self, health: &Result<(), Failure>) {
        self.health = Some(match health {
            Ok(()) => self.document(json!({"status": "healthy"})),
            Err(failure) => self.failed(failure),
        });
    }

    /// What came of it, for a person.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.module, self.sentence)
    }

    /// Writes the documents. What cannot be written is logged: the run's own record says how it ended.
    pub fn leave(&self, ctx: &mut RunContext, places: &Places) {
        for (name, document) in [
            ("plan", &self.plan),
            ("apply", &self.apply),
            ("health", &self.health),
        ] {
            if let Some(document) = document {
                warn(name, ctx.leave_document(&format!("{name}.json"), document));
            }
        }
        warn("the module's status", self.leave_status(places));
    }

    fn leave_status(&self, places: &Places) -> std::io::Result<()> {
        let parts = [
            ("plan", &self.plan),
            ("apply", &self.apply),
            ("health", &self.health),
        ];
        // The last one that was reached says how the module is.
        let last = parts.iter().rev().find_map(|(_, document)| document.as_ref());
        let status = match (&self.health, &self.apply) {
            (Some(health), Some(apply)) if health["status"] == "healthy" => apply["status"].clone(),
            _ => last.map_or(json!("failed"), |last| last["status"].clone()),
        };
        let exit_code = last.map_or(Value::Null, |last| last["exit_code"].clone());
        let mut document = self.document(json!({
            "status": status, "exit_code": exit_code, "endpoint": self.what.name(),
        }));
        for (name, part) in parts {
            if let Some(part) = part {
                document[name] = part.clone();
            }
        }
        let folder = places.state.join("last").join("modules");
        files::ensure_folder(&folder, 0o700)?;
        let path = folder.join(format!("{}.status.json", self.module));
        files::replace(
            &path,
            format!("{document}\n").as_bytes(),
            0o600,
            Durability::Durable,
        )
    }

    fn failed(&self, failure: &Failure) -> Value {
        self.document(json!({"status": "failed", "exit_code": 1, "error": failure.to_string()}))
    }

    fn document(&self, mut own: Value) -> Value {
        if let (Some(own), Some(common)) = (own.as_object_mut(), self.common.as_object()) {
            own.extend(common.clone());
            own.insert("finished_at".to_owned(), json!(clock::rfc3339(SystemTime::now())));
        }
        own
    }
}

fn warn(what: &str, result: std::io::Result<()>) {
    if let Err(error) = result {
        log::warn!("write {what}: {error}");
    }
}
