//! What is live before a deploy: which version, and whether it is already the one that was asked for.

use super::docker::inspect::Container as Seen;
use super::image::VerifiedImage;
use super::reference::{same_image, tag};
use super::swap::creation::VERSION_LABEL;
use super::{Deploy, Replacer};
use crate::config::Container;
use crate::event::Phase;
use crate::gate::Version;
use crate::run::{Result, RunContext};

/// Says, or refuses, that a container goes back to a lower version. One whose version cannot be told is no obstacle.
pub(super) fn check_order(
    deploy: &Deploy<'_>,
    ctx: &mut RunContext,
    name: &str,
    now: Option<&Seen>,
) -> Result {
    let version = &deploy.task.version;
    let live = live_version(deploy, ctx, name, now).filter(|live| version.numbers() < live.numbers());
    let Some(live) = live else { return Ok(()) };
    let sentence = format!("{name}: {live} is live, so {version} is a downgrade");
    if !deploy.settings.allow_downgrade {
        return Err(format!("{sentence}, and DEPLOYER_ALLOW_DOWNGRADE=no refuses those").into());
    }
    ctx.say(Phase::Preflight, &sentence);
    Ok(())
}

/// By the container itself, and where there is none by the template that the next start would take.
fn live_version(
    deploy: &Deploy<'_>,
    ctx: &mut RunContext,
    name: &str,
    now: Option<&Seen>,
) -> Option<Version> {
    let version = |text: &str| Version::try_from(text.to_owned()).ok();
    let image = &deploy.settings.image;
    match (now, deploy.replacer) {
        (Some(now), _) => now.label(VERSION_LABEL).and_then(version).or_else(|| {
            let named = Some(now.reference()).filter(|reference| same_image(reference, image));
            named.and_then(tag).and_then(version)
        }),
        (None, Replacer::Unraid(unraid)) => {
            let named = unraid.named(ctx, Phase::Preflight, name).ok()?;
            tag(&named).and_then(version)
        }
        (None, _) => None,
    }
}

/// Whether every container runs the image already, as it would be made now, and is healthy.
pub(super) fn is_live_already(
    deploy: &Deploy<'_>,
    ctx: &mut RunContext,
    image: &VerifiedImage,
) -> Result<bool> {
    for container in &deploy.settings.containers {
        let name = &container.name;
        let now = deploy.docker.container(ctx, name)?;
        let Some(now) = now.filter(|now| now.image == image.id) else {
            return Ok(false);
        };
        if let Some(why) = why_replace(deploy, ctx, container, &now)? {
            let message = format!("{name}: has this image already, but {why}");
            ctx.say(Phase::Verify, &message);
            return Ok(false);
        }
    }
    let message = format!("every container runs {} already and is healthy", deploy.reference);
    ctx.say(Phase::Verify, &message);
    ctx.outcome_member("changed", false.into());
    Ok(true)
}

/// Why a container that has the image needs to be replaced all the same, if it needs to.
fn why_replace(
    deploy: &Deploy<'_>,
    ctx: &mut RunContext,
    container: &Container,
    now: &Seen,
) -> Result<Option<String>> {
    if !now.is_running() {
        return Ok(Some(format!("is {}", now.describe())));
    }
    let name = &container.name;
    let otherwise = match deploy.replacer {
        Replacer::Unraid(unraid) => {
            let named = unraid.named(ctx, Phase::Verify, name)?;
            (named != deploy.reference).then(|| format!("its template names {named}"))
        }
        Replacer::Swap(swap) => swap.made_otherwise(name, now, deploy.task.version.as_str())?,
        Replacer::Command(_) => Some("only its command knows".into()),
    };
    match (otherwise, deploy.health(container)) {
        (Some(why), _) => Ok(Some(why)),
        (None, Some(health)) => health.now(ctx),
        (None, None) => Ok(Some("whether it is healthy cannot be told".into())),
    }
}
