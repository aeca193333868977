//! Replacing a container with a way back: the one that serves is set aside under another name and kept until the new one
//! is healthy.
//!
//! First the name goes: `NAME` becomes `NAME-prev` and serves on. When the new one stands there under the name, made and
//! not started, the old one is stopped and the new one started; that is all the time without a service. As the old one
//! loses its name before it is ever stopped, what it is called tells how far a dead run may have come. A container that
//! serves is never removed by a deploy, and volumes never are.

use crate::deploy::docker::Docker;
use crate::deploy::docker::seen::Container;
use crate::deploy::reference::{same_image, short_id};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{DOCKER_QUICK, SWAP_DEADLINE};
use crate::run::{Failure, RunContext};

/// What a container is called while it is kept.
pub fn previous(name: &str) -> String {
    format!("{name}-prev")
}

/// Refuses what stands under the name that we need and is none of ours: it does not run `image`, whatever its version.
pub fn is_free(
    docker: Docker<'_>,
    ctx: &mut RunContext,
    name: &str,
    image: &str,
) -> Result<Option<Container>, Failure> {
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

/// Deals with the `kept` one of an earlier deploy that was not put back, or not tidied up: afterwards `NAME` is the one to
/// fall back on, and `NAME-prev` is free. `serves` says whether a container is as good as it should be; `restart` is the
/// policy that the kept one gets back, where that is known.
pub fn tidy(
    docker: Docker<'_>,
    ctx: &mut RunContext,
    name: &str,
    kept: &Container,
    serves: impl Fn(&Container) -> bool,
    restart: Option<&str>,
) -> Result<(), Failure> {
    match docker.container(ctx, name)? {
        Some(now) if serves(&now) => {
            docker.remove(ctx, &kept.id)?;
            let message = format!("{name}: removed {}, left by an earlier deploy", kept.name());
            ctx.say(Phase::Update, &message);
            return Ok(());
        }
        Some(failed) => {
            let message = format!("{name}: left {} by an earlier deploy", failed.describe());
            ctx.say(Phase::Update, &message);
            docker.remove(ctx, &failed.id)?;
        }
        None => {}
    }
    docker.rename(ctx, &kept.id, name)?;
    if let Some(restart) = restart {
        docker.set_restart(ctx, name, restart)?;
    }
    docker.start(ctx, name)?;
    ctx.say(Phase::Update, &format!("{name}: the one before is back"));
    Ok(())
}

/// `NAME` becomes `NAME-prev`, and serves on.
pub fn set_aside(docker: Docker<'_>, ctx: &mut RunContext, name: &str, old: &str) -> Result<(), Failure> {
    docker.rename(ctx, old, &previous(name))?;
    failpoint!("set-aside");
    Ok(())
}

/// Stops the one that was set aside and starts the one that has the name now: whatever the run's time, because between
/// the two nothing serves.
pub fn hand_over(
    docker: Docker<'_>,
    ctx: &mut RunContext,
    name: &str,
    old: Option<&Container>,
) -> Result<Container, Failure> {
    ctx.in_any_case(SWAP_DEADLINE, |ctx| {
        if let Some(old) = old {
            ctx.say(Phase::Update, &format!("{name}: stopping {}", short_id(&old.id)));
            stop(docker, ctx, &old.id)?;
            failpoint!("old-stopped");
            if old.restart_policy() != "no" {
                // Else it would come back beside the new one when the host starts again.
                docker.set_restart(ctx, &old.id, "no")?;
            }
            failpoint!("old-held-back");
        }
        docker.start(ctx, name)?;
        failpoint!("new-started");
        match docker.container(ctx, name)? {
            Some(new) => Ok(new),
            None => Err(Failure::Failed(format!("started {name}, and it is gone"))),
        }
    })
}

/// Stops a container. One that takes longer than anybody waits is killed: a stop that is still going on would end it
/// after it was started again.
fn stop(docker: Docker<'_>, ctx: &mut RunContext, id: &str) -> Result<(), Failure> {
    docker.stop(ctx, id).inspect_err(|_| {
        let _ = ctx.in_any_case(DOCKER_QUICK, |ctx| docker.kill(ctx, id));
    })
}

/// Removes the one that was kept: everything is healthy without it.
pub fn clean_up(docker: Docker<'_>, ctx: &mut RunContext, name: &str) {
    let removed = docker.container(ctx, &previous(name)).and_then(|kept| {
        if let Some(kept) = &kept {
            docker.remove(ctx, &kept.id)?;
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
