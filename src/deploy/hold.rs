//! After all containers are healthy: each must have run for a while without a restart before the deploy counts.
//!
//! A version that answers once and dies a few seconds later would pass every probe. The time counts from when each became
//! healthy, so that with several containers most of it has passed already.

use std::time::{Duration, Instant};

use super::Deploy;
use crate::config::Container;
use crate::deploy::docker::since;
use crate::event::Phase;
use crate::limits::{DOCKER_QUICK, LOOK_INTERVAL};
use crate::run::HumanDuration;
use crate::run::{Failure, RunContext};

/// A container when it had just become healthy.
pub(super) struct Healthy {
    name: String,
    id: String,
    restarts: u32,
    at: Instant,
}

impl Deploy<'_> {
    /// How a container is that has become healthy.
    pub(super) fn watch(&self, ctx: &mut RunContext, container: &Container) -> Result<Healthy, Failure> {
        let name = &container.name;
        let now = self.docker.container(ctx, name)?;
        let now = now.ok_or_else(|| Failure::Failed(format!("{name}: was healthy and is gone")))?;
        Ok(Healthy {
            name: name.clone(),
            id: now.id,
            restarts: now.restart_count,
            at: Instant::now(),
        })
    }

    /// Waits until every container has been up for long enough.
    pub(super) fn hold(&self, ctx: &mut RunContext, healthy: &[Healthy]) -> Result<(), Failure> {
        let steady = self.config.deploy().health.steady;
        let mut waited = false;
        loop {
            let mut left = Duration::ZERO;
            for healthy in healthy {
                self.is_steady(ctx, healthy)?;
                let until = healthy.at + steady;
                left = left.max(until.saturating_duration_since(Instant::now()));
            }
            if left.is_zero() {
                break;
            }
            if !std::mem::replace(&mut waited, true) {
                let message = format!(
                    "waiting until each has run for {} without a restart",
                    HumanDuration(steady)
                );
                ctx.say(Phase::Health, &message);
            }
            ctx.pause(left.min(LOOK_INTERVAL))?;
        }
        Ok(())
    }

    fn is_steady(&self, ctx: &mut RunContext, healthy: &Healthy) -> Result<(), Failure> {
        let name = &healthy.name;
        let what = match self.docker.container(ctx, name)? {
            None => "it is gone".to_owned(),
            Some(now) if now.id != healthy.id => "somebody has replaced it".to_owned(),
            Some(now) if !now.is_running() || now.restart_count != healthy.restarts => {
                format!("it is {}", now.describe())
            }
            Some(_) => return Ok(()),
        };
        ctx.in_any_case(DOCKER_QUICK, |ctx| self.docker.say_log(ctx, name));
        let after = since(healthy.at);
        Err(Failure::Failed(format!(
            "{name}: was healthy, and after {after} {what}"
        )))
    }
}
