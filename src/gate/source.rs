//! The first gate: who may knock at all.

use std::net::IpAddr;

use crate::config::Sources;
use crate::gate::Refusal;

/// Lets listed addresses through. A v4 peer of a dual-stack socket counts as the v4 address it is.
pub fn check(peer: IpAddr, allowed: &Sources) -> Result<(), Refusal> {
    if allowed.contains(peer) {
        Ok(())
    } else {
        Err(Refusal::Source { peer })
    }
}
