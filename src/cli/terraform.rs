//! `tf-plan`, `tf-apply`, `drift`: the runs that requests would start, ordered by somebody on the host.
//!
//! As for `deploy` no token is asked for; the rules of a request's body hold all the same, so that what was forgotten is
//! said before anything begins. The run is another process; this one shows its lines, and may end before it.

use std::path::Path;

use crate::cli::args::{self, Destroy};
use crate::cli::commands::Verb;
use crate::cli::help::Exit;
use crate::cli::out::Trouble;
use crate::cli::show::Show;
use crate::cli::{deploy, given, words};
use crate::config::{Config, Job, RequireDigest, TerraformConfig};
use crate::gate::{Commit, PlanDigest};
use crate::gate::{Task, TerraformTask};
use crate::os::places;

/// Starts the run and follows it to its end.
///
/// # Errors
/// When it cannot be started: nothing has begun then.
pub fn terraform(env_file: Option<&Path>, asked: &args::Terraform) -> Result<Exit, Trouble> {
    let task = task(asked)?;
    let given = given::config(env_file)?;
    may_be_ordered(&task, &given.config)?;
    places::prepare(&given.config.places)?;
    deploy::carry_out(&given, Task::Terraform(task), Show::on_stdout(asked.form))
}

/// The same rules as for a request's body.
fn task(asked: &args::Terraform) -> Result<TerraformTask, Trouble> {
    let senseless = |rule: &str| words::error(asked.verb, rule);
    let sha = asked.sha.clone().map(Commit::try_from);
    let plan_digest = asked.plan_digest.clone().map(PlanDigest::try_from);
    Ok(TerraformTask {
        what: match asked.verb {
            Verb::TfApply => Job::TfApply,
            Verb::Drift => Job::TfDrift,
            _ => Job::TfPlan,
        },
        sha: sha.transpose().map_err(senseless)?,
        module: asked.module.clone(),
        plan_digest: plan_digest.transpose().map_err(senseless)?,
        allow_destroy: asked.destroy == Destroy::Allowed,
        approved_pr: None,
    })
}

/// What only the settings can tell.
fn may_be_ordered(task: &TerraformTask, config: &Config) -> Result<(), String> {
    let terraform = config.terraform.as_ref().ok_or(
        "terraform is not configured on this host: set DEPLOYER_TF_APPLY_REPOSITORY, and `check` names what else it needs",
    )?;
    if task.what == Job::TfPlan
        && let Some(why) = &terraform.no_plan
    {
        return Err(format!("nothing can be planned here, because {why}"));
    }
    if task.what == Job::TfApply
        && terraform.require_digest == RequireDigest::On
        && task.plan_digest.is_none()
    {
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
