//! Replacing a container with a way back: the old one is kept under another name until the new one is healthy.
//!
//! `NAME` becomes `NAME-prev`. When the new one stands there under the name, made and not started, the old one is stopped
//! and the new one started; that is all the time without a service. A container that serves is never removed by a deploy,
//! and volumes never are.

use crate::deploy::docker::Docker;
use crate::deploy::docker::inspect::Container;
use crate::deploy::reference::{same_image, short_id};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::UNHURRIED;
use crate::run::{Failure, Result, RunContext};

/// What a container is called while it is kept.
pub fn previous(name: &str) -> String {
    format!("{name}-prev")
}

/// The container that an earlier deploy of `image` has kept, if it was not removed.
///
/// # Errors
/// When what has the name that we need does not run `image`, whatever its version: it is none of ours.
pub fn kept(docker: Docker<'_>, ctx: &mut RunContext, name: &str, image: &str) -> Result<Option<Container>> {
    let kept = docker.container(ctx, &previous(name))?;
    match kept {
        Some(stranger) if !same_image(stranger.reference(), image) => Err(Failure::Failed(format!(
            "a container {} of {} stands in the way, and no deploy of {image} has made it: rename or remove it",
            stranger.name(),
            stranger.reference()
        ))),
        kept => Ok(kept),
    }
}

/// Deals with the container that an earlier deploy has `kept`: afterwards `NAME` is the one to go back to, and `NAME-prev`
/// is free. `serves` says whether a container is as good as it should be; `restart` is the policy that the kept one gets
/// back, where that is known.
pub fn settle(
    docker: Docker<'_>,
    ctx: &mut RunContext,
    name: &str,
    kept: &Container,
    serves: impl Fn(&Container) -> bool,
    restart: Option<&str>,
) -> Result {
    match docker.container(ctx, name)? {
        Some(now) if serves(&now) => {
            docker.remove(ctx, kept)?;
            let message = format!("{name}: removed {}, left by an earlier deploy", kept.name());
            ctx.say(Phase::Update, &message);
            return Ok(());
        }
        Some(failed) => {
            let message = format!(
                "{name}: an earlier deploy left it {}; removing it",
                failed.describe()
            );
            ctx.say(Phase::Update, &message);
            docker.remove(ctx, &failed)?;
        }
        None => {}
    }
    docker.rename(ctx, &kept.id, name)?;
    if let Some(restart) = restart {
        docker.set_restart(ctx, &kept.id, restart)?;
    }
    docker.start(ctx, &kept.id)?;
    let message = format!("{name}: {} has its name back", previous(name));
    ctx.say(Phase::Update, &message);
    Ok(())
}

/// `NAME` becomes `NAME-prev`. One that serves serves on; any other is stopped first, because Docker does not rename what
/// it is about to restart: a crash loop too that was seen in a moment in which it ran. What is left of one that can never
/// be started again is removed.
pub fn rename_old(docker: Docker<'_>, ctx: &mut RunContext, name: &str, old: &Container) -> Result {
    if old.is_lost() {
        return docker.remove(ctx, old);
    }
    if !old.is_running() {
        docker.stop(ctx, &old.id)?;
    }
    if let Err(refused) = docker.rename(ctx, &old.id, &previous(name)) {
        let now = docker.container_with_id(ctx, &old.id)?;
        if !now.is_some_and(|now| !now.is_running() || now.restart_count > 0) {
            return Err(refused);
        }
        docker.stop(ctx, &old.id)?;
        docker.rename(ctx, &old.id, &previous(name))?;
    }
    failpoint!("old-renamed");
    Ok(())
}

/// Stops the old one and starts the one that has the name now: whatever the run's time, because between the two nothing
/// serves.
pub fn stop_old_start_new(
    docker: Docker<'_>,
    ctx: &mut RunContext,
    name: &str,
    old: Option<&Container>,
) -> Result<Container> {
    ctx.in_any_case(UNHURRIED, |ctx| {
        if let Some(old) = old.filter(|old| !old.is_lost()) {
            if old.restart_policy() != "no" {
                // Else it would come back beside the new one when the host starts again. While it serves: this takes time.
                docker.set_restart(ctx, &old.id, "no")?;
            }
            failpoint!("old-policy-cleared");
            ctx.say(Phase::Update, &format!("{name}: stopping {}", short_id(&old.id)));
            docker.stop(ctx, &old.id)?;
            failpoint!("old-stopped");
        }
        docker.start(ctx, name)?;
        failpoint!("new-started");
        let new = docker.container(ctx, name)?;
        new.ok_or_else(|| format!("started {name}, and it is gone").into())
    })
}

/// Removes the one that was kept: everything is healthy without it.
pub fn remove_kept(docker: Docker<'_>, ctx: &mut RunContext, name: &str) {
    let removed = docker.container(ctx, &previous(name)).and_then(|kept| {
        if let Some(kept) = &kept {
            docker.remove(ctx, kept)?;
        }
        Ok(kept)
    });
    failpoint!("old-removed");
    let message = match removed {
        Ok(None) => return,
        Ok(Some(old)) => format!(
            "{name}: removed the one before, {} of {}",
            short_id(&old.id),
            old.reference()
        ),
        Err(error) => format!("{name}: {error}; the next deploy will try again"),
    };
    ctx.say(Phase::Cleanup, &message);
}
