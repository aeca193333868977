//! The steps of `/tf-plan`, `/tf-apply` and a look for drift: fetch one commit, run terraform on it, say what came of it.
//!
//! [`run`] is the story. A plan runs code that nobody has approved: it is done by other hands, within walls,
//! with credentials of its own. An apply plans first, and applies that very plan and no other. Terraform prints into a
//! file that is followed, so nothing that becomes of us breaks it in its middle; its exit status is not believed where it
//! means several things. This folder never undoes what terraform has done.

pub mod app;
mod app_answer;
mod applying;
mod bury;
mod checkout;
mod difference;
mod digest;
mod environment;
mod fault;
mod folder;
mod git;
mod git_words;
mod hands;
mod health;
mod init;
mod json_file;
mod plan_file;
mod planning;
mod report;
mod summary;
mod work;

pub use bury::conclude_dead;

use std::path::PathBuf;

use serde_json::Value;

use crate::config::{Config, Job, Module, Side, TerraformConfig};
use crate::event::Phase;
use crate::gate::TerraformTask;
use crate::limits::{CHECKOUT_DEADLINE, HEALTH_MARGIN};
use crate::queue::RunRequest;
use crate::run::{Effect, EndPolicy, Failure, RunContext, Tool};
use crate::secret::Secret;
use checkout::{CheckedOut, Trust, Wanted};
use hands::{Errand, Hands};
use planning::Changes;
use report::Report;
use work::{Kind, Work};

/// One run of terraform: what was asked for.
struct Terraform<'a> {
    config: &'a Config,
    terraform: &'a TerraformConfig,
    task: &'a TerraformTask,
    module: &'a Module,
    hands: Hands<'a>,
}

/// Carries out `task`, which is what `order` orders.
///
/// # Errors
/// What kept it from coming to its good end. What terraform has changed stays.
pub fn run(
    ctx: &mut RunContext,
    order: &RunRequest,
    task: &TerraformTask,
    config: &Config,
) -> Result<(), Failure> {
    let terraform = Terraform::new(task, config).map_err(Failure::Failed)?;
    let mut report = Report::new(order, task, terraform.module);
    let result = terraform.take_steps(ctx, &mut report);
    ctx.finally(|ctx| {
        // Everything goes that may hold a secret, whatever came of the run.
        report.leave(ctx, &config.places);
        terraform.hands.clear()
    });
    result
}

impl<'a> Terraform<'a> {
    /// # Errors
    /// When the settings have changed since it was admitted.
    fn new(task: &'a TerraformTask, config: &'a Config) -> Result<Self, String> {
        let terraform = config.terraform.as_ref();
        let terraform = terraform.ok_or("terraform is not configured on this host any more")?;
        let module = terraform.module(task.module.as_deref());
        let module =
            module.ok_or_else(|| format!("there is no module {:?} on this host any more", task.module))?;
        let (kind, side) = match task.what {
            Job::TfPlan => (Kind::Plan, terraform.plan.as_ref()),
            _ => (Kind::Apply, Some(&terraform.apply)),
        };
        let no_plan = || terraform.no_plan.clone().unwrap_or_default();
        let side = side.ok_or_else(no_plan)?;
        Ok(Self {
            config,
            terraform,
            task,
            module,
            hands: Hands {
                config,
                terraform,
                side,
                kind,
                work: Work::of(terraform, kind),
            },
        })
    }

    fn take_steps(&self, ctx: &mut RunContext, report: &mut Report) -> Result<(), Failure> {
        let longest = self.terraform.run_max;
        let checked_out = ctx.step(Phase::GitFetch, CHECKOUT_DEADLINE, Effect::Looks, |ctx| {
            self.fetch(ctx, report)
        })?;
        ctx.step(Phase::TfInit, longest, Effect::Looks, |ctx| {
            self.init(ctx, &checked_out)
        })?;
        let planned = ctx.step(Phase::TfPlan, longest, Effect::Looks, |ctx| {
            self.plan(ctx, &checked_out, report)
        })?;
        if self.task.what == Job::TfApply {
            ctx.step(Phase::TfPlan, longest, Effect::Looks, |ctx| {
                self.may_be_applied(ctx, &planned)
            })?;
            if planned.changes == Changes::None {
                report.nothing_to_apply();
                ctx.say(Phase::Done, &report.sentence());
                return Ok(());
            }
            ctx.step(Phase::TfApply, longest, Effect::Changes, |ctx| {
                self.apply(ctx, &checked_out, report)
            })?;
            if let Some(health) = self.health_url() {
                let deadline = self.config.deploy().health.max_wait + HEALTH_MARGIN;
                ctx.step(Phase::Health, deadline, Effect::Looks, |ctx| {
                    let result = self.wait_for(ctx, &health.url);
                    report.healthy(&result);
                    result
                })?;
            }
        }
        ctx.step(Phase::Done, longest, Effect::Looks, |ctx| {
            ctx.say(Phase::Done, &report.sentence());
            Ok(())
        })
    }

    fn fetch(&self, ctx: &mut RunContext, report: &mut Report) -> Result<CheckedOut, Failure> {
        secrets(self.hands.side).for_each(|secret| ctx.hide(secret));
        self.hands.prepare()?;
        let wanted = Wanted {
            commit: self.task.sha.as_ref(),
            trust: match self.hands.kind {
                Kind::Plan => Trust::Any,
                Kind::Apply => Trust::Merged,
            },
            module: self.module,
        };
        let checked_out = checkout::checkout(ctx, &self.hands, wanted)?;
        if self.task.sha.is_none() {
            self.outcome(ctx, "sha", checked_out.commit.to_string());
            report.of_commit(&checked_out.commit);
        }
        Ok(checked_out)
    }

    /// A command of terraform in the module's folder.
    fn tool(&self, checked_out: &CheckedOut, arguments: Vec<String>, ending: EndPolicy) -> Tool {
        let seen = Work::checkout(self.hands.work.seen());
        self.hands.tool(Errand {
            program: self.terraform.terraform.clone(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: environment::of(&self.hands),
            directory: seen.join(&checked_out.folder),
            deadline: self.terraform.run_max,
            ending,
            pipe: None,
        })
    }

    fn lock_timeout(&self) -> String {
        format!("-lock-timeout={}s", self.terraform.lock_timeout.as_secs())
    }

    fn outcome(&self, ctx: &mut RunContext, name: &str, value: impl Into<Value>) {
        ctx.outcome_member(name, value.into());
    }
}

/// A module's folder in a checkout.
fn folder_of(checkout: &std::path::Path, module: &Module) -> PathBuf {
    match module.path.as_str() {
        "." => checkout.to_owned(),
        path => checkout.join(path),
    }
}

/// What terraform is given and must not be shown to print. A mask of a short word would cover half of what it says.
fn secrets(side: &Side) -> impl Iterator<Item = &Secret> {
    let both = [&side.access_key_id, &side.secret_access_key];
    both.into_iter().filter(|secret| secret.expose().len() >= 6)
}
