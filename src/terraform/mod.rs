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
mod json_file;
mod module_folder;
mod plan_file;
mod report;
mod summary;
mod terraform_error;
mod work;

pub use dead_run::conclude_dead;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::config::{Config, HealthUrl, Job, Module, Side, TerraformConfig};
use crate::event::Phase;
use crate::fetch::{self, FetchRequest};
use crate::gate::TerraformTask;
use crate::jail;
use crate::limits::{CHECKOUT_DEADLINE, HEALTH_MARGIN, MAX_FETCH, PROBE_DEADLINE, TF_INIT_WAITS};
use crate::os::child::Exit;
use crate::os::files::optional;
use crate::queue::RunRequest;
use crate::run::{Effect, EndPolicy, Ended, Failure, HumanDuration, RunContext, Tool};
use crate::secret::Secret;
use checkout::Trust;
use command::Commands;
use report::Report;
use summary::Summary;
use terraform_error::TerraformError;
use work::{Kind, Work};

/// What to do after an apply that did not come to its end.
const ADVICE: &str = "what terraform has changed stays; plan again to see what is left to do";

/// The same after the operator's force.
const ADVICE_AFTER_FORCE: &str = "it was ended by force: what it was creating may be there and missing from its state; \
                                  look for it, then plan again";

/// Carries out `task`, which is what `request` is about.
///
/// # Errors
/// What kept it from coming to its good end. What terraform has changed stays.
pub fn run(
    ctx: &mut RunContext,
    request: &RunRequest,
    task: &TerraformTask,
    config: &Config,
) -> Result<(), Failure> {
    let terraform = Terraform::new(task, config).map_err(Failure::Failed)?;
    let mut report = Report::new(request, task, terraform.module);
    let result = terraform.take_steps(ctx, &mut report);
    ctx.finally(|ctx| {
        // Everything goes that may hold a secret, whatever came of the run.
        report.leave(ctx, &config.places);
        terraform.commands.work.remove().map_err(Failure::Failed)
    });
    result
}

/// A plan that can be applied.
struct Planned {
    summary: Summary,
    /// Whether there is anything to do; a change of an output alone counts.
    has_changes: bool,
}

/// One run of terraform: what was asked for.
struct Terraform<'a> {
    config: &'a Config,
    terraform: &'a TerraformConfig,
    task: &'a TerraformTask,
    module: &'a Module,
    commands: Commands<'a>,
}

impl<'a> Terraform<'a> {
    /// # Errors
    /// When the settings have changed since it was admitted.
    fn new(task: &'a TerraformTask, config: &'a Config) -> Result<Self, String> {
        let terraform = config.terraform.as_ref();
        let terraform = terraform.ok_or("terraform is not configured on this host any more")?;
        let name = task.module.as_deref();
        let module = terraform.module(name).ok_or_else(|| {
            let name = name.unwrap_or("default");
            format!("there is no module {name} on this host any more")
        })?;
        let kind = Kind::of(task.what);
        let side = match kind {
            Kind::Plan => terraform.plan.as_ref(),
            Kind::Apply => Some(&terraform.apply),
        };
        let side = side.ok_or_else(|| terraform.no_plan.clone().unwrap_or_default())?;
        let work = Work::of(terraform, kind);
        let commands = Commands {
            config,
            terraform,
            side,
            kind,
            work,
        };
        Ok(Self {
            config,
            terraform,
            task,
            module,
            commands,
        })
    }

    fn take_steps(&self, ctx: &mut RunContext, report: &mut Report) -> Result<(), Failure> {
        let longest = self.terraform.run_max;
        let folder = ctx.step(Phase::GitFetch, CHECKOUT_DEADLINE, Effect::Looks, |ctx| {
            self.fetch(ctx, report)
        })?;
        ctx.step(Phase::TfInit, longest, Effect::Looks, |ctx| {
            self.init(ctx, &folder)
        })?;
        let planned = ctx.step(Phase::TfPlan, longest, Effect::Looks, |ctx| {
            let planned = self.plan(ctx, &folder);
            report.planned(&planned);
            let planned = planned?;
            self.tell_plan(ctx, &planned.summary, planned.has_changes);
            Ok(planned)
        })?;
        if self.task.what == Job::TfApply {
            ctx.step(Phase::TfPlan, longest, Effect::Looks, |ctx| {
                self.may_be_applied(ctx, &planned.summary)
            })?;
            if !planned.has_changes {
                report.nothing_to_apply();
                ctx.say(Phase::Done, &report.sentence());
                return Ok(());
            }
            ctx.step(Phase::TfApply, longest, Effect::Changes, |ctx| {
                let applied = self.apply(ctx, &folder);
                report.applied(&applied);
                applied.inspect_err(|_| self.tell_failed_apply(ctx))
            })?;
            let mut urls = self.terraform.health_urls.iter();
            if let Some(health) = urls.find(|health| health.module == self.module.name) {
                let deadline = self.config.deploy().health.max_wait + HEALTH_MARGIN;
                ctx.step(Phase::Health, deadline, Effect::Looks, |ctx| {
                    let result = self.wait_for_health(ctx, health);
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

    /// Fetches the commit; the module's folder in it.
    fn fetch(&self, ctx: &mut RunContext, report: &mut Report) -> Result<PathBuf, Failure> {
        Self::secrets(self.commands.side).for_each(|secret| ctx.hide(secret));
        self.commands.prepare()?;
        let trust = match self.commands.kind {
            Kind::Plan => Trust::Any,
            Kind::Apply => Trust::Merged,
        };
        let commit = self.task.sha.as_ref();
        let checked_out = checkout::checkout(ctx, &self.commands, commit, trust, self.module)?;
        if commit.is_none() {
            ctx.outcome_member("sha", checked_out.commit.to_string().into());
            report.of_commit(&checked_out.commit);
        }
        Ok(checked_out.folder)
    }

    /// `terraform init`: the one command that is tried again, and only where the network failed. A plan after an init that
    /// failed would run whatever a commit has brought along.
    fn init(&self, ctx: &mut RunContext, folder: &Path) -> Result<(), Failure> {
        self.commands.write_cli_config()?;
        let mut arguments = vec!["init", "-input=false", "-no-color"];
        if self.terraform.lockfile_readonly {
            arguments.push("-lockfile=readonly");
        }
        let mut waits = TF_INIT_WAITS.iter();
        let tries = TF_INIT_WAITS.len() + 1;
        for attempt in 2.. {
            let ended = self.run(ctx, &arguments, folder, EndPolicy::Terminate)?;
            if ended.exit == Exit::Code(0) {
                break;
            }
            let error = TerraformError::read(&ended.tail);
            let (true, Some(wait)) = (error.is_transient, waits.next()) else {
                return Err(failure(ctx, "init", &ended));
            };
            let message = format!(
                "::warning::terraform init failed because of the network ({}); trying again in {} ({attempt} of {tries})",
                error.sentence,
                HumanDuration(*wait)
            );
            ctx.say(Phase::TfInitRetry, &message);
            ctx.pause(*wait)?;
        }
        Ok(())
    }

    /// `terraform plan`, and what it comes to. A plan has succeeded when terraform says so twice: by its exit status, and by
    /// the saved plan's own word that it is whole.
    fn plan(&self, ctx: &mut RunContext, folder: &Path) -> Result<Planned, Failure> {
        let (lock_timeout, plan_file) = (self.lock_timeout(), self.plan_file());
        let out = format!("-out={plan_file}");
        let mut arguments = vec![
            "plan",
            "-input=false",
            "-no-color",
            "-detailed-exitcode",
            &lock_timeout,
            &out,
        ];
        if self.task.what == Job::TfDrift {
            arguments.push("-refresh-only");
        }
        let ended = self.run(ctx, &arguments, folder, EndPolicy::InterruptThenTerminate)?;
        if !matches!(ended.exit, Exit::Code(0 | 2)) {
            return Err(failure(ctx, "plan", &ended));
        }
        let summary = self.read_plan(ctx, folder, &plan_file)?;
        if !summary.complete {
            return Err(Failure::failed("terraform plan: the saved plan is not whole"));
        }
        // The exit status is 2 as well where the state would only be written in another form.
        let only_form = self.task.what == Job::TfDrift && summary.drifted + summary.outputs == 0;
        let has_changes = ended.exit == Exit::Code(2) && !only_form;
        Ok(Planned { summary, has_changes })
    }

    /// Reads what the saved plan would do.
    fn read_plan(&self, ctx: &mut RunContext, folder: &Path, plan_file: &str) -> Result<Summary, Failure> {
        let (real, shown) = (self.commands.work.real(), self.commands.work.real_shown());
        let unread =
            |error: io::Error| Failure::Failed(format!("read what terraform shows of the plan: {error}"));
        optional(fs::remove_file(&shown)).map_err(unread)?;
        let tool = self.tool(&["show", "-json", "-no-color", plan_file], folder);
        let ended = ctx.write_out(&tool, &shown, &mut |line| Some(line.to_owned()));
        let read = || {
            let (document, plan) = (File::open(&shown)?, File::open(Work::plan_file(real))?);
            summary::read(&document, &plan, &Work::checkout(real).join(folder))
        };
        let summary = ended.and_then(|ended| match ended.exit {
            Exit::Code(0) => read().map_err(unread),
            _ => Err(failure(ctx, "show", &ended)),
        });
        optional(fs::remove_file(&shown)).map_err(unread)?;
        summary
    }

    /// Says what a plan comes to.
    fn tell_plan(&self, ctx: &mut RunContext, summary: &Summary, has_changes: bool) {
        ctx.outcome_member("changes", summary.counts.value());
        ctx.outcome_member("changed", has_changes.into());
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
            && let Err(error) = difference::leave(&self.config.places, ctx.run_id(), summary)
        {
            log::warn!("run {}: keep what its plan is made of: {error}", ctx.run_id());
        }
    }

    /// Whether the plan that was just made is one that may be applied.
    fn may_be_applied(&self, ctx: &mut RunContext, summary: &Summary) -> Result<(), Failure> {
        match &self.task.plan_digest {
            Some(reviewed) if reviewed.to_string() != summary.digest => {
                self.tell_differences(ctx, &reviewed.to_string(), summary);
                return Err(Failure::Failed(format!(
                    "the plan changed since it was reviewed: that was {reviewed}, this is {}; nothing was changed, plan \
                     and review again",
                    summary.digest
                )));
            }
            None if self.terraform.require_digest => {
                return Err(Failure::failed(
                    "plan_digest is required (DEPLOYER_TF_APPLY_REQUIRE_DIGEST=on)",
                ));
            }
            _ => {}
        }
        let destroyed = summary.counts.destroy;
        match self.terraform.destroy_limit {
            Some(limit) if destroyed > limit && !self.task.allow_destroy => Err(Failure::Failed(format!(
                "the plan destroys {destroyed}, and DEPLOYER_TF_DESTROY_LIMIT is {limit}; nothing was changed, \
                 \"allow_destroy\":true applies it all the same"
            ))),
            _ => Ok(()),
        }
    }

    fn tell_differences(&self, ctx: &mut RunContext, reviewed: &str, summary: &Summary) {
        match difference::named(&self.config.places, reviewed, summary) {
            Ok(Some(lines)) => lines.iter().for_each(|line| ctx.say(Phase::TfPlan, line)),
            Ok(None) => ctx.say(
                Phase::TfPlan,
                "what differs is not known: the reviewed plan is none of this host's last runs",
            ),
            Err(error) => log::warn!("run {}: compare with the reviewed plan: {error}", ctx.run_id()),
        }
    }

    /// `terraform apply` of the plan that was just made: never cut in its middle, never tried again.
    fn apply(&self, ctx: &mut RunContext, folder: &Path) -> Result<(), Failure> {
        let (lock_timeout, plan_file) = (self.lock_timeout(), self.plan_file());
        let arguments = ["apply", "-input=false", "-no-color", &lock_timeout, &plan_file];
        let ended = self.run(ctx, &arguments, folder, EndPolicy::Interrupt)?;
        match ended.exit {
            Exit::Code(0) => Ok(()),
            exit if signal_of(exit).is_some() => Err(Failure::Failed(format!(
                "terraform apply was {exit}: what it was doing may be missing from its state, and the state may be locked \
                 still (terraform says so, and how to free it); {ADVICE}"
            ))),
            _ => match failure(ctx, "apply", &ended) {
                Failure::Failed(why) => Err(Failure::Failed(format!("{why}; {ADVICE}"))),
                other => Err(other),
            },
        }
    }

    /// Says what a person needs after an apply that failed.
    fn tell_failed_apply(&self, ctx: &mut RunContext) {
        let advice = if ctx.was_forced() {
            ADVICE_AFTER_FORCE
        } else {
            ADVICE
        };
        ctx.outcome_member("advice", advice.into());
        if let Some(kept) = dead_run::keep_errored_state(&self.commands.work, self.terraform, ctx.run_id()) {
            ctx.say(Phase::TfApply, &dead_run::push_it(&kept));
            ctx.outcome_member("errored_state", kept.into());
        }
    }

    /// After an apply the module's URL must answer 200.
    fn wait_for_health(&self, ctx: &mut RunContext, health: &HealthUrl) -> Result<(), Failure> {
        let (settings, url) = (&self.config.deploy().health, &health.url);
        let mut last = String::new();
        let until = Instant::now() + settings.max_wait;
        let healthy = ctx.poll(settings.poll_interval, until, |ctx| {
            let answer = self.probe(url)?;
            if answer == "200" {
                return Ok(Some(()));
            }
            if answer != last {
                let message = format!("waiting for {url}: last answer: {answer}");
                ctx.say(Phase::Health, &message);
            }
            last = answer;
            Ok(None)
        })?;
        match healthy {
            Some(()) => ctx.say(Phase::Health, &format!("{url} answers 200")),
            None => {
                return Err(Failure::Failed(format!(
                    "applied, but {url} is not healthy after {}: last answer: {last}",
                    HumanDuration(settings.max_wait)
                )));
            }
        }
        Ok(())
    }

    /// The status, or why there is none.
    fn probe(&self, url: &str) -> Result<String, Failure> {
        let request = FetchRequest::new(self.config, url, PROBE_DEADLINE, MAX_FETCH)
            .map_err(|error| Failure::Failed(format!("prepare the probe of {url}: {error}")))?;
        Ok(fetch::send(&request).map_or_else(|why| why, |answer| answer.status.to_string()))
    }

    /// Runs a command of terraform in the module's folder; its lines are said.
    fn run(
        &self,
        ctx: &mut RunContext,
        arguments: &[&str],
        folder: &Path,
        end_policy: EndPolicy,
    ) -> Result<Ended, Failure> {
        let mut tool = self.tool(arguments, folder);
        tool.end_policy = end_policy;
        ctx.tool(&tool, &mut |line| Some(line.to_owned()))
    }

    fn tool(&self, arguments: &[&str], folder: &Path) -> Tool {
        let checkout = Work::checkout(self.commands.work.seen());
        self.commands.terraform(arguments, checkout.join(folder))
    }

    fn lock_timeout(&self) -> String {
        format!("-lock-timeout={}s", self.terraform.lock_timeout.as_secs())
    }

    /// The saved plan, as terraform sees it.
    fn plan_file(&self) -> String {
        Work::plan_file(self.commands.work.seen()).display().to_string()
    }

    /// What terraform is given and must not be shown to print. A mask of a short word would cover half of what it says.
    fn secrets(side: &Side) -> impl Iterator<Item = &Secret> {
        let both = [&side.access_key_id, &side.secret_access_key];
        both.into_iter().filter(|secret| secret.expose().len() >= 6)
    }
}

/// Why a command of terraform failed; the outcome gets what a person needs to free the state.
fn failure(ctx: &mut RunContext, command: &str, ended: &Ended) -> Failure {
    let TerraformError { sentence, lock, .. } = TerraformError::read(&ended.tail);
    if let Some(lock) = lock {
        ctx.outcome_member("lock", lock);
    }
    Failure::Failed(match (ended.exit, signal_of(ended.exit)) {
        (_, Some(number)) => format!(
            "terraform {command} was killed by signal {number}; if its state is locked still, the next run says by whom, \
             and how to free it"
        ),
        (Exit::Code(1), None) => format!("terraform {command} failed: {sentence}"),
        (Exit::Code(code), None) if code == i32::from(jail::FAILED) => sentence,
        (exit, None) => format!("terraform {command} ended with {exit}: {sentence}"),
    })
}

/// The signal that ended a tool: in a sandbox its status is a shell's, 128 and the signal.
fn signal_of(exit: Exit) -> Option<i32> {
    match exit {
        Exit::Signal(number) => Some(number),
        Exit::Code(code) => (code > 128).then_some(code - 128),
    }
}
