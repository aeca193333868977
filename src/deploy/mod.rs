//! A deploy: pull an image, replace containers, wait until they are healthy.
//!
//! [`deploy()`] is the story; the first step that fails ends it, and what it has changed is put back by [`undo()`]. Up to
//! the tag nothing is touched that serves. What is changed is proved by looking at it afterwards; no tool's exit status is
//! proof. This folder trusts the settings and the shapes of an admitted request; it trusts no tool, no template and no
//! answer.

pub mod command;
pub mod docker;
pub mod health;
pub mod healthy;
mod image;
mod keep_previous;
mod live;
mod preflight;
mod provenance;
mod prune;
pub mod reference;
mod stability;
pub mod swap;
mod undo;
mod undo_record;
pub mod unraid;

use std::time::Duration;

use serde_json::Value;

use crate::config::{Backend, Config, Container, DeployConfig};
use crate::event::Phase;
use crate::failpoint;
use crate::gate::DeployTask;
use crate::limits::{
    ALREADY_DEADLINE, CLEANUP_DEADLINE, COSIGN_DEADLINE, HEALTH_MARGIN, PREFLIGHT_DEADLINE, TAG_DEADLINE,
    TEMPLATE_DEADLINE, UPDATE_MARGIN, VERIFY_DEADLINE,
};
use crate::queue::{Origin, RunRequest};
use crate::run::{Effect, Failure, Result, RunContext};
use command::Command;
use docker::Docker;
use docker::inspect::{Container as Seen, ImageId};
use health::Health;
use healthy::{HealthyVersions, Release};
use image::VerifiedImage;
use provenance::Commits;
use stability::HealthyContainer;
use swap::{NewContainer, Swap};
use undo_record::{ContainerRecord, OldContainer, OldState, UndoRecord};
use unraid::Unraid;

pub use preflight::{complaints, executable, refusal};
pub use undo::{UndoReason, Undone, mark_half_deployed, tidy, undo};

/// One deploy: what was asked for, and what it works with.
struct Deploy<'a> {
    config: &'a Config,
    settings: &'a DeployConfig,
    task: &'a DeployTask,
    docker: Docker<'a>,
    replacer: Replacer<'a>,
    commits: Commits,
    /// `image:version`.
    reference: String,
}

/// How containers are replaced.
#[derive(Clone, Copy, Debug)]
enum Replacer<'a> {
    Unraid(Unraid<'a>),
    Swap(Swap<'a>),
    Command(Command<'a>),
}

/// Carries out `task`, which is what `request` asks for.
///
/// # Errors
/// What kept it from being live; what it has changed is in the journal then, for [`undo()`].
pub fn deploy(ctx: &mut RunContext, request: &RunRequest, task: &DeployTask, config: &Config) -> Result {
    let deploy = &Deploy::new(request, task, config);
    let ran = ctx.step(Phase::Preflight, PREFLIGHT_DEADLINE, Effect::Looks, |ctx| {
        preflight::preflight(deploy, ctx)
    })?;
    if task.dry_run {
        return Ok(());
    }
    if let Replacer::Command(command) = deploy.replacer {
        return deploy.run_commands(ctx, command, &ran);
    }
    let image = deploy.bring_image(ctx)?;
    let is_live = !task.force
        && ctx.step(Phase::Verify, ALREADY_DEADLINE, Effect::Looks, |ctx| {
            live::is_live_already(deploy, ctx, &image)
        })?;
    if is_live {
        deploy.record_healthy(ctx, Some(&image));
        return Ok(());
    }
    if !config.deploy().rollback {
        deploy.record_half_deployed(Some(&image))?;
    }
    let mut healthy = Vec::new();
    for container in &config.deploy().containers {
        healthy.push(deploy.replace(ctx, &image, container)?);
    }
    let deadline = config.deploy().steady + HEALTH_MARGIN;
    deploy.change(ctx, Phase::Health, deadline, |ctx| {
        stability::wait_until_stable(deploy, ctx, &healthy)
    })?;
    ctx.commit();
    deploy.record_healthy(ctx, Some(&image));
    ctx.tidy(Phase::Cleanup, CLEANUP_DEADLINE, |ctx| {
        for container in &config.deploy().containers {
            keep_previous::remove_kept(deploy.docker, ctx, &container.name);
        }
        prune::remove_old_images(deploy, ctx, &image, &ran)
    });
    Ok(())
}

impl<'a> Deploy<'a> {
    fn new(request: &'a RunRequest, task: &'a DeployTask, config: &'a Config) -> Self {
        let settings = config.deploy();
        let docker = Docker::new(settings);
        let commits = Commits {
            asked: task.sha.as_ref().map(ToString::to_string),
            token: match &request.origin {
                Origin::Token { claims, .. } => claims.get("sha").and_then(Value::as_str).map(str::to_owned),
                Origin::Local { .. } => None,
            },
        };
        Self {
            config,
            settings,
            task,
            docker,
            replacer: Replacer::of(settings, docker),
            reference: format!("{}:{}", settings.image, task.version),
            commits,
        }
    }

    /// The image is brought here, and known from then on; `latest` names it.
    fn bring_image(&self, ctx: &mut RunContext) -> Result<VerifiedImage> {
        // A pull takes as long as it goes on.
        let pulled = ctx.step(Phase::Pull, self.config.runs.run_max, Effect::Looks, |ctx| {
            image::pull(self, ctx)
        })?;
        let mut image = ctx.step(Phase::Verify, VERIFY_DEADLINE, Effect::Looks, |ctx| {
            image::verify(self, ctx, pulled)
        })?;
        if let Some(cosign) = &self.settings.cosign {
            let signer = ctx.step(Phase::Verify, COSIGN_DEADLINE, Effect::Looks, |ctx| {
                provenance::check_signature(self, ctx, &image, cosign)
            })?;
            image.signed_by = Some(signer);
        }
        ctx.step(Phase::Tag, TAG_DEADLINE, Effect::Changes, |ctx| {
            image::tag(self, ctx, &image)
        })?;
        Ok(image)
    }

    /// One container becomes a new one that is healthy.
    fn replace(
        &self,
        ctx: &mut RunContext,
        image: &VerifiedImage,
        container: &Container,
    ) -> Result<HealthyContainer> {
        let name = &container.name;
        let update = self.settings.update_max_wait + UPDATE_MARGIN;
        match self.replacer {
            Replacer::Unraid(unraid) => {
                let (record, template) = self.change(ctx, Phase::Template, TEMPLATE_DEADLINE, |ctx| {
                    self.settle_kept(ctx, container, None)?;
                    let template = unraid.back_up(ctx, name, self.task.version.as_str())?;
                    let record = self.note_container(ctx, container, image, Some(template.clone()))?;
                    unraid.write_template(ctx, name, &template)?;
                    Ok((record, template))
                })?;
                self.change(ctx, Phase::Update, update, |ctx| {
                    image::keep_tag(self, ctx, Phase::Update, &image.id)?;
                    unraid.update(ctx, &record, &template)
                })?;
            }
            Replacer::Swap(swap) => self.change(ctx, Phase::Update, update, |ctx| {
                self.settle_kept(ctx, container, Some(&swap.restart(name)?))?;
                self.note_container(ctx, container, image, None)?;
                let new = NewContainer {
                    name,
                    reference: &image.fixed_reference,
                    image: &image.id,
                    version: self.task.version.as_str(),
                };
                swap.update(ctx, &new)
            })?,
            Replacer::Command(_) => {}
        }
        let deadline = self.settings.health_max_wait + HEALTH_MARGIN;
        self.change(ctx, Phase::Health, deadline, |ctx| {
            if let Some(health) = self.health(container) {
                health.wait(ctx)?;
                failpoint!("healthy");
            }
            stability::healthy_container(self, ctx, name)
        })
    }

    /// The operator's command does it all, but for the image where it is to be pulled.
    fn run_commands(&self, ctx: &mut RunContext, command: Command<'_>, ran: &[ImageId]) -> Result {
        let image = match command.pull {
            true => Some(self.bring_image(ctx)?),
            false => None,
        };
        // Nobody can put back what it does.
        self.record_half_deployed(image.as_ref())?;
        let mut variables = vec![
            ("DEPLOYER_IMAGE_REF".to_owned(), self.reference.clone()),
            ("DEPLOYER_VERSION".to_owned(), self.task.version.to_string()),
        ];
        let sha = self.task.sha.as_ref().map(ToString::to_string);
        variables.extend(sha.map(|sha| ("DEPLOYER_SHA".to_owned(), sha)));
        for container in &self.settings.containers {
            let update = self.settings.update_max_wait + UPDATE_MARGIN;
            self.change(ctx, Phase::Update, update, |ctx| {
                command.update(ctx, &container.name, &variables)
            })?;
            if let Some(health) = self.health(container) {
                let longest = self.settings.health_max_wait + HEALTH_MARGIN;
                self.change(ctx, Phase::Health, longest, |ctx| health.wait(ctx))?;
            }
        }
        ctx.commit();
        self.record_healthy(ctx, image.as_ref());
        if let Some(image) = image {
            ctx.tidy(Phase::Cleanup, CLEANUP_DEADLINE, |ctx| {
                prune::remove_old_images(self, ctx, &image, ran)
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
        act: impl FnOnce(&mut RunContext) -> Result<T>,
    ) -> Result<T> {
        ctx.step(phase, deadline, Effect::Changes, |ctx| {
            ctx.outcome_member("changed", true.into());
            act(ctx)
        })
    }

    /// Deals with what an earlier deploy has left, so that the container which has the name is the one to go back to.
    fn settle_kept(&self, ctx: &mut RunContext, container: &Container, restart: Option<&str>) -> Result {
        let name = &container.name;
        let Some(kept) = keep_previous::kept(self.docker, ctx, name, &self.settings.image)? else {
            return Ok(());
        };
        let serves = |now: &Seen| self.state(container, now) == OldState::Healthy;
        keep_previous::settle(self.docker, ctx, name, &kept, serves, restart)
    }

    /// Writes down what `container` is, with what it is made from; on disk when this returns.
    fn note_container(
        &self,
        ctx: &mut RunContext,
        container: &Container,
        image: &VerifiedImage,
        template: Option<undo_record::TemplateBackup>,
    ) -> Result<ContainerRecord> {
        let now = self.docker.container(ctx, &container.name)?;
        let record = ContainerRecord {
            name: container.name.clone(),
            old: now
                .filter(|now| !now.is_lost())
                .map(|now| OldContainer::of(&now, self.state(container, &now))),
            new_image: image.id.clone(),
            release: self.release(Some(image)),
            template,
        };
        UndoRecord::Container(record.clone()).write(ctx)?;
        failpoint!("container-noted");
        Ok(record)
    }

    /// How a container is now: what was not healthy cannot be expected to be afterwards.
    fn state(&self, container: &Container, now: &Seen) -> OldState {
        let health = self.health(container);
        match now.status() {
            "running" if health.is_some_and(|health| health.on_the_way_back().at_a_glance(now)) => {
                OldState::Healthy
            }
            "running" => OldState::Running,
            "restarting" => OldState::Restarting,
            "paused" => OldState::Paused,
            _ => OldState::Stopped,
        }
    }

    fn health<'b>(&'b self, container: &'b Container) -> Option<Health<'b>> {
        let docker = self.replacer.sees_containers().then_some(self.docker);
        Health::of(self.config, container, docker, self.task.version.as_str())
    }

    fn release(&self, image: Option<&VerifiedImage>) -> Release {
        Release {
            version: self.task.version.clone(),
            sha: self.task.sha.clone(),
            image: image.map(|image| image.id.clone()),
            digest: image.and_then(|image| image.digest.clone()),
            signed_by: image.and_then(|image| image.signed_by.clone()),
        }
    }

    /// Writes down that this version is live and healthy. That it cannot be written fails nothing that is done.
    fn record_healthy(&self, ctx: &mut RunContext, image: Option<&VerifiedImage>) {
        let (places, keep) = (&self.config.places, self.config.runs.keep);
        let recorded = HealthyVersions::record(places, self.release(image), ctx.run_id(), keep);
        if let Err(why) = recorded {
            ctx.say(Phase::Cleanup, &format!("warning: {why}"));
        }
    }

    fn record_half_deployed(&self, image: Option<&VerifiedImage>) -> Result {
        HealthyVersions::record_half_deployed(&self.config.places, &self.release(image))
            .map_err(Failure::Failed)
    }
}

impl<'a> Replacer<'a> {
    fn of(config: &'a DeployConfig, docker: Docker<'a>) -> Self {
        match &config.backend {
            Backend::Unraid {
                templates,
                update_container,
            } => Replacer::Unraid(Unraid {
                config,
                docker,
                templates,
                script: update_container,
            }),
            Backend::Docker { declarations } => Replacer::Swap(Swap { docker, declarations }),
            Backend::Command { program, pull } => Replacer::Command(Command {
                program,
                environment: &config.environment,
                deadline: config.update_max_wait,
                pull: *pull,
            }),
        }
    }

    fn pulls(&self) -> bool {
        !matches!(self, Replacer::Command(Command { pull: false, .. }))
    }

    /// Not with the operator's command: what it replaces need not be a container at all.
    fn sees_containers(&self) -> bool {
        !matches!(self, Replacer::Command(_))
    }
}
