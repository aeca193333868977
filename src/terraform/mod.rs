//! The steps of `/tf-plan`, `/tf-apply` and a look for drift: fetch one commit, run terraform on it, say what came of it.
//!
//! [`plan`] is the story, as a list. A plan runs code that nobody has approved: it is done by other hands, within walls,
//! with credentials of its own. An apply plans first, and applies that very plan and no other. Terraform prints into a
//! file that is followed, so nothing that becomes of us breaks it in its middle; its exit status is not believed where it
//! means several things. This folder never undoes what terraform has done.

pub mod app;
mod app_answer;
mod applying;
mod bury;
mod checkout;
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

pub use bury::bury;

use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Config, Job, Module, Side, TerraformConfig};
use crate::event::Phase;
use crate::gate::TerraformTask;
use crate::limits::{CHECKOUT_DEADLINE, HEALTH_MARGIN};
use crate::run::step::act_of;
use crate::run::{Ending, Failure, Plan, RunContext, RunRequest, Step, Tool};
use crate::secret::Secret;
use checkout::{CheckedOut, Trust, Wanted};
use hands::{Errand, Hands};
use planning::Planned;
use report::Report;
use work::{Kind, Work};

/// One run of terraform: what was asked for, and what the steps have found out so far.
struct Terraform<'a> {
    config: &'a Config,
    terraform: &'a TerraformConfig,
    task: &'a TerraformTask,
    module: &'a Module,
    hands: Hands<'a>,
    checked_out: OnceCell<CheckedOut>,
    planned: OnceCell<Planned>,
    report: RefCell<Report>,
}

/// The steps that carry out `ask`, which is what `order` orders, in order.
pub fn plan<'a>(order: &'a RunRequest, task: &'a TerraformTask, config: &'a Config) -> Plan<'a> {
    let terraform = match Terraform::new(order, task, config) {
        Ok(terraform) => Rc::new(terraform),
        Err(why) => return refused(why),
    };
    let longest = terraform.terraform.run_max;
    let mut plan = Plan {
        time: Some(longest),
        at_the_end: Some(act_of(&terraform, Terraform::leave)),
        ..Plan::default()
    };
    plan.steps = vec![
        terraform.looks(Phase::GitFetch, CHECKOUT_DEADLINE, Terraform::fetch),
        terraform.looks(Phase::TfInit, longest, Terraform::init),
        terraform.looks(Phase::TfPlan, longest, Terraform::plan),
    ];
    if task.what == Job::TfApply {
        plan.steps
            .push(terraform.looks(Phase::TfPlan, longest, Terraform::may_be_applied));
        plan.steps.push(Step::changes(
            Phase::TfApply,
            longest,
            act_of(&terraform, Terraform::apply),
        ));
        if terraform.health_url().is_some() {
            let deadline = config.deploy().health.max_wait + HEALTH_MARGIN;
            plan.steps
                .push(terraform.looks(Phase::Health, deadline, Terraform::wait_for_health));
        }
    }
    plan.steps
        .push(terraform.looks(Phase::Done, longest, Terraform::done));
    plan
}

/// The plan of a run that cannot be: the settings have changed since it was admitted.
fn refused<'a>(why: String) -> Plan<'a> {
    Plan {
        steps: vec![Step::looks(Phase::Preflight, Duration::from_secs(1), move |_| {
            Err(Failure::Failed(why.clone()))
        })],
        ..Plan::default()
    }
}

/// Making steps.
impl<'a> Terraform<'a> {
    fn new(order: &'a RunRequest, task: &'a TerraformTask, config: &'a Config) -> Result<Self, String> {
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
            checked_out: OnceCell::new(),
            planned: OnceCell::new(),
            report: RefCell::new(Report::new(order, task, module)),
        })
    }

    fn looks(
        self: &Rc<Self>,
        phase: Phase,
        deadline: Duration,
        act: impl Fn(&Self, &mut RunContext) -> Result<(), Failure> + 'a,
    ) -> Step<'a> {
        Step::looks(phase, deadline, act_of(self, act))
    }
}

/// Taking steps.
impl Terraform<'_> {
    fn fetch(&self, ctx: &mut RunContext) -> Result<(), Failure> {
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
            self.report.borrow_mut().of_commit(&checked_out.commit);
        }
        let _ = self.checked_out.set(checked_out);
        Ok(())
    }

    /// What is said last of a run that succeeds.
    fn done(&self, ctx: &mut RunContext) -> Result<(), Failure> {
        let sentence = self.report.borrow().sentence();
        ctx.say(Phase::Done, &sentence);
        Ok(())
    }

    /// Takes everything away that may hold a secret, whatever came of the run, and leaves its documents.
    fn leave(&self, ctx: &mut RunContext) -> Result<(), Failure> {
        self.report.borrow().leave(ctx, &self.config.places);
        self.hands.clear()
    }

    /// A command of terraform in the module's folder.
    fn tool(&self, arguments: Vec<String>, ending: Ending) -> Tool {
        let folder = self
            .checked_out
            .get()
            .map(|checked_out| checked_out.folder.as_path());
        let seen = Work::checkout(self.hands.work.seen());
        self.hands.tool(Errand {
            program: self.terraform.terraform.clone(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: environment::of(&self.hands),
            directory: folder.map_or(seen.clone(), |folder| seen.join(folder)),
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
