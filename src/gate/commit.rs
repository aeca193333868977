//! After the body: whether the commit that an apply names is the one that its token is for.
//!
//! A job may ask for any commit in its body, but its token says which one it runs on; with the two equal, whoever may
//! start the workflow cannot have it apply what the workflow did not see.

use crate::config::{BodyRule, Endpoint, RequireSha};
use crate::gate::{Refusal, Task};
use crate::jwt::Claimed;

/// Compares the two, byte for byte, where the endpoint asks for it. A token without the claim is refused.
pub fn check(task: &Task, claimed: &Claimed, endpoint: &Endpoint) -> Result<(), Refusal> {
    let (BodyRule::Terraform(rule), Task::Terraform(asked)) = (&endpoint.body, task) else {
        return Ok(());
    };
    if rule.sha == RequireSha::Off {
        return Ok(());
    }
    let asked = asked.sha.as_ref().map(ToString::to_string);
    let refuse = |detail| Refusal::Commit { detail };
    match (claimed.claims().text("sha").map_err(refuse)?, asked) {
        (Some(claim), Some(asked)) if claim == asked => Ok(()),
        (claim, asked) => Err(refuse(format!(
            "sha is {:?}, must be the token's: {:?}",
            asked.unwrap_or_default(),
            claim.unwrap_or("(none)")
        ))),
    }
}
