//! `terraform plan`, and what it came to.
//!
//! A plan has succeeded when terraform says so twice: by its exit status, and by the saved plan's own word that it is
//! whole. The digest is taken of what would be applied.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::config::Job;
use crate::event::Phase;
use crate::jail;
use crate::os::child::Exit;
use crate::os::files::optional;
use crate::run::{EndPolicy, Failure, RunContext};

use super::Terraform;
use super::checkout::CheckedOut;
use super::difference;
use super::fault::Fault;
use super::report::Report;
use super::summary::{self, Summary};
use super::work::Work;

/// A plan that can be applied.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    /// What it would do.
    pub summary: Summary,
    /// Whether there is anything to do; a change of an output alone counts.
    pub changes: Changes,
}

/// Whether a plan changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// Terraform's exit status 2.
    Some,
    /// Its exit status 0.
    None,
}

impl Terraform<'_> {
    pub(super) fn plan(
        &self,
        ctx: &mut RunContext,
        checked_out: &CheckedOut,
        report: &mut Report,
    ) -> Result<Planned, Failure> {
        let planned = self.make_plan(ctx, checked_out);
        report.planned(&planned);
        let planned = planned?;
        let (summary, changed) = (&planned.summary, planned.changes == Changes::Some);
        self.outcome(ctx, "changes", summary.counts.value());
        self.outcome(ctx, "changed", changed);
        if self.task.what == Job::TfDrift {
            self.outcome(ctx, "drifted", summary.drifted);
        } else {
            self.outcome(ctx, "plan_digest", summary.digest.as_str());
            ctx.say(
                Phase::TfPlan,
                &format!("{}; plan_digest {}", summary.counts, summary.digest),
            );
        }
        if self.task.what == Job::TfPlan
            && let Err(error) = difference::leave(&self.config.places, ctx.run_id(), summary)
        {
            log::warn!("run {}: keep what its plan is made of: {error}", ctx.run_id());
        }
        Ok(planned)
    }

    fn make_plan(&self, ctx: &mut RunContext, checked_out: &CheckedOut) -> Result<Planned, Failure> {
        let plan_file = Work::plan_file(self.hands.work.seen()).display().to_string();
        let mut arguments: Vec<String> = ["plan", "-input=false", "-no-color", "-detailed-exitcode"]
            .map(str::to_owned)
            .into();
        arguments.push(self.lock_timeout());
        arguments.push(format!("-out={plan_file}"));
        if self.task.what == Job::TfDrift {
            arguments.push("-refresh-only".into());
        }
        let tool = self.tool(checked_out, arguments, EndPolicy::InterruptThenTerminate);
        let ended = ctx.tool(&tool, &mut |line| Some(line.to_owned()))?;
        let changes = match ended.exit {
            Exit::Code(0) => Changes::None,
            Exit::Code(2) => Changes::Some,
            exit => return Err(self.failure(ctx, "plan", exit, &Fault::of(&ended.tail))),
        };
        let summary = self.summary(ctx, checked_out, &plan_file)?;
        if !summary.complete {
            return Err(Failure::failed("terraform plan: the saved plan is not whole"));
        }
        let changes = match self.task.what {
            // Its exit status is 2 as well where the state would only be written in another form.
            Job::TfDrift if summary.drifted + summary.outputs == 0 => Changes::None,
            _ => changes,
        };
        Ok(Planned { summary, changes })
    }

    /// Reads what the saved plan would do.
    fn summary(
        &self,
        ctx: &mut RunContext,
        checked_out: &CheckedOut,
        plan_file: &str,
    ) -> Result<Summary, Failure> {
        let path = self.hands.work.real_shown();
        let unread =
            |error: io::Error| Failure::Failed(format!("read what terraform shows of the plan: {error}"));
        optional(fs::remove_file(&path)).map_err(unread)?;
        let arguments = ["show", "-json", "-no-color", plan_file]
            .map(str::to_owned)
            .into();
        let tool = self.tool(checked_out, arguments, EndPolicy::Terminate);
        let shown = ctx.write_out(&tool, &path, &mut |line| Some(line.to_owned()));
        let summary = shown.and_then(|ended| match ended.exit {
            Exit::Code(0) => self.read_plan(checked_out, &path).map_err(unread),
            exit => Err(self.failure(ctx, "show", exit, &Fault::of(&ended.tail))),
        });
        optional(fs::remove_file(&path)).map_err(unread)?;
        summary
    }

    fn read_plan(&self, checked_out: &CheckedOut, shown: &Path) -> io::Result<Summary> {
        let real = self.hands.work.real();
        let module = Work::checkout(real).join(&checked_out.folder);
        summary::read(&File::open(shown)?, &File::open(Work::plan_file(real))?, &module)
    }

    /// Whether the plan that was just made is one that may be applied.
    pub(super) fn may_be_applied(&self, ctx: &mut RunContext, planned: &Planned) -> Result<(), Failure> {
        let summary = &planned.summary;
        match &self.task.plan_digest {
            Some(reviewed) if reviewed.to_string() != summary.digest => {
                self.say_differences(ctx, &reviewed.to_string(), summary);
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
        if let (Some(limit), false) = (self.terraform.destroy_limit, self.task.allow_destroy)
            && destroyed > limit
        {
            return Err(Failure::Failed(format!(
                "the plan destroys {destroyed}, and DEPLOYER_TF_DESTROY_LIMIT is {limit}; nothing was changed, \
                 \"allow_destroy\":true applies it all the same"
            )));
        }
        Ok(())
    }

    fn say_differences(&self, ctx: &mut RunContext, reviewed: &str, summary: &Summary) {
        match difference::named(&self.config.places, reviewed, summary) {
            Ok(Some(lines)) => lines.iter().for_each(|line| ctx.say(Phase::TfPlan, line)),
            Ok(None) => ctx.say(
                Phase::TfPlan,
                "what differs is not known: the reviewed plan is none of this host's last runs",
            ),
            Err(error) => log::warn!("run {}: compare with the reviewed plan: {error}", ctx.run_id()),
        }
    }

    /// What a command of terraform failed of; the outcome gets what a person needs for mending it.
    pub(super) fn failure(&self, ctx: &mut RunContext, command: &str, exit: Exit, fault: &Fault) -> Failure {
        if let Fault::Locked(lock) = fault {
            self.outcome(ctx, "lock", lock.value());
        }
        Failure::Failed(match (exit, by_signal(exit)) {
            (_, Some(number)) => format!(
                "terraform {command} was killed by signal {number}; if its state is locked still, the next run says by whom, \
                 and how to free it"
            ),
            (Exit::Code(1), None) => format!("terraform {command} failed: {fault}"),
            (Exit::Code(code), None) if code == i32::from(jail::FAILED) => fault.to_string(),
            (exit, None) => format!("terraform {command} ended with {exit}: {fault}"),
        })
    }
}

/// The signal that ended a tool: within walls its status is a shell's, 128 and the signal.
pub(super) fn by_signal(exit: Exit) -> Option<i32> {
    match exit {
        Exit::Signal(number) => Some(number),
        Exit::Code(code) => (code > 128).then_some(code - 128),
    }
}
