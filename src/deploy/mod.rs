//! The steps of a deploy: pull an image, replace containers, wait until they are healthy.
//!
//! [`plan`] is the story, as a list; a run takes the steps one after another and stops at the first failure. Up to the
//! tag nothing is touched that serves. What is changed is proved by looking at it afterwards; no tool's exit status is
//! proof. This folder trusts the settings and the shapes of an admitted request; it trusts no tool, no template and no
//! answer.

pub mod command;
pub mod docker;
pub mod health;
mod preflight;
pub mod reference;
pub mod swap;
pub mod unraid;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::config::{Backend, Config, Container};
use crate::event::Phase;
use crate::limits::{
    DOCKER_QUICK, PREFLIGHT_DEADLINE, PROBE_DEADLINE, PULL_DEADLINE, UPDATE_DEADLINE,
};
use crate::run::{Ask, Failure, Plan, Stage, Step};
use command::Command;
use docker::Docker;
use docker::seen::ImageId;
use health::Health;
use swap::{New, Swap};
use unraid::Unraid;

pub use preflight::complaints;

/// One deploy: what was asked for, and what the steps have found out so far.
struct Deploy<'a> {
    config: &'a Config,
    docker: Docker<'a>,
    version: &'a str,
    sha: Option<&'a str>,
    /// `image:version`.
    reference: String,
    /// The digest that the registry named.
    digest: OnceCell<String>,
    /// What `reference` is on this host, once that is known; from then on only this id counts.
    image: OnceCell<ImageId>,
}

/// The steps that carry out `ask`.
pub fn plan<'a>(ask: &'a Ask, config: &'a Config) -> Plan<'a> {
    let Ask::Deploy { version, sha, dry_run } = ask;
    let deploy = Rc::new(Deploy::new(&version.0, sha.as_ref().map(|sha| sha.0.as_str()), config));
    let mut plan = Plan::default();
    plan.steps.push(step(Step::looks, Phase::Preflight, PREFLIGHT_DEADLINE, &deploy, Deploy::preflight));
    if *dry_run {
        plan.more.insert("dry_run".into(), Value::Bool(true));
        return plan;
    }
    if deploy.pulls() {
        plan.steps.push(step(Step::looks, Phase::Pull, PULL_DEADLINE, &deploy, Deploy::pull));
        plan.steps.push(step(Step::looks, Phase::Verify, DOCKER_QUICK, &deploy, Deploy::verify));
        plan.steps.push(step(Step::changes, Phase::Tag, DOCKER_QUICK, &deploy, Deploy::tag));
    }
    for container in &config.deploy.containers {
        deploy.replace(container, &mut plan);
    }
    if let Backend::Docker { .. } = config.deploy.backend {
        plan.steps.push(step(Step::changes, Phase::Cleanup, UPDATE_DEADLINE, &deploy, Deploy::clean_up));
    }
    plan
}
