//! The steps of a deploy: pull an image, replace containers, wait until they are healthy.
//!
//! [`deploy()`] is the story; the first step that fails ends it. Up to the tag nothing is touched that serves. What is changed is proved by looking at it afterwards; no tool's exit status is
//! proof. This folder trusts the settings and the shapes of an admitted request; it trusts no tool, no template and no
//! answer.

pub mod aside;
pub mod before;
pub mod command;
pub mod docker;
pub mod health;
mod hold;
mod image;
mod live;
mod note;
mod origin;
mod preflight;
pub mod reference;
pub mod retain;
mod room;
pub mod swap;
mod undo;
pub mod unraid;

use std::time::Duration;

use serde_json::Value;

use crate::config::{Backend, Config, Container, DeployConfig};
use crate::event::Phase;
use crate::failpoint;
use crate::gate::{DeployTask, Version};
use crate::limits::{
    ALREADY_DEADLINE, CLEANUP_DEADLINE, COSIGN_DEADLINE, HEALTH_MARGIN, PREFLIGHT_DEADLINE,
    PULL_STEP_DEADLINE, TAG_DEADLINE, TEMPLATE_DEADLINE, UPDATE_MARGIN, VERIFY_DEADLINE,
};
use crate::queue::{Origin, RunId, RunRequest};
use crate::run::{Effect, Failure, RunContext};
use before::{Before, Was};
use command::Command;
use docker::Docker;
use docker::seen::ImageId;
use health::Health;
use origin::Commits;
use swap::{New, Swap};
use unraid::Unraid;

pub use preflight::{complaints, executable, refusal};
pub use undo::{UndoReason, Undone, tidy, undo};

/// One deploy: what was asked for.
struct Deploy<'a> {
    config: &'a Config,
    docker: Docker<'a>,
    way: Way<'a>,
    run_id: &'a RunId,
    version: Version,
    commits: Commits,
    /// `image:version`.
    reference: String,
}

/// The image that was pulled and verified: from then on only its id counts.
struct Verified {
    id: ImageId,
    /// The digest that the registry named, if it named one.
    digest: Option<String>,
}

/// How containers are replaced.
#[derive(Clone, Copy, Debug)]
enum Way<'a> {
    Unraid(Unraid<'a>),
    Swap(Swap<'a>),
    Command(Command<'a>),
}

/// Carries out `task`, which is what `order` orders.
///
/// # Errors
/// What kept it from being live; what it has changed is in the journal then, for [`undo`].
pub fn deploy(
    ctx: &mut RunContext,
    order: &RunRequest,
    task: &DeployTask,
    config: &Config,
) -> Result<(), Failure> {
    let deploy = Deploy::new(order, task, config);
    let ran = ctx.step(Phase::Preflight, PREFLIGHT_DEADLINE, Effect::Looks, |ctx| {
        deploy.preflight(ctx)
    })?;
    if task.dry_run {
        return Ok(());
    }
    if let Way::Command(command) = deploy.way {
        return deploy.run_commands(ctx, command, &ran);
    }
    let image = deploy.fetch(ctx)?;
    if !task.force && deploy.is_there_already(ctx, &image)? {
        return Ok(());
    }
    let mut healthy = Vec::new();
    for container in &config.deploy().containers {
        healthy.push(deploy.replace(ctx, &image, container)?);
    }
    let deadline = config.deploy().health.steady + HEALTH_MARGIN;
    deploy.change(ctx, Phase::Health, deadline, |ctx| deploy.hold(ctx, &healthy))?;
    ctx.commit();
    ctx.tidy(Phase::Cleanup, CLEANUP_DEADLINE, |ctx| {
        let containers = config.deploy().containers.iter();
        containers.for_each(|container| aside::clean_up(deploy.docker, ctx, &container.name));
        deploy.remove_old_images(ctx, &image, &ran)
    });
    Ok(())
}

/// Parts of the story.
impl<'a> Deploy<'a> {
    fn new(order: &'a RunRequest, task: &'a DeployTask, config: &'a Config) -> Self {
        let docker = Docker::new(config.deploy());
        let commits = Commits {
            asked: task.sha.as_ref().map(ToString::to_string),
            token: match &order.origin {
                Origin::Token { claims, .. } => claims.get("sha").and_then(Value::as_str).map(str::to_owned),
                Origin::Local { .. } => None,
            },
        };
        Self {
            config,
            docker,
            way: Way::of(config.deploy(), docker),
            reference: format!("{}:{}", config.deploy().image, task.version),
            run_id: &order.run_id,
            version: task.version.clone(),
            commits,
        }
    }

    /// The image is brought here, and known from then on.
    fn fetch(&self, ctx: &mut RunContext) -> Result<Verified, Failure> {
        let digest = ctx.step(Phase::Pull, PULL_STEP_DEADLINE, Effect::Looks, |ctx| {
            self.pull(ctx)
        })?;
        let image = ctx.step(Phase::Verify, VERIFY_DEADLINE, Effect::Looks, |ctx| {
            self.verify(ctx, digest)
        })?;
        if let Some(cosign) = &self.config.deploy().checks.cosign {
            ctx.step(Phase::Verify, COSIGN_DEADLINE, Effect::Looks, |ctx| {
                self.check_signature(ctx, &image, cosign)
            })?;
        }
        ctx.step(Phase::Tag, TAG_DEADLINE, Effect::Changes, |ctx| {
            self.tag(ctx, &image)
        })?;
        Ok(image)
    }

    fn is_there_already(&self, ctx: &mut RunContext, image: &Verified) -> Result<bool, Failure> {
        ctx.step(Phase::Verify, ALREADY_DEADLINE, Effect::Looks, |ctx| {
            self.already_there(ctx, image)
        })
    }

    /// One container becomes a new one that is healthy.
    fn replace(
        &self,
        ctx: &mut RunContext,
        image: &Verified,
        container: &Container,
    ) -> Result<hold::Healthy, Failure> {
        let mut was = None;
        if let Way::Unraid(unraid) = self.way {
            was = Some(self.change(ctx, Phase::Template, TEMPLATE_DEADLINE, |ctx| {
                let was = self.note(ctx, image, container)?;
                if let Some(sheet) = &was.template {
                    unraid.write_template(ctx, &container.name, sheet)?;
                }
                Ok(was)
            })?);
        }
        let update = self.config.deploy().update_max_wait + UPDATE_MARGIN;
        self.change(ctx, Phase::Update, update, |ctx| {
            let was = match was {
                Some(was) => was,
                None => self.note(ctx, image, container)?,
            };
            self.update(ctx, image, container, &was)
        })?;
        let deadline = self.config.deploy().health.max_wait + HEALTH_MARGIN;
        self.change(ctx, Phase::Health, deadline, |ctx| {
            if let Some(health) = self.health(container) {
                health.wait(ctx)?;
                failpoint!("healthy");
            }
            self.watch(ctx, container)
        })
    }

    /// The operator's command does it all, but for the image where it is to be pulled.
    fn run_commands(
        &self,
        ctx: &mut RunContext,
        command: Command<'_>,
        ran: &[ImageId],
    ) -> Result<(), Failure> {
        let image = match command.pull {
            true => Some(self.fetch(ctx)?),
            false => None,
        };
        let update = self.config.deploy().update_max_wait + UPDATE_MARGIN;
        let deadline = self.config.deploy().health.max_wait + HEALTH_MARGIN;
        for container in &self.config.deploy().containers {
            self.change(ctx, Phase::Update, update, |ctx| {
                command.update(ctx, &container.name, &self.variables())
            })?;
            if let Some(health) = self.health(container) {
                self.change(ctx, Phase::Health, deadline, |ctx| {
                    health.wait(ctx)?;
                    failpoint!("healthy");
                    Ok(())
                })?;
            }
        }
        ctx.commit();
        if let Some(image) = image {
            ctx.tidy(Phase::Cleanup, CLEANUP_DEADLINE, |ctx| {
                self.remove_old_images(ctx, &image, ran)
            });
        }
        Ok(())
    }

    /// A step that changes what serves; the outcome says so.
    fn change<T>(
        &self,
        ctx: &mut RunContext,
        phase: Phase,
        deadline: Duration,
        act: impl FnOnce(&mut RunContext) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        ctx.step(phase, deadline, Effect::Changes, |ctx| {
            ctx.outcome_member("changed", true.into());
            act(ctx)
        })
    }

    fn health<'b>(&'b self, container: &'b Container) -> Option<Health<'b>> {
        let docker = self.way.sees_containers().then_some(self.docker);
        Health::of(self.config, container, docker, self.version.as_str())
    }
}

impl<'a> Way<'a> {
    fn of(config: &'a DeployConfig, docker: Docker<'a>) -> Self {
        match &config.backend {
            Backend::Unraid { .. } => Way::Unraid(Unraid::of(config)),
            Backend::Docker { declarations } => Way::Swap(Swap { docker, declarations }),
            Backend::Command { program, pull } => Way::Command(Command {
                program,
                environment: &config.environment,
                deadline: config.update_max_wait,
                pull: *pull,
            }),
        }
    }

    fn pulls(&self) -> bool {
        !matches!(self, Way::Command(Command { pull: false, .. }))
    }

    /// Not with the operator's command: what it replaces need not be a container at all.
    fn sees_containers(&self) -> bool {
        !matches!(self, Way::Command(_))
    }
}

/// Single steps.
impl Deploy<'_> {
    fn tag(&self, ctx: &mut RunContext, image: &Verified) -> Result<(), Failure> {
        let latest = format!("{}:latest", self.config.deploy().image);
        let was = self.docker.image(ctx, &latest)?.map(|image| image.id);
        if was.as_ref() != Some(&image.id) {
            let tag = before::Tag {
                reference: latest.clone(),
                was,
                becomes: image.id.clone(),
            };
            ctx.note(Before::Tag(tag).entry().map_err(Failure::Failed)?)?;
            failpoint!("tag-noted");
            self.docker.tag(ctx, &image.id, &latest)?;
            failpoint!("tagged");
        }
        ctx.say(Phase::Tag, &format!("{latest} is image {} now", image.id));
        Ok(())
    }

    fn update(
        &self,
        ctx: &mut RunContext,
        image: &Verified,
        container: &Container,
        was: &Was,
    ) -> Result<(), Failure> {
        match (self.way, &was.template) {
            (Way::Unraid(unraid), Some(template)) => {
                self.hold_tag(ctx, image)?;
                unraid.update(ctx, was, template)
            }
            (Way::Swap(swap), _) => {
                let new = New {
                    name: &container.name,
                    reference: &self.fixed_reference(image),
                    image: &image.id,
                    version: self.version.as_str(),
                };
                swap.update(ctx, &new)
            }
            _ => Ok(()),
        }
    }

    /// What the operator's command is told.
    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("DEPLOYER_IMAGE_REF".to_owned(), self.reference.clone()),
            ("DEPLOYER_VERSION".to_owned(), self.version.to_string()),
        ];
        let sha = self.commits.asked.clone();
        variables.extend(sha.map(|sha| ("DEPLOYER_SHA".to_owned(), sha)));
        variables
    }
}
