//! The steps of a deploy: pull an image, replace containers, wait until they are healthy.
//!
//! [`plan`] is the story, as a list; a run takes the steps one after another and stops at the first failure. Up to the
//! tag nothing is touched that serves. What is changed is proved by looking at it afterwards; no tool's exit status is
//! proof. This folder trusts the settings and the shapes of an admitted request; it trusts no tool, no template and no
//! answer.

pub mod aside;
pub mod before;
pub mod command;
pub mod docker;
pub mod health;
mod hold;
mod note;
mod preflight;
pub mod reference;
pub mod swap;
mod undo;
pub mod unraid;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Backend, Config, Container, DeployConfig};
use crate::event::Phase;
use crate::failpoint;
use crate::gate::Ask;
use crate::limits::{
    CLEANUP_DEADLINE, HEALTH_MARGIN, PREFLIGHT_DEADLINE, PULL_STEP_DEADLINE, TAG_DEADLINE, TEMPLATE_DEADLINE,
    UPDATE_MARGIN, VERIFY_DEADLINE,
};
use crate::run::{Failure, Plan, Stage, Step};
use before::{Before, Was};
use command::Command;
use docker::Docker;
use docker::seen::ImageId;
use health::Health;
use swap::{New, Swap};
use unraid::Unraid;

pub use preflight::{complaints, executable};
pub use undo::{tidy, undo};

/// One deploy: what was asked for, and what the steps have found out so far.
struct Deploy<'a> {
    config: &'a Config,
    docker: Docker<'a>,
    way: Way<'a>,
    version: String,
    sha: Option<String>,
    /// `image:version`.
    reference: String,
    /// The digest that the registry named.
    digest: OnceCell<String>,
    /// What `reference` is on this host, once that is known; from then on only this id counts.
    image: OnceCell<ImageId>,
    /// What the journal says of each container.
    noted: RefCell<BTreeMap<String, Rc<Was>>>,
    /// The containers that are healthy, as they were when they became so.
    healthy: RefCell<Vec<hold::Healthy>>,
}

/// How containers are replaced.
#[derive(Clone, Copy, Debug)]
enum Way<'a> {
    Unraid(Unraid<'a>),
    Swap(Swap<'a>),
    Command(Command<'a>),
}

/// The steps that carry out `ask`, in order.
pub fn plan<'a>(ask: &Ask, config: &'a Config) -> Plan<'a> {
    let Ask::Deploy {
        version,
        sha,
        dry_run,
    } = ask;
    let sha = sha.as_ref().map(ToString::to_string);
    let deploy = Rc::new(Deploy::new(version.to_string(), sha, config));
    let mut plan = Plan::default();
    plan.steps
        .push(deploy.looks(Phase::Preflight, PREFLIGHT_DEADLINE, Deploy::preflight));
    if *dry_run {
        plan.more.insert("dry_run".into(), Value::Bool(true));
        return plan;
    }
    if deploy.way.pulls() {
        plan.steps
            .push(deploy.looks(Phase::Pull, PULL_STEP_DEADLINE, Deploy::pull));
        plan.steps
            .push(deploy.looks(Phase::Verify, VERIFY_DEADLINE, Deploy::verify));
        plan.steps
            .push(deploy.changes(Phase::Tag, TAG_DEADLINE, Deploy::tag));
    }
    let update = config.deploy.update_max_wait + UPDATE_MARGIN;
    for container in &config.deploy.containers {
        if let Way::Unraid(_) = deploy.way {
            plan.steps.push(deploy.changes_one(
                Phase::Template,
                TEMPLATE_DEADLINE,
                container,
                Deploy::template,
            ));
        }
        plan.steps
            .push(deploy.changes_one(Phase::Update, update, container, Deploy::update));
        if deploy.health(container).is_some() {
            let deadline = config.deploy.health.max_wait + HEALTH_MARGIN;
            plan.steps
                .push(deploy.changes_one(Phase::Health, deadline, container, Deploy::wait_for_health));
        }
    }
    if !matches!(deploy.way, Way::Command(_)) {
        let deadline = config.deploy.health.steady + HEALTH_MARGIN;
        plan.steps
            .push(deploy.changes(Phase::Health, deadline, Deploy::hold));
        plan.steps.push(deploy.tidies());
    }
    plan
}

/// Making steps.
impl<'a> Deploy<'a> {
    fn new(version: String, sha: Option<String>, config: &'a Config) -> Self {
        let docker = Docker::new(&config.deploy);
        Self {
            config,
            docker,
            way: Way::of(&config.deploy, docker),
            reference: format!("{}:{version}", config.deploy.image),
            version,
            sha,
            digest: OnceCell::new(),
            image: OnceCell::new(),
            noted: RefCell::default(),
            healthy: RefCell::default(),
        }
    }

    fn looks(
        self: &Rc<Self>,
        phase: Phase,
        deadline: Duration,
        act: impl Fn(&Self, &mut Stage) -> Result<(), Failure> + 'a,
    ) -> Step<'a> {
        let deploy = Rc::clone(self);
        Step::looks(phase, deadline, move |stage| act(&deploy, stage))
    }

    fn changes(
        self: &Rc<Self>,
        phase: Phase,
        deadline: Duration,
        act: impl Fn(&Self, &mut Stage) -> Result<(), Failure> + 'a,
    ) -> Step<'a> {
        let deploy = Rc::clone(self);
        Step::changes(phase, deadline, move |stage| act(&deploy, stage))
    }

    fn tidies(self: &Rc<Self>) -> Step<'a> {
        let deploy = Rc::clone(self);
        Step::tidies(Phase::Cleanup, CLEANUP_DEADLINE, move |stage| {
            deploy.clean_up(stage)
        })
    }

    fn changes_one(
        self: &Rc<Self>,
        phase: Phase,
        deadline: Duration,
        container: &'a Container,
        act: impl Fn(&Self, &mut Stage, &Container) -> Result<(), Failure> + 'a,
    ) -> Step<'a> {
        self.changes(phase, deadline, move |deploy, stage| {
            act(deploy, stage, container)
        })
    }

    fn health<'b>(&'b self, container: &'b Container) -> Option<Health<'b>> {
        let docker = match self.way {
            // What the command replaces need not be a container at all.
            Way::Command(_) => None,
            _ => Some(self.docker),
        };
        Health::of(self.config, container, docker, &self.version)
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
}

/// Taking steps.
impl Deploy<'_> {
    fn pull(&self, stage: &mut Stage) -> Result<(), Failure> {
        stage.say(Phase::Pull, &format!("pull {}", self.reference));
        if let Some(digest) = self.docker.pull(stage, &self.reference)? {
            let _ = self.digest.set(digest);
        }
        Ok(())
    }

    /// What is on this host now must be what the registry just named: another pull may have moved the tag meanwhile.
    fn verify(&self, stage: &mut Stage) -> Result<(), Failure> {
        let reference = &self.reference;
        let Some(image) = self.docker.image(stage, reference)? else {
            let sentence =
                format!("{reference} was pulled and is not on this host: was it removed just now?");
            return Err(Failure::Failed(sentence));
        };
        if let Some(digest) = self.digest.get().filter(|digest| !image.has_digest(digest)) {
            return Err(Failure::Failed(format!(
                "{reference} is another image than the pulled {digest}: something else moved the tag; try again"
            )));
        }
        stage.say(Phase::Verify, &format!("{reference} is image {}", image.id));
        if let Some(warning) = revision_warning(image.revision(), self.sha.as_deref()) {
            stage.say(Phase::Verify, &warning);
        }
        stage.outcome_member("image", image.id.as_str().into());
        if let Some(digest) = self.digest.get() {
            stage.outcome_member("digest", digest.as_str().into());
        }
        let _ = self.image.set(image.id);
        Ok(())
    }

    fn tag(&self, stage: &mut Stage) -> Result<(), Failure> {
        let latest = format!("{}:latest", self.config.deploy.image);
        let image = self.image()?;
        let was = self.docker.image(stage, &latest)?.map(|image| image.id);
        if was.as_ref() != Some(image) {
            let (reference, becomes) = (latest.clone(), image.clone());
            let tag = before::Tag {
                reference,
                was,
                becomes,
            };
            stage.note(Before::Tag(tag).entry().map_err(Failure::Failed)?)?;
            failpoint!("tag-noted");
            self.docker.tag(stage, image, &latest)?;
            failpoint!("tagged");
        }
        stage.say(Phase::Tag, &format!("{latest} is image {image} now"));
        Ok(())
    }

    fn template(&self, stage: &mut Stage, container: &Container) -> Result<(), Failure> {
        let Way::Unraid(unraid) = self.way else {
            return Ok(());
        };
        let was = self.note(stage, container)?;
        match &was.template {
            Some(sheet) => unraid.write_template(stage, &container.name, sheet),
            None => Ok(()),
        }
    }

    fn update(&self, stage: &mut Stage, container: &Container) -> Result<(), Failure> {
        let name = &container.name;
        if let Way::Command(command) = self.way {
            return command.update(stage, name, &self.variables());
        }
        let (was, image) = (self.note(stage, container)?, self.image()?);
        match (self.way, &was.template) {
            (Way::Unraid(unraid), Some(template)) => unraid.update(stage, &was, template),
            (Way::Swap(swap), _) => {
                let new = New {
                    name,
                    reference: &self.reference,
                    image,
                    version: &self.version,
                };
                swap.update(stage, &new)
            }
            _ => Ok(()),
        }
    }

    fn wait_for_health(&self, stage: &mut Stage, container: &Container) -> Result<(), Failure> {
        let Some(health) = self.health(container) else {
            return Ok(());
        };
        health.wait(stage)?;
        failpoint!("healthy");
        self.watch(stage, container)
    }

    fn clean_up(&self, stage: &mut Stage) -> Result<(), Failure> {
        let containers = self.config.deploy.containers.iter();
        containers.for_each(|container| aside::clean_up(self.docker, stage, &container.name));
        Ok(())
    }

    /// What was pulled and verified.
    fn image(&self) -> Result<&ImageId, Failure> {
        let known = self.image.get();
        known.ok_or_else(|| Failure::failed("no image was verified: the steps are in the wrong order"))
    }

    /// What the operator's command is told.
    fn variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("DEPLOYER_IMAGE_REF".to_owned(), self.reference.clone()),
            ("DEPLOYER_VERSION".to_owned(), self.version.clone()),
        ];
        variables.extend(self.sha.clone().map(|sha| ("DEPLOYER_SHA".to_owned(), sha)));
        variables
    }
}

/// An image may carry the label of its base image, so another commit is worth a word and no refusal.
fn revision_warning(label: Option<&str>, asked: Option<&str>) -> Option<String> {
    let (label, asked) = (label?, asked?);
    (!label.starts_with(asked) && !asked.starts_with(label)).then(|| {
        format!("warning: the image's label org.opencontainers.image.revision says {label}, the request says {asked}")
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
