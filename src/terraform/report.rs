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
use crate::run::{Result, RunContext};

use super::summary::Summary;

/// What a run has come to so far.
pub struct Report {
    common: Value,
    module: String,
    job: Job,
    /// By name, in the order in which they were added.
    documents: Vec<(&'static str, Value)>,
}

impl Report {
    pub fn new(request: &RunRequest, task: &TerraformTask, module: &Module) -> Self {
        let mut common = json!({"run_id": request.run_id, "module": module.name, "sha": task.sha});
        if let Some(number) = task.approved_pr {
            common["approved_pr"] = json!(number);
        }
        Self {
            common,
            module: module.name.clone(),
            job: task.what,
            documents: Vec::new(),
        }
    }

    /// Which commit it is about, where the request named none.
    pub fn of_commit(&mut self, commit: &Commit) {
        self.common["sha"] = json!(commit);
    }

    /// Adds the document `name` of what came of a step: `good` where that is good, else why not.
    pub fn add<T>(
        &mut self,
        name: &'static str,
        result: Result<T>,
        good: impl FnOnce(&T) -> Value,
    ) -> Result<T> {
        let own = match &result {
            Ok(value) => good(value),
            Err(failure) => json!({"status": "failed", "exit_code": 1, "error": failure.to_string()}),
        };
        self.documents.push((name, self.document(own)));
        result
    }

    /// Writes the documents. What cannot be written is logged: the run's own record says how it ended.
    pub fn leave(&self, ctx: &mut RunContext, places: &Places) {
        let leave = |(name, own): &(&str, Value)| ctx.leave_document(&format!("{name}.json"), own);
        let left = self.documents.iter().try_for_each(leave);
        if let Err(error) = left.and(self.leave_status(places)) {
            log::warn!("write the documents of run {}: {error}", ctx.run_id());
        }
    }

    fn leave_status(&self, places: &Places) -> io::Result<()> {
        // The last one that was reached says how the module is; that it is healthy says nothing about that.
        let mut documents = self.documents.iter().rev();
        let told = documents.find(|(_, document)| document["status"] != "healthy");
        let last = self.documents.last();
        let mut document = self.document(json!({
            "status": told.map_or(json!("failed"), |(_, document)| document["status"].clone()),
            "exit_code": last.map(|(_, document)| &document["exit_code"]),
            "endpoint": self.job.name(),
        }));
        for (name, part) in &self.documents {
            document[*name] = part.clone();
        }
        let folder = places.state.join("last/modules");
        files::ensure_folder(&folder, 0o700)?;
        let path = folder.join(format!("{}.status.json", self.module));
        let text = format!("{document}\n");
        files::replace(&path, text.as_bytes(), 0o600)
    }

    fn document(&self, mut own: Value) -> Value {
        if let (Some(own), Some(common)) = (own.as_object_mut(), self.common.as_object()) {
            own.extend(common.clone());
            own.insert("finished_at".to_owned(), json!(clock::rfc3339(SystemTime::now())));
        }
        own
    }
}

/// The document of a plan.
pub fn planned(summary: &Summary) -> Value {
    let (status, exit_code) = match summary.has_changes {
        true => ("changes", 2),
        false => ("in-sync", 0),
    };
    json!({
        "status": status, "exit_code": exit_code, "changes": summary.counts,
        "plan_digest": summary.digest,
    })
}

/// What a plan comes to, for a person.
pub fn sentence(job: Job, summary: &Summary) -> String {
    match (job, summary.has_changes) {
        (Job::TfDrift, false) => "nothing has drifted".to_owned(),
        (Job::TfDrift, true) if summary.drifted == 0 => "an output has drifted".to_owned(),
        (Job::TfDrift, true) => format!("resources that have drifted: {}", summary.drifted),
        (_, false) => "nothing to do".to_owned(),
        (_, true) => summary.counts.to_string(),
    }
}
