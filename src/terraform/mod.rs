//! The steps of `/tf-plan`, `/tf-apply` and a look for drift: fetch one commit, run terraform on it, say what came of it.
//!
//! [`run`] is the story. A plan runs code that nobody has approved: it runs as another user in a sandbox, with credentials
//! of its own. An apply plans first, and applies that very plan and no other. Terraform prints into a file that is
//! followed, so nothing that becomes of us breaks it in its middle; its exit status is not believed where it means several
//! things. This folder never undoes what terraform has done.

mod checkout;
mod command;
mod dead_run;
mod difference;
mod digest;
mod git;
pub mod github_app;
mod module_folder;
mod plan_file;
mod plan_json;
mod report;
pub mod summary;
mod terraform_error;
mod work;

pub use dead_run::conclude_dead;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::config::{Config, HealthUrl, Job, Module, Side};
use crate::event::Phase;
use crate::fetch::{self, FetchRequest};
use crate::gate::TerraformTask;
use crate::jail;
use crate::limits::{CHECKOUT_DEADLINE, HEALTH_MARGIN, MAX_FETCH, PROBE_DEADLINE, TF_INIT_WAITS};
use crate::os::child::Exit;
use crate::os::files::optional;
use crate::queue::RunRequest;
use crate::run::{EndPolicy, Ended, HumanDuration, Result, RunContext};
use crate::secret::Secret;
use command::Commands;
use report::Report;
use summary::Summary;
use terraform_error::TerraformError;
use work::{CHECKOUT, PLAN_FILE, SHOWN, Work};

/// What to do after an apply that did not come to its end.
const ADVICE: &str = "what terraform has changed stays; plan again to see what is left to do";

/// The same after the operator's force.
const ADVICE_AFTER_FORCE: &str =
    "what it was creating may be missing from its state; look for it and plan again";

/// Carries out `task`, which is what `request` is about.
///
/// # Errors
/// What kept it from coming to its good end. What terraform has changed stays.
pub fn run(ctx: &mut RunContext, request: &RunRequest, task: &TerraformTask, config: &Config) -> Result {
    let terraform = Terraform::new(task, config)?;
    let mut report = Report::new(request, task, terraform.module);
    let result = terraform.take_steps(ctx, &mut report);
    ctx.finally(|ctx| {
        // Everything goes that may hold a secret, whatever came of the run.
        report.leave(ctx, &config.places);
        Ok(terraform.commands.work.remove()?)
    });
    result
}

/// One run of terraform: what was asked for.
struct Terraform<'a> {
    task: &'a TerraformTask,
    module: &'a Module,
    commands: Commands<'a>,
}

impl<'a> Terraform<'a> {
    /// # Errors
    /// When the settings have changed since it was admitted.
    fn new(task: &'a TerraformTask, config: &'a Config) -> Result<Self, String> {
        let terraform = config
            .terraform
            .as_ref()
            .ok_or("terraform is not configured any more")?;
        let module = terraform
            .module(task.module.as_deref())
            .ok_or("there is no such module")?;
        let job = task.what;
        let side = match job {
            Job::TfPlan => terraform.plan.as_ref()?,
            _ => &terraform.apply,
        };
        let commands = Commands {
            config,
            terraform,
            side,
            job,
            work: Work::of(terraform, job),
        };
        Ok(Self {
            task,
            module,
            commands,
        })
    }

    fn take_steps(&self, ctx: &mut RunContext, report: &mut Report) -> Result {
        let terraform = self.commands.terraform;
        let longest = terraform.run_max;
        ctx.begin(Phase::GitFetch, CHECKOUT_DEADLINE)?;
        let folder = self.fetch(ctx, report)?;
        ctx.begin(Phase::TfInit, longest)?;
        self.init(ctx, &folder)?;
        ctx.begin(Phase::TfPlan, longest)?;
        let summary = report.add("plan", self.plan(ctx, &folder), report::planned)?;
        self.tell_plan(ctx, &summary);
        if self.task.what == Job::TfApply {
            self.may_be_applied(ctx, &summary)?;
        }
        let mut sentence = report::sentence(self.task.what, &summary);
        if self.task.what == Job::TfApply && !summary.has_changes {
            report.add("apply", Ok(()), |()| json!({"status": "noop", "exit_code": 0}))?;
        } else if self.task.what == Job::TfApply {
            ctx.begin_change(Phase::TfApply, longest)?;
            let applied = self.apply(ctx, &folder);
            let applied = report.add(
                "apply",
                applied,
                |()| json!({"status": "applied", "exit_code": 0}),
            );
            applied.inspect_err(|_| self.tell_failed_apply(ctx))?;
            sentence.insert_str(0, "applied: ");
            let mut urls = terraform.health_urls.iter();
            if let Some(health) = urls.find(|health| health.module == self.module.name) {
                let deadline = self.commands.config.deploy().health_max_wait + HEALTH_MARGIN;
                ctx.begin(Phase::Health, deadline)?;
                let healthy = self.wait_for_health(ctx, health);
                report.add("health", healthy, |()| json!({"status": "healthy"}))?;
            }
        }
        ctx.say(Phase::Done, &format!("{}: {sentence}", self.module.name));
        Ok(())
    }

    /// Fetches the commit; the module's folder in it.
    fn fetch(&self, ctx: &mut RunContext, report: &mut Report) -> Result<PathBuf> {
        secrets(self.commands.side).for_each(|secret| ctx.hide(secret));
        self.commands.prepare()?;
        let commit = self.task.sha.as_ref();
        let checked_out = checkout::checkout(ctx, &self.commands, commit, self.module)?;
        if commit.is_none() {
            ctx.outcome_member("sha", json!(checked_out.commit));
            report.of_commit(&checked_out.commit);
        }
        Ok(checked_out.folder)
    }

    /// `terraform init`: the one command that is tried again, and only where the network failed. A plan after an init that
    /// failed would run whatever a commit has brought along.
    fn init(&self, ctx: &mut RunContext, folder: &Path) -> Result {
        self.commands.write_cli_config()?;
        let readonly = self.commands.terraform.lockfile_readonly;
        let mut arguments = vec!["init", "-input=false", "-no-color"];
        arguments.extend(readonly.then_some("-lockfile=readonly"));
        let tool = self.commands.terraform(&arguments, folder, EndPolicy::Terminate);
        let mut waits = TF_INIT_WAITS.into_iter();
        loop {
            let ended = ctx.tool(&tool, &mut said)?;
            if ended.exit.is_success() {
                return Ok(());
            }
            let error = TerraformError::read(&ended.tail);
            let (true, Some(wait)) = (error.is_transient, waits.next()) else {
                return Err(failure(ctx, "init", &ended).into());
            };
            let message = format!(
                "::warning::terraform init failed: {}; trying again in {}",
                error.sentence,
                HumanDuration(wait)
            );
            ctx.say(Phase::TfInitRetry, &message);
            ctx.pause(wait)?;
        }
    }

    /// `terraform plan`, and what it comes to. A plan has succeeded when terraform says so twice: by its exit status, and by
    /// the saved plan's own word that it is whole.
    fn plan(&self, ctx: &mut RunContext, folder: &Path) -> Result<Summary> {
        let (lock_timeout, plan_file) = (self.lock_timeout(), self.commands.seen(PLAN_FILE));
        let out = format!("-out={plan_file}");
        let mut arguments = vec![
            "plan",
            "-input=false",
            "-no-color",
            "-detailed-exitcode",
            &lock_timeout,
            &out,
        ];
        let is_drift = self.task.what == Job::TfDrift;
        arguments.extend(is_drift.then_some("-refresh-only"));
        let tool = self
            .commands
            .terraform(&arguments, folder, EndPolicy::InterruptThenTerminate);
        let ended = ctx.tool(&tool, &mut said)?;
        if !matches!(ended.exit, Exit::Code(0 | 2)) {
            return Err(failure(ctx, "plan", &ended).into());
        }
        let mut summary = self.read_plan(ctx, folder, &plan_file)?;
        // The exit status is 2 as well where the state would only be written in another form.
        let only_form = is_drift && summary.drifted + summary.outputs == 0;
        summary.has_changes = ended.exit == Exit::Code(2) && !only_form;
        Ok(summary)
    }

    /// Reads what the saved plan would do.
    fn read_plan(&self, ctx: &mut RunContext, folder: &Path, plan_file: &str) -> Result<Summary> {
        let real = &self.commands.work.real;
        let shown = real.with_file_name(SHOWN);
        let unread = |error: io::Error| format!("read what terraform shows of the plan: {error}");
        let tool = self.commands.terraform(
            &["show", "-json", "-no-color", plan_file],
            folder,
            EndPolicy::Terminate,
        );
        let ended = ctx.write_out(&tool, &shown, &mut said)?;
        if !ended.exit.is_success() {
            return Err(failure(ctx, "show", &ended).into());
        }
        let summary = summary::read(&shown, &real.join(PLAN_FILE), &real.join(CHECKOUT).join(folder));
        optional(fs::remove_file(&shown)).map_err(unread)?;
        Ok(summary.map_err(unread)?)
    }

    /// Says what a plan comes to.
    fn tell_plan(&self, ctx: &mut RunContext, summary: &Summary) {
        ctx.outcome_member("changes", json!(summary.counts));
        ctx.outcome_member("changed", summary.has_changes.into());
        if self.task.what == Job::TfDrift {
            ctx.outcome_member("drifted", summary.drifted.into());
            return;
        }
        ctx.outcome_member("plan_digest", summary.digest.as_str().into());
        ctx.say(
            Phase::TfPlan,
            &format!("{}; plan_digest {}", summary.counts, summary.digest),
        );
        if self.task.what == Job::TfPlan
            && let Err(error) = difference::leave(&self.commands.config.places, ctx.run_id(), summary)
        {
            log::warn!("run {}: keep its plan's hashes: {error}", ctx.run_id());
        }
    }

    /// Whether the plan that was just made is one that may be applied.
    fn may_be_applied(&self, ctx: &mut RunContext, summary: &Summary) -> Result<(), String> {
        let (terraform, destroyed) = (self.commands.terraform, summary.counts.destroy as u64);
        match self.task.plan_digest.as_ref().map(ToString::to_string) {
            Some(reviewed) if reviewed != summary.digest => {
                difference::named(&self.commands.config.places, &reviewed, summary)
                    .unwrap_or_else(|error| vec![format!("what differs is not known: {error}")])
                    .iter()
                    .for_each(|line| ctx.say(Phase::TfPlan, line));
                return Err(format!(
                    "the plan changed since it was reviewed: that was {reviewed}, this is {}",
                    summary.digest
                ));
            }
            None if terraform.require_digest => {
                return Err("plan_digest is required (DEPLOYER_TF_APPLY_REQUIRE_DIGEST=on)".into());
            }
            _ => {}
        }
        match terraform.destroy_limit {
            Some(limit) if destroyed > limit && !self.task.allow_destroy => Err(format!(
                "the plan destroys {destroyed}, and DEPLOYER_TF_DESTROY_LIMIT is {limit}; \"allow_destroy\":true applies it"
            )),
            _ => Ok(()),
        }
    }

    /// `terraform apply` of the plan that was just made: never cut in its middle, never tried again.
    fn apply(&self, ctx: &mut RunContext, folder: &Path) -> Result {
        let (lock_timeout, plan_file) = (self.lock_timeout(), self.commands.seen(PLAN_FILE));
        let arguments = ["apply", "-input=false", "-no-color", &lock_timeout, &plan_file];
        let tool = self.commands.terraform(&arguments, folder, EndPolicy::Interrupt);
        let ended = ctx.tool(&tool, &mut said)?;
        match ended.exit.is_success() {
            true => Ok(()),
            false => Err(format!("{}; {ADVICE}", failure(ctx, "apply", &ended)).into()),
        }
    }

    /// Says what a person needs after an apply that failed.
    fn tell_failed_apply(&self, ctx: &mut RunContext) {
        let advice = match ctx.interrupts.was_forced {
            true => ADVICE_AFTER_FORCE,
            false => ADVICE,
        };
        ctx.outcome_member("advice", advice.into());
        let Commands { terraform, work, .. } = &self.commands;
        if let Some(kept) = dead_run::keep_errored_state(work, terraform, ctx.run_id()) {
            ctx.say(Phase::TfApply, &dead_run::push_it(&kept));
            ctx.outcome_member("errored_state", kept.into());
        }
    }

    /// After an apply the module's URL must answer 200.
    fn wait_for_health(&self, ctx: &mut RunContext, health: &HealthUrl) -> Result {
        let (config, url) = (self.commands.config, &health.url);
        let settings = config.deploy();
        let mut last = String::new();
        let until = Instant::now() + settings.health_max_wait;
        let healthy = ctx.poll(settings.poll_interval, until, |ctx| {
            let request = FetchRequest::new(config, url, PROBE_DEADLINE, MAX_FETCH)?;
            let answer = fetch::send(&request).map_or_else(|why| why, |answer| answer.status.to_string());
            if answer == "200" {
                ctx.say(Phase::Health, &format!("{url} answers 200"));
                return Ok(Some(()));
            }
            if answer != last {
                ctx.say(
                    Phase::Health,
                    &format!("waiting for {url}: last answer: {answer}"),
                );
            }
            last = answer;
            Ok(None)
        })?;
        let waited = HumanDuration(settings.health_max_wait);
        let sick = || format!("applied, but {url} is not healthy after {waited}: last answer: {last}");
        Ok(healthy.ok_or_else(sick)?)
    }

    fn lock_timeout(&self) -> String {
        format!(
            "-lock-timeout={}s",
            self.commands.terraform.lock_timeout.as_secs()
        )
    }
}

/// Terraform's lines, as they are.
fn said(line: &str) -> Option<String> {
    Some(line.to_owned())
}

/// What terraform is given and must not be shown to print. A mask of a short word would cover half of what it says.
fn secrets(side: &Side) -> impl Iterator<Item = &Secret> {
    let both = [&side.access_key_id, &side.secret_access_key];
    both.into_iter().filter(|secret| secret.expose().len() >= 6)
}

/// Why a command of terraform failed; the outcome gets what a person needs to free the state.
fn failure(ctx: &mut RunContext, command: &str, ended: &Ended) -> String {
    let TerraformError { sentence, lock, .. } = TerraformError::read(&ended.tail);
    if let Some(lock) = lock {
        ctx.outcome_member("lock", json!(lock));
    }
    match ended.exit {
        Exit::Code(1) => format!("terraform {command} failed: {sentence}"),
        Exit::Code(code) if code == i32::from(jail::FAILED) => sentence,
        // In a sandbox a tool that a signal ended has a shell's status: 128 and the signal.
        Exit::Signal(_) | Exit::Code(129..) => {
            format!(
                "terraform {command} was killed ({}); its state may be locked still",
                ended.exit
            )
        }
        exit => format!("terraform {command} ended with {exit}: {sentence}"),
    }
}
