//! Going back: after a step has failed, and for a run that died. What it was that went wrong is told either way.
//!
//! It has deadlines of its own, and neither those of the run nor a cancellation cut it short. While Docker does not answer
//! a run keeps its turn, and a dead run its journal.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::config::Config;
use crate::deploy::{self, UndoReason, Undone};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{BACK_AGAIN, STILL_WAITING_EVERY};
use crate::run::{Failure, HumanDuration, RunContext};

/// What became of what was changed.
#[derive(Debug)]
pub enum Back {
    /// The operator has ended the way back by force; why it could not be gone.
    Unknown(Failure),
    /// Nothing was: nothing stood in the journal.
    Nothing,
    /// The operator wants it to stay (`DEPLOYER_ROLLBACK=off`).
    Stays,
    /// It was put back, as far as that went.
    Undone(Undone),
}

/// Goes back over `entries` after a step has failed. While that cannot be done, because Docker does not answer, the run
/// keeps its turn, says so each minute, and tries again.
/// It is over by the operator's force as well.
///
/// # Errors
/// Those of the machine.
pub fn patiently(ctx: &mut RunContext, entries: &[Value], config: &Config) -> Result<Back, Failure> {
    let begun = Instant::now();
    let mut say_at = begun;
    loop {
        let failure = match once(ctx, entries, UndoReason::Failed, config) {
            Err(failure) => failure,
            done => return done,
        };
        if Instant::now() >= say_at {
            let so_far = HumanDuration(Duration::from_secs(begun.elapsed().as_secs()));
            let sentence = format!("cannot go back yet ({so_far}): {failure}; trying on");
            ctx.say(Phase::Rollback, &sentence);
            say_at = Instant::now() + STILL_WAITING_EVERY;
        }
        if ctx.pause_unless_forced(BACK_AGAIN)? {
            deploy::mark_half_deployed(config, entries)?;
            return Ok(Back::Unknown(failure));
        }
    }
}

/// Goes back over `entries`, if that is wanted and can be done now.
///
/// # Errors
/// When it cannot be done now.
pub fn once(
    ctx: &mut RunContext,
    entries: &[Value],
    reason: UndoReason,
    config: &Config,
) -> Result<Back, Failure> {
    if entries.is_empty() {
        return Ok(Back::Nothing);
    }
    if !config.deploy().rollback {
        return Ok(Back::Stays);
    }
    ctx.goes_back();
    failpoint!("going-back");
    let undone = deploy::undo(ctx, entries, reason)?;
    for fault in &undone.faults {
        ctx.say(Phase::Rollback, &format!("FAILED: {fault}"));
    }
    failpoint!("gone-back");
    Ok(Back::Undone(undone))
}

impl Back {
    /// `why` the run failed, with what became of what it had changed; the worst first. `more` gets what was put back.
    pub fn tell(self, why: &str, more: &mut Map<String, Value>) -> String {
        let undone = match self {
            Back::Nothing => return why.to_owned(),
            Back::Stays => return format!("{why}; nothing was put back (DEPLOYER_ROLLBACK=off)"),
            Back::Unknown(failure) => {
                more.insert("rollback_failed".to_owned(), Value::Bool(true));
                return format!(
                    "ROLLBACK FAILED: ended by force, so that it is not known how what was changed is ({failure}); it was to \
                     go back because of this: {why}"
                );
            }
            Back::Undone(undone) => undone,
        };
        more.insert("rolled_back".to_owned(), Value::Array(undone.rolled_back));
        if !undone.faults.is_empty() {
            more.insert("rollback_failed".to_owned(), Value::Bool(true));
        }
        match undone.faults.is_empty() {
            true => format!("{why}; what was changed is back as it was"),
            false => format!(
                "ROLLBACK FAILED: {}; it was to go back because of this: {why}",
                undone.faults.join("; ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_way_back_is_said_first() {
        let mut more = Map::new();
        let undone = |faults: &[&str]| {
            Back::Undone(Undone {
                rolled_back: vec![json!({"container": "a", "to": "1"})],
                faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
            })
        };
        let said = undone(&["b: gone"]).tell("a: not healthy", &mut more);
        assert!(said.starts_with("ROLLBACK FAILED: b: gone; ") && said.ends_with("a: not healthy"));
        assert_eq!(more.remove("rollback_failed"), Some(Value::Bool(true)));
        let said = undone(&[]).tell("a: not healthy", &mut more);
        assert!(said.starts_with("a: not healthy; "), "{said}");
        assert!(more["rolled_back"][0]["to"] == "1" && !more.contains_key("rollback_failed"));
        assert_eq!(Back::Nothing.tell("why", &mut Map::new()), "why");
        let unknown = Back::Unknown(Failure::failed("docker does not answer"));
        let said = unknown.tell("a: not healthy", &mut more);
        assert!(said.starts_with("ROLLBACK FAILED: ") && said.contains("(docker does not answer)"));
        assert_eq!(more["rollback_failed"], json!(true));
    }
}
