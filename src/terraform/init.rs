//! `terraform init`: the one command that is tried again, and only where the network failed.

use crate::event::Phase;
use crate::limits::TF_INIT_WAITS;
use crate::os::child::Exit;
use crate::run::HumanDuration;
use crate::run::{EndPolicy, Failure, RunContext};

use super::checkout::CheckedOut;
use super::fault::Fault;
use super::{Terraform, environment};

impl Terraform<'_> {
    /// Prepares the checkout. A plan after an init that failed would run whatever a commit has brought along.
    pub(super) fn init(&self, ctx: &mut RunContext, checked_out: &CheckedOut) -> Result<(), Failure> {
        environment::write(&self.hands)
            .map_err(|error| Failure::Failed(format!("write terraform's settings: {error}")))?;
        let mut waits = TF_INIT_WAITS.iter();
        let tries = TF_INIT_WAITS.len() + 1;
        for attempt in 2.. {
            let ended = ctx.tool(&self.init_tool(checked_out), &mut |line| Some(line.to_owned()))?;
            if ended.exit == Exit::Code(0) {
                return Ok(());
            }
            let fault = Fault::of(&ended.tail);
            let failed = self.failure(ctx, "init", ended.exit, &fault);
            let (true, Some(wait)) = (fault.is_transient(), waits.next()) else {
                return Err(failed);
            };
            let message = format!(
                "::warning::terraform init failed because of the network ({fault}); trying again in {} ({attempt} of {tries})",
                HumanDuration(*wait)
            );
            ctx.say(Phase::TfInitRetry, &message);
            ctx.pause(*wait)?;
        }
        Ok(())
    }

    fn init_tool(&self, checked_out: &CheckedOut) -> crate::run::Tool {
        let mut arguments = vec!["init", "-input=false", "-no-color"];
        if self.terraform.lockfile_readonly {
            arguments.push("-lockfile=readonly");
        }
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        self.tool(checked_out, arguments, EndPolicy::Terminate)
    }
}
