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
mod preflight;
mod prune;
pub mod reference;
pub mod swap;
mod undo;
mod undo_record;
pub mod unraid;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::config::{Backend, Config, Container};
use crate::event::Phase;
use crate::failpoint;
use crate::gate::DeployTask;
use crate::limits::{
    ALREADY_DEADLINE, CLEANUP_DEADLINE, COSIGN_DEADLINE, DOCKER_QUICK, HEALTH_MARGIN, PREFLIGHT_DEADLINE,
    TEMPLATE_DEADLINE, UPDATE_MARGIN,
};
use crate::queue::{Origin, RunRequest};
use crate::run::{Result, RunContext};
use docker::{Container as Seen, ImageId};
use health::Health;
use healthy::{HealthyVersions, Release};
use image::VerifiedImage;
use swap::NewContainer;
use undo_record::{ContainerRecord, OldContainer, TemplateBackup, UndoRecord};

pub use preflight::{complaints, executable, refusal};
pub use undo::{UndoReason, Undone, mark_half_deployed, tidy, undo};

/// What was asked for.
struct Deploy<'a> {
    task: &'a DeployTask,
    /// The commit of the CI job that asks. Somebody on the host has none.
    token_sha: Option<&'a str>,
    /// `image:version`.
    reference: String,
}

/// Carries out `task`, which is what `request` asks for.
///
/// # Errors
/// What kept it from being live; what it has changed is in the journal then, for [`undo()`].
pub fn deploy(ctx: &mut RunContext, request: &RunRequest, task: &DeployTask) -> Result {
    let settings = ctx.config.deploy();
    let deploy = &Deploy {
        task,
        token_sha: match &request.origin {
            Origin::Token { claims, .. } => claims.get("sha").and_then(Value::as_str),
            Origin::Local { .. } => None,
        },
        reference: format!("{}:{}", settings.image, task.version),
    };
    ctx.begin(Phase::Preflight, PREFLIGHT_DEADLINE)?;
    let ran = preflight::preflight(deploy, ctx)?;
    if task.dry_run {
        return Ok(());
    }
    if let Backend::Command { program, pull } = &settings.backend {
        return deploy.run_commands(ctx, program, *pull, &ran);
    }
    let image = deploy.bring_image(ctx)?;
    if !task.force {
        ctx.begin(Phase::Verify, ALREADY_DEADLINE)?;
        if preflight::is_live_already(deploy, ctx, &image.id)? {
            record_healthy(ctx, image.release);
            return Ok(());
        }
    }
    if !settings.rollback {
        HealthyVersions::record_half_deployed(&ctx.config.places, &image.release)?;
    }
    let mut healthy = Vec::new();
    for container in &settings.containers {
        healthy.push(deploy.replace(ctx, &image, container)?);
    }
    begin_replacing(ctx, Phase::Health, settings.steady + HEALTH_MARGIN)?;
    health::wait_until_stable(ctx, &healthy)?;
    ctx.commit();
    record_healthy(ctx, image.release);
    ctx.tidy(Phase::Cleanup, CLEANUP_DEADLINE, |ctx| {
        for container in &settings.containers {
            keep_previous::remove_kept(ctx, &container.name);
        }
        prune::remove_old_images(ctx, &image.id, &ran)
    });
    Ok(())
}

impl Deploy<'_> {
    /// The image is brought here, and known from then on; `latest` names it.
    fn bring_image(&self, ctx: &mut RunContext) -> Result<VerifiedImage> {
        let config = ctx.config;
        // A pull takes as long as it goes on.
        ctx.begin(Phase::Pull, config.runs.run_max)?;
        let pulled = image::pull(self, ctx)?;
        ctx.begin(Phase::Verify, DOCKER_QUICK)?;
        let mut image = image::verify(self, ctx, pulled)?;
        if let Some(cosign) = &config.deploy().cosign {
            ctx.begin(Phase::Verify, COSIGN_DEADLINE)?;
            let signer = image::check_signature(self, ctx, &image, cosign)?;
            image.release.signed_by = Some(signer);
        }
        ctx.begin_change(Phase::Tag, DOCKER_QUICK)?;
        image::tag(self, ctx, &image.id)?;
        Ok(image)
    }

    /// One container becomes a new one that is healthy; how it is then, and since when.
    fn replace(
        &self,
        ctx: &mut RunContext,
        image: &VerifiedImage,
        container: &Container,
    ) -> Result<(Seen, Instant)> {
        let (settings, name) = (ctx.config.deploy(), &container.name);
        let update = settings.update_max_wait + UPDATE_MARGIN;
        match &settings.backend {
            Backend::Unraid { templates, script } => {
                begin_replacing(ctx, Phase::Template, TEMPLATE_DEADLINE)?;
                keep_previous::settle(ctx, container, None)?;
                let (found, _) = unraid::find(ctx, templates, name)?;
                let template = TemplateBackup {
                    path: found.path,
                    text: found.text,
                    new_reference: self.reference.clone(),
                };
                let record = note_container(ctx, container, image, Some(template.clone()))?;
                unraid::write_template(ctx, name, &template)?;
                begin_replacing(ctx, Phase::Update, update)?;
                image::keep_tag(self, ctx, &image.id)?;
                unraid::update(ctx, script, &record)?;
            }
            Backend::Docker { declarations } => {
                begin_replacing(ctx, Phase::Update, update)?;
                let declared = swap::declared(declarations, name)?;
                keep_previous::settle(ctx, container, Some(&declared.restart))?;
                note_container(ctx, container, image, None)?;
                let new = NewContainer {
                    name,
                    reference: &image.fixed_reference,
                    image: &image.id,
                    version: self.task.version.as_str(),
                };
                swap::update(ctx, &declared, &new)?;
            }
            Backend::Command { .. } => {}
        }
        self.wait_until_healthy(ctx, container)?;
        failpoint!("healthy");
        let now = docker::container(ctx, name)?;
        let now = now.ok_or_else(|| format!("{name}: was healthy and is gone"))?;
        Ok((now, Instant::now()))
    }

    fn wait_until_healthy(&self, ctx: &mut RunContext, container: &Container) -> Result {
        let config = ctx.config;
        if let Some(health) = Health::of(config, container, Some(&self.task.version)) {
            begin_replacing(
                ctx,
                Phase::Health,
                config.deploy().health_max_wait + HEALTH_MARGIN,
            )?;
            health.wait(ctx)?;
        }
        Ok(())
    }

    /// The operator's command does it all, but for the image where it is to be pulled.
    fn run_commands(&self, ctx: &mut RunContext, program: &Path, pull: bool, ran: &[ImageId]) -> Result {
        let settings = ctx.config.deploy();
        let image = match pull {
            true => Some(self.bring_image(ctx)?),
            false => None,
        };
        let release = image.as_ref().map(|image| image.release.clone());
        let release = release.unwrap_or_else(|| self.release(None));
        // Nobody can put back what it does.
        HealthyVersions::record_half_deployed(&ctx.config.places, &release)?;
        let variables = [
            ("DEPLOYER_IMAGE_REF", Some(self.reference.clone())),
            ("DEPLOYER_VERSION", Some(self.task.version.to_string())),
            ("DEPLOYER_SHA", self.task.sha.as_ref().map(ToString::to_string)),
        ];
        let set = variables
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let variables: Vec<_> = set.collect();
        for container in &settings.containers {
            begin_replacing(ctx, Phase::Update, settings.update_max_wait + UPDATE_MARGIN)?;
            command::update(ctx, program, &container.name, &variables)?;
            self.wait_until_healthy(ctx, container)?;
        }
        ctx.commit();
        record_healthy(ctx, release);
        if let Some(image) = image {
            ctx.tidy(Phase::Cleanup, CLEANUP_DEADLINE, |ctx| {
                prune::remove_old_images(ctx, &image.id, ran)
            });
        }
        Ok(())
    }

    /// What it brings, as far as that is known before it is here.
    fn release(&self, digest: Option<String>) -> Release {
        Release {
            version: self.task.version.clone(),
            sha: self.task.sha.clone(),
            image: None,
            digest,
            signed_by: None,
        }
    }
}

/// Begins a step that changes what serves; the outcome says so.
fn begin_replacing(ctx: &mut RunContext, phase: Phase, deadline: Duration) -> Result {
    ctx.begin_change(phase, deadline)?;
    ctx.outcome_member("changed", true.into());
    Ok(())
}

/// Writes down what `container` is, with what it is made from; on disk when this returns.
fn note_container(
    ctx: &mut RunContext,
    container: &Container,
    image: &VerifiedImage,
    template: Option<TemplateBackup>,
) -> Result<ContainerRecord> {
    let name = &container.name;
    let old = docker::container(ctx, name)?.filter(|old| !old.is_lost());
    let record = ContainerRecord {
        name: name.clone(),
        old: old.map(|old| OldContainer {
            was_healthy: is_healthy(ctx.config, container, &old),
            status: old.status().to_owned(),
            reference: old.reference().to_owned(),
            restart: old.restart_policy(),
            networks: old.networks(),
            id: old.id,
            image: old.image,
        }),
        new_image: image.id.clone(),
        release: image.release.clone(),
        template,
    };
    UndoRecord::Container(record.clone()).write(ctx)?;
    failpoint!("container-noted");
    Ok(record)
}

/// Whether a container is healthy now, whatever its version.
fn is_healthy(config: &Config, container: &Container, now: &Seen) -> bool {
    let health = Health::of(config, container, None);
    now.is_running() && health.is_some_and(|health| health.at_a_glance(now))
}

/// Writes down that this version is live and healthy. That it cannot be written fails nothing that is done.
fn record_healthy(ctx: &mut RunContext, release: Release) {
    let (places, keep) = (&ctx.config.places, ctx.config.runs.keep);
    if let Err(why) = HealthyVersions::record(places, release, ctx.run_id(), keep) {
        ctx.say(Phase::Cleanup, &format!("warning: {why}"));
    }
}
