//! The stability window: after all containers are healthy, each must have run for a while without a restart.
//!
//! A version that answers once and dies a few seconds later would pass every probe. The time counts from when each became
//! healthy, so that with several containers most of it has passed already.

use std::time::Instant;

use super::Deploy;
use super::docker::inspect::Container;
use super::docker::since;
use crate::event::Phase;
use crate::limits::{DOCKER_QUICK, HEALTH_MARGIN, LOOK_INTERVAL};
use crate::run::{Failure, HumanDuration, Result, RunContext};

/// A container when it had just become healthy.
pub(super) struct HealthyContainer {
    name: String,
    id: String,
    restarts: u64,
    at: Instant,
}

/// How a container is that has become healthy.
pub(super) fn healthy_container(
    deploy: &Deploy<'_>,
    ctx: &mut RunContext,
    name: &str,
) -> Result<HealthyContainer> {
    let now = deploy.docker.container(ctx, name)?;
    let now = now.ok_or_else(|| format!("{name}: was healthy and is gone"))?;
    Ok(HealthyContainer {
        name: name.to_owned(),
        id: now.id,
        restarts: now.restart_count,
        at: Instant::now(),
    })
}

/// Waits until every container has been up for long enough.
pub(super) fn wait_until_stable(
    deploy: &Deploy<'_>,
    ctx: &mut RunContext,
    healthy: &[HealthyContainer],
) -> Result {
    let steady = deploy.settings.steady;
    let names: Vec<&str> = healthy.iter().map(|one| one.name.as_str()).collect();
    let until = healthy.iter().map(|one| one.at + steady).max();
    let until = until.unwrap_or_else(Instant::now);
    let mut said = false;
    // The last step of a deploy: it is not cancelled.
    let fallen = ctx.in_any_case(steady + HEALTH_MARGIN, |ctx| {
        ctx.poll(LOOK_INTERVAL, until, |ctx| {
            let now = deploy.docker.containers(ctx, &names)?;
            if Instant::now() < until && !std::mem::replace(&mut said, true) {
                let steady = HumanDuration(steady);
                let message = format!("waiting until each has run for {steady} without a restart");
                ctx.say(Phase::Health, &message);
            }
            let fallen =
                |one: &HealthyContainer| Some((one.name.clone(), since(one.at), one.what_happened(&now)?));
            Ok(healthy.iter().find_map(fallen))
        })
    })?;
    let Some((name, after, what)) = fallen else {
        return Ok(());
    };
    ctx.in_any_case(DOCKER_QUICK, |ctx| deploy.docker.say_log(ctx, &name));
    Err(Failure::Failed(format!(
        "{name}: was healthy, and after {after} {what}"
    )))
}

impl HealthyContainer {
    /// What keeps it from counting as steady, if anything.
    fn what_happened(&self, now: &[Container]) -> Option<String> {
        match now.iter().find(|now| now.is_named(&self.name)) {
            None => Some("it is gone".to_owned()),
            Some(now) if now.id != self.id => Some("somebody has replaced it".to_owned()),
            Some(now) if !now.is_running() || now.restart_count != self.restarts => {
                Some(format!("it is {}", now.describe()))
            }
            Some(_) => None,
        }
    }
}
