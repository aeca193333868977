//! Going back: after a step has failed, and for a run that died. What it was that went wrong is told either way.
//!
//! It has deadlines of its own, and neither those of the run nor a cancellation cut it short. While Docker does not answer
//! a run keeps its turn, and a dead run its journal.

use std::time::Instant;

use serde_json::Value;

use crate::deploy::{self, UndoReason};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{BACK_AGAIN, STILL_WAITING_EVERY};
use crate::run::{HumanDuration, Result, RunContext};

/// Goes back over `entries` after a step has failed. While that cannot be done, because Docker does not answer, the run
/// keeps its turn, says so each minute, and tries again, until the operator uses force. `why` it failed, with what became
/// of what it had changed.
///
/// # Errors
/// Those of the machine.
pub fn patiently(ctx: &mut RunContext, entries: &[Value], why: &str) -> Result<String> {
    let begun = Instant::now();
    let mut say_at = begun;
    loop {
        let failure = match once(ctx, entries, UndoReason::Failed, why) {
            Err(failure) => failure,
            done => return done,
        };
        if Instant::now() >= say_at {
            let so_far = HumanDuration::since(begun);
            let sentence = format!("cannot go back yet ({so_far}): {failure}; trying on");
            ctx.say(Phase::Rollback, &sentence);
            say_at = Instant::now() + STILL_WAITING_EVERY;
        }
        if ctx.pause_unless_forced(BACK_AGAIN)? {
            deploy::mark_half_deployed(ctx.config, entries)?;
            let unknown =
                format!("ended by force, so that it is not known how what was changed is ({failure})");
            return Ok(failed(ctx, &unknown, why));
        }
    }
}

/// Goes back over `entries`, if that is wanted and can be done now. What is as it was is in the outcome; `why` the run
/// failed, with what became of what it had changed.
///
/// # Errors
/// When it cannot be done now.
pub fn once(ctx: &mut RunContext, entries: &[Value], reason: UndoReason, why: &str) -> Result<String> {
    if entries.is_empty() {
        return Ok(why.to_owned());
    }
    if !ctx.config.deploy().rollback {
        return Ok(format!("{why}; nothing was put back (DEPLOYER_ROLLBACK=off)"));
    }
    ctx.goes_back();
    failpoint!("going-back");
    let undone = deploy::undo(ctx, entries, reason)?;
    for fault in &undone.faults {
        ctx.say(Phase::Rollback, &format!("FAILED: {fault}"));
    }
    failpoint!("gone-back");
    ctx.outcome_member("rolled_back", Value::Array(undone.rolled_back));
    Ok(match undone.faults.is_empty() {
        true => format!("{why}; what was changed is back as it was"),
        false => failed(ctx, &undone.faults.join("; "), why),
    })
}

/// The worst first.
fn failed(ctx: &mut RunContext, what: &str, why: &str) -> String {
    ctx.outcome_member("rollback_failed", true.into());
    format!("ROLLBACK FAILED: {what}; it was to go back because of this: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::testing::Scratch;

    #[test]
    fn a_failed_way_back_is_said_first() {
        let scratch = Scratch::new("rollback-failed");
        let mut ctx = RunContext::scratch(&scratch.0);
        let nothing = once(&mut ctx, &[], UndoReason::Failed, "why").unwrap();
        assert_eq!((nothing.as_str(), ctx.members.len()), ("why", 0));
        let said = failed(&mut ctx, "b: gone", "a: not healthy");
        assert!(said.starts_with("ROLLBACK FAILED: b: gone; ") && said.ends_with("a: not healthy"));
        assert_eq!(ctx.members["rollback_failed"], true);
    }
}
