//! Replacing a container with a way back: the old one is kept under another name until the new one is healthy.
//!
//! `NAME` becomes `NAME-prev`. When the new one stands there under the name, made and not started, the old one is stopped
//! and the new one started; that is all the time without a service. A container that serves is never removed by a deploy,
//! and volumes never are.

use super::docker::{self, Container};
use super::is_healthy;
use super::reference::{same_image, short_id};
use crate::config;
use crate::event::Phase;
use crate::failpoint;
use crate::run::{Result, RunContext, fail};

/// What a container is called while it is kept.
pub fn previous(name: &str) -> String {
    format!("{name}-prev")
}

/// The container that an earlier deploy has kept, if it was not removed.
///
/// # Errors
/// When what has the name that we need does not run our image, whatever its version: it is none of ours.
pub fn kept(ctx: &mut RunContext, name: &str) -> Result<Option<Container>> {
    let image = &ctx.config.deploy().image;
    let kept = docker::container(ctx, &previous(name))?;
    match kept.as_ref().map(Container::reference) {
        Some(other) if !same_image(other, image) => fail(format!(
            "a container {} of {other} is in the way, and no deploy of {image} made it: rename or remove it",
            previous(name)
        )),
        _ => Ok(kept),
    }
}

/// Deals with what an earlier deploy has left: afterwards the container that has the name is the one to go back to, and
/// `NAME-prev` is free. `restart` is the policy that the kept one gets back, where that is known.
pub fn settle(ctx: &mut RunContext, container: &config::Container, restart: Option<&str>) -> Result {
    let name = &container.name;
    let Some(kept) = kept(ctx, name)? else {
        return Ok(());
    };
    if let Some(now) = docker::container(ctx, name)? {
        if is_healthy(ctx.config, container, &now) {
            docker::remove(ctx, &kept)?;
            ctx.tell(format!("{}: removed, left by an earlier deploy", kept.name()));
            return Ok(());
        }
        let how = now.describe();
        ctx.tell(format!("{name}: an earlier deploy left it {how}; removing it"));
        docker::remove(ctx, &now)?;
    }
    docker::rename(ctx, &kept.id, name)?;
    if let Some(restart) = restart {
        docker::set_restart(ctx, &kept.id, restart)?;
    }
    docker::start(ctx, &kept.id)?;
    ctx.tell(format!("{name}: {} has its name back", kept.name()));
    Ok(())
}

/// `NAME` becomes `NAME-prev`. One that serves serves on; any other is stopped first, because Docker does not rename what
/// it is about to restart: a crash loop too that was seen in a moment in which it ran. What is left of one that can never
/// be started again is removed.
pub fn rename_old(ctx: &mut RunContext, name: &str, old: &Container) -> Result {
    if old.is_lost() {
        return docker::remove(ctx, old);
    }
    if !old.is_running() {
        docker::stop(ctx, &old.id)?;
    }
    if let Err(refused) = docker::rename(ctx, &old.id, &previous(name)) {
        let now = docker::container(ctx, &old.id)?;
        if !now.is_some_and(|now| !now.is_running() || now.restart_count > 0) {
            return Err(refused);
        }
        docker::stop(ctx, &old.id)?;
        docker::rename(ctx, &old.id, &previous(name))?;
    }
    failpoint!("old-renamed");
    Ok(())
}

/// Stops the old one and starts the one that has the name now. Between the two nothing serves: to be called whatever the
/// run's time.
pub fn stop_old_start_new(
    ctx: &mut RunContext,
    name: &str,
    old: Option<&Container>,
    new: &Container,
) -> Result {
    if let Some(old) = old.filter(|old| !old.is_lost()) {
        if old.restart_policy() != "no" {
            // Else it would come back beside the new one when the host starts again. While it serves: this takes time.
            docker::set_restart(ctx, &old.id, "no")?;
        }
        failpoint!("old-policy-cleared");
        ctx.tell(format!("{name}: stopping {}", short_id(&old.id)));
        docker::stop(ctx, &old.id)?;
        failpoint!("old-stopped");
    }
    docker::start(ctx, name)?;
    failpoint!("new-started");
    let (id, image) = (short_id(&new.id), &new.image);
    ctx.tell(format!("{name}: started {id}, image {image}"));
    Ok(())
}

/// Removes the one that was kept: everything is healthy without it.
pub fn remove_kept(ctx: &mut RunContext, name: &str) {
    let removed = docker::container(ctx, &previous(name)).and_then(|kept| match kept {
        Some(old) => docker::remove(ctx, &old).map(|()| Some(old)),
        None => Ok(None),
    });
    failpoint!("old-removed");
    let message = match removed {
        Ok(None) => return,
        Ok(Some(old)) => {
            let (id, reference) = (short_id(&old.id), old.reference());
            format!("{name}: removed the one before, {id} of {reference}")
        }
        Err(error) => format!("{name}: {error}; the next deploy will try again"),
    };
    ctx.say(Phase::Cleanup, &message);
}
