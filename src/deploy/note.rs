//! What is about to be changed is written down, with what it is now.

use super::before::{Before, Life, Stood, Was};
use super::docker::seen::Container as Seen;
use super::{Deploy, Verified, Way, aside};
use crate::config::Container;
use crate::failpoint;
use crate::run::{Failure, RunContext};

impl Deploy<'_> {
    /// What `container` is, with what it is made from; on disk when this returns. What an earlier deploy has left is dealt
    /// with first, so that it is the one to go back to.
    pub(super) fn note(
        &self,
        ctx: &mut RunContext,
        verified: &Verified,
        container: &Container,
    ) -> Result<Was, Failure> {
        let name = &container.name;
        let image = &self.config.deploy().image;
        if let Some(kept) = aside::is_free(self.docker, ctx, name, image)? {
            let restart = match self.way {
                Way::Swap(swap) => Some(swap.restart(name)?),
                Way::Unraid(_) | Way::Command(_) => None,
            };
            let serves = |now: &Seen| self.life(container, now) == Life::Healthy;
            aside::tidy(self.docker, ctx, name, &kept, serves, restart.as_deref())?;
        }
        let template = match self.way {
            Way::Unraid(unraid) => Some(unraid.sheet(ctx, name, image, self.version.as_str())?),
            Way::Swap(_) | Way::Command(_) => None,
        };
        let now = self.docker.container(ctx, name)?;
        let was = Was {
            name: name.clone(),
            stood: now.map(|now| Stood::of(&now, self.life(container, &now))),
            becomes: verified.id.clone(),
            template,
        };
        let entry = Before::Container(was.clone()).entry().map_err(Failure::Failed)?;
        ctx.note(entry)?;
        failpoint!("container-noted");
        Ok(was)
    }

    /// Whether it runs, and whether it is healthy now: what was not cannot be expected to be afterwards.
    fn life(&self, container: &Container, now: &Seen) -> Life {
        if !now.is_running() {
            return Life::Stopped;
        }
        let health = self.health(container);
        match health.is_some_and(|health| health.on_the_way_back().at_a_glance(now)) {
            true => Life::Healthy,
            false => Life::Running,
        }
    }
}
