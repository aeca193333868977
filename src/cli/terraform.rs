//! `tf-plan`, `tf-apply`, `drift`: the runs that requests would start, ordered by somebody on the host.
//!
//! As for `deploy` no token is asked for; the rules of a request's body hold all the same, so that what was forgotten is
//! said before anything begins.

use serde_json::Value;

use crate::cli::arguments::Arguments;
use crate::cli::commands::Verb;
use crate::cli::commands_terraform::{ALLOW_DESTROY, COMMIT, MODULE, PLAN_DIGEST};
use crate::cli::help::ExitStatus;
use crate::cli::output::CommandError;
use crate::cli::show::Show;
use crate::cli::{deploy, settings_source, status};
use crate::config::{Config, Job, TerraformConfig};
use crate::event::harmless;
use crate::gate::{Commit, PlanDigest, Task, TerraformTask};
use crate::os::places;

/// Starts the run and follows it to its end.
///
/// # Errors
/// When it cannot be started: nothing has begun then.
pub fn terraform(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    // The same rules as for a request's body.
    let wrong = |rule: &str| arguments.wrong(rule);
    let value = |option| arguments.value(option).map(str::to_owned);
    let task = TerraformTask {
        what: match arguments.verb {
            Verb::TfApply => Job::TfApply,
            Verb::Drift => Job::TfDrift,
            _ => Job::TfPlan,
        },
        sha: value(&COMMIT).map(Commit::try_from).transpose().map_err(wrong)?,
        module: value(&MODULE),
        plan_digest: value(&PLAN_DIGEST)
            .map(PlanDigest::try_from)
            .transpose()
            .map_err(wrong)?,
        allow_destroy: arguments.has(&ALLOW_DESTROY),
        approved_pr: None,
    };
    let loaded = settings_source::load(arguments.env_file())?;
    may_be_ordered(&task, &loaded.config)?;
    places::prepare(&loaded.config.places)?;
    deploy::run(&loaded, Task::Terraform(task), Show::on_stdout(arguments))
}

/// What only the settings can tell.
fn may_be_ordered(task: &TerraformTask, config: &Config) -> Result<(), String> {
    let terraform = config.terraform.as_ref().ok_or(
        "terraform is not configured on this host: set DEPLOYER_TF_APPLY_REPOSITORY, and `check` names what else it needs",
    )?;
    if task.what == Job::TfPlan
        && let Err(why) = &terraform.plan
    {
        return Err(format!("nothing can be planned here, because {why}"));
    }
    if task.what == Job::TfApply && terraform.require_digest && task.plan_digest.is_none() {
        return Err(
            "DEPLOYER_TF_APPLY_REQUIRE_DIGEST is on: name the plan that was reviewed with --plan-digest"
                .into(),
        );
    }
    match terraform.module(task.module.as_deref()) {
        Some(_) => Ok(()),
        None => Err(no_module(task.module.as_deref().unwrap_or_default(), terraform)),
    }
}

fn no_module(name: &str, terraform: &TerraformConfig) -> String {
    let known: Vec<&str> = terraform
        .modules
        .iter()
        .map(|module| module.name.as_str())
        .collect();
    format!("there is no module `{name}`; there are: {}", known.join(", "))
}

/// What terraform did last, of each kind that was ever done.
pub fn last_results(config: &Config, show: Show) -> Result<String, String> {
    let mut text = String::new();
    if config.terraform.is_none() {
        return Ok(text);
    }
    for job in [Job::TfApply, Job::TfPlan, Job::TfDrift] {
        if let Some(outcome) = status::last_outcome(config, job)? {
            let module = outcome.more.get("module").and_then(Value::as_str);
            let module = module.map(|module| format!(" {module}")).unwrap_or_default();
            let name = harmless(&format!("{}{module}", job.name()));
            text += &format!("{name}: {}", status::readable(&outcome, show));
        }
    }
    Ok(text)
}
