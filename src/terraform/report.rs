//! The documents that a run of terraform leaves: `plan.json`, `apply.json` and `health.json` in its folder, and the module's
//! last status. They hold counts and words, and nothing of a plan's content.

use std::io;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::config::{Job, Module, Places};
use crate::gate::{Commit, TerraformTask};
use crate::os::clock;
use crate::os::files;
use crate::queue::RunRequest;
use crate::run::{Failure, RunContext};

use super::Planned;

/// What a run has come to so far.
#[derive(Debug)]
pub(super) struct Report {
    common: Value,
    module: String,
    job: Job,
    /// By name, in the order in which they were added.
    documents: Vec<(&'static str, Value)>,
    sentence: String,
}

impl Report {
    pub fn new(request: &RunRequest, task: &TerraformTask, module: &Module) -> Self {
        let mut common = json!({
            "run_id": request.run_id, "module": module.name,
            "sha": task.sha.as_ref().map(ToString::to_string),
        });
        if let Some(number) = task.approved_pr {
            common["approved_pr"] = json!(number);
        }
        Self {
            common,
            module: module.name.clone(),
            job: task.what,
            documents: Vec::new(),
            sentence: String::new(),
        }
    }

    /// Which commit it is about, where the request named none.
    pub fn of_commit(&mut self, commit: &Commit) {
        self.common["sha"] = json!(commit.to_string());
    }

    pub fn planned(&mut self, planned: &Result<Planned, Failure>) {
        if let Ok(planned) = planned {
            let summary = &planned.summary;
            self.sentence = match (self.job, planned.has_changes) {
                (Job::TfDrift, false) => "nothing has drifted".to_owned(),
                (Job::TfDrift, true) if summary.drifted == 0 => "an output has drifted".to_owned(),
                (Job::TfDrift, true) => format!("resources that have drifted: {}", summary.drifted),
                (_, false) => "nothing to do".to_owned(),
                (_, true) => summary.counts.to_string(),
            };
        }
        self.add("plan", planned.as_ref(), |planned| {
            let (status, exit_code) = if planned.has_changes {
                ("changes", 2)
            } else {
                ("in-sync", 0)
            };
            json!({
                "status": status, "exit_code": exit_code, "changes": planned.summary.counts.value(),
                "plan_digest": planned.summary.digest,
            })
        });
    }

    pub fn nothing_to_apply(&mut self) {
        self.add("apply", Ok(()), |()| json!({"status": "noop", "exit_code": 0}));
    }

    pub fn applied(&mut self, applied: &Result<(), Failure>) {
        if applied.is_ok() {
            self.sentence = format!("applied: {}", self.sentence);
        }
        let document = |_: &()| json!({"status": "applied", "exit_code": 0});
        self.add("apply", applied.as_ref(), document);
    }

    pub fn healthy(&mut self, health: &Result<(), Failure>) {
        self.add("health", health.as_ref(), |_| json!({"status": "healthy"}));
    }

    /// What came of it, for a person.
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.module, self.sentence)
    }

    /// Writes the documents. What cannot be written is logged: the run's own record says how it ended.
    pub fn leave(&self, ctx: &mut RunContext, places: &Places) {
        for (name, document) in &self.documents {
            if let Err(error) = ctx.leave_document(&format!("{name}.json"), document) {
                log::warn!("write {name}.json of run {}: {error}", ctx.run_id());
            }
        }
        if let Err(error) = self.leave_status(places) {
            log::warn!("write the status of module {}: {error}", self.module);
        }
    }

    fn leave_status(&self, places: &Places) -> io::Result<()> {
        // The last one that was reached says how the module is; that it is healthy says nothing about that.
        let told = |(_, document): &&(&str, Value)| document["status"] != "healthy";
        let status = self.documents.iter().rev().find(told);
        let status = status.map_or(json!("failed"), |(_, document)| document["status"].clone());
        let last = self.documents.last();
        let exit_code = last.map_or(Value::Null, |(_, document)| document["exit_code"].clone());
        let mut document = self.document(json!({
            "status": status, "exit_code": exit_code, "endpoint": self.job.name(),
        }));
        for (name, part) in &self.documents {
            document[*name] = part.clone();
        }
        let folder = places.state.join("last").join("modules");
        files::ensure_folder(&folder, 0o700)?;
        let path = folder.join(format!("{}.status.json", self.module));
        let text = format!("{document}\n");
        files::replace(&path, text.as_bytes(), 0o600)
    }

    fn add<T>(&mut self, name: &'static str, result: Result<T, &Failure>, good: impl FnOnce(T) -> Value) {
        let own = match result {
            Ok(value) => good(value),
            Err(failure) => json!({"status": "failed", "exit_code": 1, "error": failure.to_string()}),
        };
        self.documents.push((name, self.document(own)));
    }

    fn document(&self, mut own: Value) -> Value {
        if let (Some(own), Some(common)) = (own.as_object_mut(), self.common.as_object()) {
            own.extend(common.clone());
            own.insert("finished_at".to_owned(), json!(clock::rfc3339(SystemTime::now())));
        }
        own
    }
}
