//! `tf-plan`, `tf-apply`, `drift`: the runs that requests would start, ordered by somebody on the host.
//!
//! As for `deploy` no token is asked for; the rules of a request's body hold all the same, so that what was forgotten is
//! said before anything begins.

use serde_json::Value;

use super::commands::{JSON, Opt, Spec, command, option};
use super::{Args, Result, Show, deploy, load, runs};
use crate::config::{Config, Job};
use crate::event::{Outcome, harmless};
use crate::gate::{Task, TerraformTask};

pub const COMMIT: Opt = option("--sha SHA", "the commit: 40 lower-case hex digits");
const ANY_COMMIT: Opt = option("--sha SHA", "the commit (default: DEPLOYER_TF_APPLY_REF's)");
pub const MODULE: Opt = option("--module NAME", "one of DEPLOYER_TF_MODULES");
pub const PLAN_DIGEST: Opt = option("--plan-digest DIGEST", "stop if the plan is another one by now");
pub const ALLOW_DESTROY: Opt = option("--allow-destroy", "even beyond DEPLOYER_TF_DESTROY_LIMIT");

pub const TF_PLAN: Spec = command(
    "tf-plan --sha SHA",
    |args| start(args, Job::TfPlan),
    &[COMMIT, MODULE, JSON],
);
pub const TF_APPLY: Spec = command(
    "tf-apply --sha SHA",
    |args| start(args, Job::TfApply),
    &[COMMIT, MODULE, PLAN_DIGEST, ALLOW_DESTROY, JSON],
);
pub const DRIFT: Spec = command(
    "drift",
    |args| start(args, Job::TfDrift),
    &[MODULE, ANY_COMMIT, JSON],
);

/// Starts the run and follows it to its end.
fn start(args: &Args, what: Job) -> Result {
    let task = TerraformTask {
        what,
        sha: args.checked(&COMMIT)?,
        module: args.value(&MODULE).map(str::to_owned),
        plan_digest: args.checked(&PLAN_DIGEST)?,
        allow_destroy: args.has(&ALLOW_DESTROY),
        approved_pr: None,
    };
    let loaded = load(args)?;
    may_be_ordered(&task, &loaded.config)?;
    deploy::run(&loaded, Task::Terraform(task), Show::on_stdout(args))
}

/// What only the settings can tell.
fn may_be_ordered(task: &TerraformTask, config: &Config) -> Result<(), String> {
    let terraform = config.terraform.as_ref();
    let terraform = terraform.ok_or("terraform is not configured here; set DEPLOYER_TF_APPLY_REPOSITORY")?;
    let module = task.module.as_deref();
    match &terraform.plan {
        Err(why) if task.what == Job::TfPlan => Err(format!("nothing can be planned here: {why}")),
        _ if task.what == Job::TfApply && terraform.require_digest && task.plan_digest.is_none() => {
            Err("DEPLOYER_TF_APPLY_REQUIRE_DIGEST is on: name the plan with --plan-digest".to_owned())
        }
        _ if terraform.module(module).is_none() => Err(format!(
            "there is no module `{}`; there are: {}",
            module.unwrap_or_default(),
            config.module_names().join(", ")
        )),
        _ => Ok(()),
    }
}

/// What terraform did last, of each kind that was ever done.
pub fn last_results(config: &Config, show: Show) -> Result<String, String> {
    let mut text = String::new();
    for job in [Job::TfApply, Job::TfPlan, Job::TfDrift] {
        if let Some(outcome) = runs::document::<Outcome>(config, job.name())? {
            let module = outcome.more.get("module").and_then(Value::as_str);
            let name = harmless(&format!("{} {}", job.name(), module.unwrap_or_default()));
            text += &format!("{name}: {}", runs::readable(&outcome, show));
        }
    }
    Ok(text)
}
