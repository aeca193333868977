//! Going back: after a step has failed, and for a run that died. What it was that went wrong is told either way.
//!
//! It has deadlines of its own, and neither those of the run nor a cancellation cut it short. A run that cannot go back
//! now, because Docker does not answer, is not recorded: its journal stays, and whoever completes it goes back.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::config::{Config, Rollback};
use crate::deploy;
use crate::deploy::{UndoReason, Undone};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{BACK_AGAIN, BACK_PATIENCE};
use crate::run::RunContext;
use crate::run::step::Failure;

/// What became of what was changed.
#[derive(Debug)]
pub enum Back {
    /// Nothing was: nothing stood in the journal.
    Nothing,
    /// The operator wants it to stay (`DEPLOYER_ROLLBACK=off`).
    Stays,
    /// It was put back, as far as that went.
    Undone(Undone),
}

/// Goes back over `entries` after a step has failed. While that cannot be done, it is tried again for a while.
///
/// # Errors
/// When it could not be done in all that time: then the run must not be recorded.
pub fn patiently(ctx: &mut RunContext, entries: &[Value], config: &Config) -> Result<Back, Failure> {
    let until = Instant::now() + BACK_PATIENCE;
    let mut said = false;
    loop {
        match once(ctx, entries, UndoReason::Failed, config) {
            Err(failure) if Instant::now() < until => {
                if !std::mem::replace(&mut said, true) {
                    ctx.say(
                        Phase::Rollback,
                        &format!("cannot go back yet: {failure}; trying on"),
                    );
                }
                ctx.in_any_case(BACK_PATIENCE + Duration::from_secs(60), |ctx| {
                    ctx.pause(BACK_AGAIN)
                })?;
            }
            done => return done,
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
    aftermath: UndoReason,
    config: &Config,
) -> Result<Back, Failure> {
    if entries.is_empty() {
        return Ok(Back::Nothing);
    }
    if config.deploy().rollback == Rollback::Off {
        return Ok(Back::Stays);
    }
    ctx.goes_back();
    failpoint!("going-back");
    let undone = deploy::undo(entries, aftermath, config, ctx)?;
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
    }
}
