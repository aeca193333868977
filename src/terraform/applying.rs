//! `terraform apply` of the plan that was just made: never cut in its middle, never tried again.

use crate::event::Phase;
use crate::os::child::Exit;
use crate::run::{EndPolicy, Failure, RunContext};

use super::checkout::CheckedOut;
use super::fault::Fault;
use super::report::Report;
use super::work::Work;
use super::{Terraform, bury, planning};

/// What to do after an apply that did not come to its end.
pub(super) const LOOK: &str = "what terraform has changed stays; plan again to see what is left to do";

/// The same after the operator's force.
const FORCED: &str = "it was ended by force: what it was creating may be there and missing from its state; look for it, \
                      then plan again";

impl Terraform<'_> {
    pub(super) fn apply(
        &self,
        ctx: &mut RunContext,
        checked_out: &CheckedOut,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let applied = self.apply_plan(ctx, checked_out);
        report.applied(&applied);
        if applied.is_err() {
            let advice = if ctx.was_forced() { FORCED } else { LOOK };
            self.outcome(ctx, "advice", advice);
            if let Some(kept) = bury::rescue(&self.hands.work, self.terraform, ctx.run_id()) {
                self.outcome(ctx, "errored_state", kept.as_str());
                ctx.say(
                    Phase::TfApply,
                    &format!("the state that could not be saved is in {kept}: `terraform state push` it"),
                );
            }
        }
        applied
    }

    fn apply_plan(&self, ctx: &mut RunContext, checked_out: &CheckedOut) -> Result<(), Failure> {
        let arguments = vec![
            "apply".to_owned(),
            "-input=false".to_owned(),
            "-no-color".to_owned(),
            self.lock_timeout(),
            Work::plan_file(self.hands.work.seen()).display().to_string(),
        ];
        let tool = self.tool(checked_out, arguments, EndPolicy::Interrupt);
        let ended = ctx.tool(&tool, &mut |line| Some(line.to_owned()))?;
        match ended.exit {
            Exit::Code(0) => Ok(()),
            exit if planning::by_signal(exit).is_some() => Err(Failure::Failed(format!(
                "terraform apply was {exit}: what it was doing may be missing from its state, and the state may be locked \
                 still (terraform says so, and how to free it); {LOOK}"
            ))),
            exit => match self.failure(ctx, "apply", exit, &Fault::of(&ended.tail)) {
                Failure::Failed(why) => Err(Failure::Failed(format!("{why}; {LOOK}"))),
                other => Err(other),
            },
        }
    }
}
