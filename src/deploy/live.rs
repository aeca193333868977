//! What is live before a deploy: which version, and whether it is already the one that was asked for.

use super::docker::{self, Container as Seen, ImageId};
use super::reference::{same_image, tag};
use super::swap::creation::VERSION_LABEL;
use super::{Deploy, swap, unraid};
use crate::config::{Backend, Container};
use crate::gate::Version;
use crate::run::{Result, RunContext, fail};

/// Says, or refuses, that a container goes back to a lower version. One whose version cannot be told is no obstacle.
pub(super) fn check_order(deploy: &Deploy, ctx: &mut RunContext, name: &str, now: Option<&Seen>) -> Result {
    let version = &deploy.task.version;
    let live = live_version(ctx, name, now).filter(|live| version.numbers() < live.numbers());
    let Some(live) = live else { return Ok(()) };
    let sentence = format!("{name}: {live} is live, so {version} is a downgrade");
    if !ctx.config.deploy().allow_downgrade {
        return fail(format!(
            "{sentence}, and DEPLOYER_ALLOW_DOWNGRADE=no refuses those"
        ));
    }
    ctx.tell(&sentence);
    Ok(())
}

/// By the container itself, and where there is none by the template that the next start would take.
fn live_version(ctx: &mut RunContext, name: &str, now: Option<&Seen>) -> Option<Version> {
    let version = |text: &str| Version::try_from(text.to_owned()).ok();
    let settings = ctx.config.deploy();
    match (now, &settings.backend) {
        (Some(now), _) => now.label(VERSION_LABEL).and_then(version).or_else(|| {
            let named = Some(now.reference()).filter(|named| same_image(named, &settings.image));
            named.and_then(tag).and_then(version)
        }),
        (None, Backend::Unraid { templates, .. }) => {
            let (_, named) = unraid::find(ctx, templates, name).ok()?;
            tag(&named).and_then(version)
        }
        (None, _) => None,
    }
}

/// Whether every container runs the image already, as it would be made now, and is healthy.
pub(super) fn is_live_already(deploy: &Deploy, ctx: &mut RunContext, image: &ImageId) -> Result<bool> {
    for container in &ctx.config.deploy().containers {
        let name = &container.name;
        let now = docker::container(ctx, name)?;
        let Some(now) = now.filter(|now| now.image == *image) else {
            return Ok(false);
        };
        if let Some(why) = why_replace(deploy, ctx, container, &now)? {
            ctx.tell(&format!("{name}: has this image already, but {why}"));
            return Ok(false);
        }
    }
    let reference = &deploy.reference;
    ctx.tell(&format!(
        "every container runs {reference} already and is healthy"
    ));
    ctx.outcome_member("changed", false.into());
    Ok(true)
}

/// Why a container that has the image needs to be replaced all the same, if it needs to.
fn why_replace(
    deploy: &Deploy,
    ctx: &mut RunContext,
    container: &Container,
    now: &Seen,
) -> Result<Option<String>> {
    if !now.is_running() {
        return Ok(Some(format!("is {}", now.describe())));
    }
    let (config, name) = (ctx.config, &container.name);
    let otherwise = match &config.deploy().backend {
        Backend::Unraid { templates, .. } => {
            let (_, named) = unraid::find(ctx, templates, name)?;
            (named != deploy.reference).then(|| format!("its template names {named}"))
        }
        Backend::Docker { declarations } => {
            let declared = swap::declared(declarations, name)?;
            swap::made_otherwise(&declared, now, deploy.task.version.as_str())
        }
        Backend::Command { .. } => Some("only its command knows".into()),
    };
    match (otherwise, deploy.health(config, container)) {
        (None, Some(health)) => health.now(ctx),
        (otherwise, _) => Ok(otherwise),
    }
}
