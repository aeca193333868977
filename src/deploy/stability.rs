//! The stability window: after all containers are healthy, each must have run for a while without a restart.
//!
//! A version that answers once and dies a few seconds later would pass every probe. The time counts from when each became
//! healthy, so that with several containers most of it has passed already.

use std::time::Instant;

use super::docker::{self, Container};
use crate::limits::{DOCKER_QUICK, HEALTH_MARGIN, LOOK_INTERVAL};
use crate::run::{HumanDuration, Result, RunContext, fail};

/// Waits until every container has been up for long enough. `healthy` has how each was when it had just become so.
pub(super) fn wait_until_stable(ctx: &mut RunContext, healthy: &[(Container, Instant)]) -> Result {
    let steady = ctx.config.deploy().steady;
    let names: Vec<&str> = healthy.iter().map(|(one, _)| one.name()).collect();
    let until = healthy.iter().map(|(_, since)| *since + steady).max();
    let until = until.unwrap_or_else(Instant::now);
    let mut said = false;
    // The last step of a deploy: it is not cancelled.
    let fallen = ctx.in_any_case(steady + HEALTH_MARGIN, |ctx| {
        ctx.poll(LOOK_INTERVAL, until, |ctx| {
            let now = docker::containers(ctx, &names)?;
            if Instant::now() < until && !std::mem::replace(&mut said, true) {
                let steady = HumanDuration(steady);
                ctx.tell(&format!(
                    "waiting until each has run for {steady} without a restart"
                ));
            }
            let fallen = |(one, since): &(Container, Instant)| {
                let (name, what) = (one.name(), what_happened(one, &now)?);
                Some((name.to_owned(), docker::since(*since), what))
            };
            Ok(healthy.iter().find_map(fallen))
        })
    })?;
    let Some((name, after, what)) = fallen else {
        return Ok(());
    };
    ctx.in_any_case(DOCKER_QUICK, |ctx| docker::say_log(ctx, &name));
    fail(format!("{name}: was healthy, and after {after} {what}"))
}

/// What keeps a container that was healthy from counting as steady, if anything.
fn what_happened(then: &Container, now: &[Container]) -> Option<String> {
    match now.iter().find(|now| now.name() == then.name()) {
        None => Some("it is gone".to_owned()),
        Some(now) if now.id != then.id => Some("somebody has replaced it".to_owned()),
        Some(now) if now.is_running() && now.restart_count == then.restart_count => None,
        Some(now) => Some(format!("it is {}", now.describe())),
    }
}
