//! What is live before a deploy: which version, and whether it is already the one that was asked for.

use super::docker::seen::Container as Seen;
use super::reference::{same_image, tag};
use super::swap::creation::VERSION_LABEL;
use super::{Deploy, Verified, Way};
use crate::config::{Container, Downgrade};
use crate::event::Phase;
use crate::gate::Version;
use crate::run::{Failure, RunContext};

/// Whether a container needs to be replaced at all.
enum There {
    /// It does not.
    Yes,
    /// It is what it was before this version, or is not there.
    OtherImage,
    /// It has the image; how it is not as it should be.
    Otherwise(String),
}

impl Deploy<'_> {
    /// Says, or refuses, that a container goes back to a lower version. One whose version cannot be told is no obstacle.
    pub(super) fn check_order(
        &self,
        ctx: &mut RunContext,
        name: &str,
        now: Option<&Seen>,
    ) -> Result<(), Failure> {
        let Some(live) = self.live_version(ctx, name, now) else {
            return Ok(());
        };
        if self.version.numbers() >= live.numbers() {
            return Ok(());
        }
        let sentence = format!("{name}: {live} is live, so {} is a downgrade", self.version);
        match self.config.deploy().checks.downgrade {
            Downgrade::Allowed => {
                ctx.say(Phase::Preflight, &sentence);
                Ok(())
            }
            Downgrade::Refused => Err(Failure::Failed(format!(
                "{sentence}, and DEPLOYER_ALLOW_DOWNGRADE=no refuses those"
            ))),
        }
    }

    /// By the container itself, and where there is none by the template that the next start would take.
    fn live_version(&self, ctx: &mut RunContext, name: &str, now: Option<&Seen>) -> Option<Version> {
        let version = |text: &str| Version::try_from(text.to_owned()).ok();
        let image = &self.config.deploy().image;
        match (now, self.way) {
            (Some(now), _) => now.label(VERSION_LABEL).and_then(version).or_else(|| {
                let named = Some(now.reference()).filter(|reference| same_image(reference, image));
                named.and_then(tag).and_then(version)
            }),
            (None, Way::Unraid(unraid)) => {
                let named = unraid.named(ctx, Phase::Preflight, name, image).ok()?;
                tag(&named).and_then(version)
            }
            (None, _) => None,
        }
    }

    /// Whether every container runs the image already, as it would be made now, and is healthy.
    pub(super) fn already_there(&self, ctx: &mut RunContext, image: &Verified) -> Result<bool, Failure> {
        for container in &self.config.deploy().containers {
            match self.look_for(ctx, image, container)? {
                There::Yes => {}
                There::OtherImage => return Ok(false),
                There::Otherwise(how) => {
                    let message = format!("{}: has this image already, but {how}", container.name);
                    ctx.say(Phase::Verify, &message);
                    return Ok(false);
                }
            }
        }
        let message = format!("every container runs {} already and is healthy", self.reference);
        ctx.say(Phase::Verify, &message);
        ctx.outcome_member("changed", false.into());
        Ok(true)
    }

    fn look_for(
        &self,
        ctx: &mut RunContext,
        image: &Verified,
        container: &Container,
    ) -> Result<There, Failure> {
        let name = &container.name;
        let Some(now) = self.docker.container(ctx, name)? else {
            return Ok(There::OtherImage);
        };
        if now.image != image.id {
            return Ok(There::OtherImage);
        }
        if !now.is_running() {
            return Ok(There::Otherwise(format!("is {}", now.describe())));
        }
        if let Some(how) = self.made_otherwise(ctx, name, &now)? {
            return Ok(There::Otherwise(how));
        }
        let health = self.health(container).map(|health| health.now(ctx));
        Ok(match health.transpose()? {
            Some(None) => There::Yes,
            Some(Some(how)) => There::Otherwise(how),
            None => There::Otherwise("whether it is healthy cannot be told".into()),
        })
    }

    /// Whether the next start would make something else of it.
    fn made_otherwise(
        &self,
        ctx: &mut RunContext,
        name: &str,
        now: &Seen,
    ) -> Result<Option<String>, Failure> {
        match self.way {
            Way::Unraid(unraid) => {
                let named = unraid.named(ctx, Phase::Verify, name, &self.config.deploy().image)?;
                Ok((named != self.reference).then(|| format!("its template names {named}")))
            }
            Way::Swap(swap) => swap.made_otherwise(name, now, &self.version.to_string()),
            Way::Command(_) => Ok(Some("only its command knows".into())),
        }
    }
}
