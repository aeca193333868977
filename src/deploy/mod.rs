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

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
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
use crate::run::step::act_of;
use crate::run::{Failure, Origin, Plan, RunContext, RunId, RunRequest, Step};
use before::{Before, Was};
use command::Command;
use docker::Docker;
use docker::inspect::ImageId;
use health::Health;
use origin::Commits;
use swap::{New, Swap};
use unraid::Unraid;

pub use preflight::{complaints, executable, refusal};
pub use undo::{tidy, undo};

/// One deploy: what was asked for, and what the steps have found out so far.
struct Deploy<'a> {
    config: &'a Config,
    docker: Docker<'a>,
    way: Way<'a>,
    run_id: &'a RunId,
    version: Version,
    commits: Commits,
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
    /// What the containers ran when the run began: an image that may be gone back to.
    before: RefCell<Vec<ImageId>>,
}

/// How containers are replaced.
#[derive(Clone, Copy, Debug)]
enum Way<'a> {
    Unraid(Unraid<'a>),
    Swap(Swap<'a>),
    Command(Command<'a>),
}

/// The steps that carry out `ask`, which is what `order` orders, in order.
pub fn plan<'a>(order: &'a RunRequest, task: &'a DeployTask, config: &'a Config) -> Plan<'a> {
    let deploy = Rc::new(Deploy::new(order, task, config));
    let mut plan = Plan::default();
    plan.steps
        .push(deploy.looks(Phase::Preflight, PREFLIGHT_DEADLINE, Deploy::preflight));
    if task.dry_run {
        plan.more.insert("dry_run".into(), Value::Bool(true));
        return plan;
    }
    if deploy.way.pulls() {
        plan.steps.extend(deploy.fetching());
    }
    if deploy.way.sees_containers() && !task.force {
        plan.steps
            .push(deploy.looks(Phase::Verify, ALREADY_DEADLINE, Deploy::already_there));
    }
    for container in &config.deploy().containers {
        plan.steps.extend(deploy.replacing(container));
    }
    if deploy.way.sees_containers() {
        let deadline = config.deploy().health.steady + HEALTH_MARGIN;
        plan.steps
            .push(deploy.changes(Phase::Health, deadline, Deploy::hold));
    }
    if deploy.way.pulls() {
        plan.steps.push(deploy.tidies());
    }
    plan
}

/// Parts of the plan.
impl<'a> Deploy<'a> {
    /// The image is brought here, and known from then on.
    fn fetching(self: &Rc<Self>) -> Vec<Step<'a>> {
        let mut steps = vec![
            self.looks(Phase::Pull, PULL_STEP_DEADLINE, Deploy::pull),
            self.looks(Phase::Verify, VERIFY_DEADLINE, Deploy::verify),
        ];
        if let Some(cosign) = &self.config.deploy().checks.cosign {
            steps.push(self.looks(Phase::Verify, COSIGN_DEADLINE, move |deploy, ctx| {
                deploy.check_signature(ctx, cosign)
            }));
        }
        steps.push(self.changes(Phase::Tag, TAG_DEADLINE, Deploy::tag));
        steps
    }

    /// One container becomes a new one that is healthy.
    fn replacing(self: &Rc<Self>, container: &'a Container) -> Vec<Step<'a>> {
        let mut steps = Vec::new();
        if let Way::Unraid(_) = self.way {
            steps.push(self.changes_one(Phase::Template, TEMPLATE_DEADLINE, container, Deploy::template));
        }
        let update = self.config.deploy().update_max_wait + UPDATE_MARGIN;
        steps.push(self.changes_one(Phase::Update, update, container, Deploy::update));
        if self.health(container).is_some() {
            let deadline = self.config.deploy().health.max_wait + HEALTH_MARGIN;
            steps.push(self.changes_one(Phase::Health, deadline, container, Deploy::wait_for_health));
        }
        steps
    }
}

/// Making steps.
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
            digest: OnceCell::new(),
            image: OnceCell::new(),
            noted: RefCell::default(),
            healthy: RefCell::default(),
            before: RefCell::default(),
        }
    }

    fn looks(
        self: &Rc<Self>,
        phase: Phase,
        deadline: Duration,
        act: impl Fn(&Self, &mut RunContext) -> Result<(), Failure> + 'a,
    ) -> Step<'a> {
        Step::looks(phase, deadline, act_of(self, act))
    }

    fn changes(
        self: &Rc<Self>,
        phase: Phase,
        deadline: Duration,
        act: impl Fn(&Self, &mut RunContext) -> Result<(), Failure> + 'a,
    ) -> Step<'a> {
        Step::changes(phase, deadline, act_of(self, act))
    }

    fn tidies(self: &Rc<Self>) -> Step<'a> {
        Step::tidies(Phase::Cleanup, CLEANUP_DEADLINE, act_of(self, Deploy::clean_up))
    }

    fn changes_one(
        self: &Rc<Self>,
        phase: Phase,
        deadline: Duration,
        container: &'a Container,
        act: impl Fn(&Self, &mut RunContext, &Container) -> Result<(), Failure> + 'a,
    ) -> Step<'a> {
        self.changes(phase, deadline, move |deploy, ctx| {
            ctx.outcome_member("changed", true.into());
            act(deploy, ctx, container)
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

/// Taking steps.
impl Deploy<'_> {
    fn tag(&self, ctx: &mut RunContext) -> Result<(), Failure> {
        let latest = format!("{}:latest", self.config.deploy().image);
        let image = self.image()?;
        let was = self.docker.image(ctx, &latest)?.map(|image| image.id);
        if was.as_ref() != Some(image) {
            let (reference, becomes) = (latest.clone(), image.clone());
            let tag = before::Tag {
                reference,
                was,
                becomes,
            };
            ctx.note(Before::Tag(tag).entry().map_err(Failure::Failed)?)?;
            failpoint!("tag-noted");
            self.docker.tag(ctx, image, &latest)?;
            failpoint!("tagged");
        }
        ctx.say(Phase::Tag, &format!("{latest} is image {image} now"));
        Ok(())
    }

    fn template(&self, ctx: &mut RunContext, container: &Container) -> Result<(), Failure> {
        let Way::Unraid(unraid) = self.way else {
            return Ok(());
        };
        let was = self.note(ctx, container)?;
        match &was.template {
            Some(sheet) => unraid.write_template(ctx, &container.name, sheet),
            None => Ok(()),
        }
    }

    fn update(&self, ctx: &mut RunContext, container: &Container) -> Result<(), Failure> {
        let name = &container.name;
        if let Way::Command(command) = self.way {
            return command.update(ctx, name, &self.variables());
        }
        let was = self.note(ctx, container)?;
        match (self.way, &was.template) {
            (Way::Unraid(unraid), Some(template)) => {
                self.hold_tag(ctx)?;
                unraid.update(ctx, &was, template)
            }
            (Way::Swap(swap), _) => {
                let new = New {
                    name,
                    reference: &self.fixed_reference()?,
                    image: self.image()?,
                    version: self.version.as_str(),
                };
                swap.update(ctx, &new)
            }
            _ => Ok(()),
        }
    }

    fn wait_for_health(&self, ctx: &mut RunContext, container: &Container) -> Result<(), Failure> {
        let Some(health) = self.health(container) else {
            return Ok(());
        };
        health.wait(ctx)?;
        failpoint!("healthy");
        self.watch(ctx, container)
    }

    fn clean_up(&self, ctx: &mut RunContext) -> Result<(), Failure> {
        if self.way.sees_containers() {
            let containers = self.config.deploy().containers.iter();
            containers.for_each(|container| aside::clean_up(self.docker, ctx, &container.name));
        }
        self.remove_old_images(ctx)
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

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
