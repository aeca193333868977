//! What can be checked without changing anything: the first step of each deploy, all of a dry run, and part of `check`.
//!
//! A fault that is found here costs nothing; the same one found after the old container was stopped costs an outage.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::docker::inspect::ImageId;
use super::docker::login;
use super::{Deploy, Replacer, keep_previous, swap};
use crate::config::{Backend, Config, Container};
use crate::event::Phase;
use crate::run::{Failure, Result, RunContext};

/// What is wrong with the files that deploys need, without asking docker: a sentence each. For the start of the daemon
/// and for `check`.
pub fn complaints(config: &Config) -> Vec<String> {
    let containers = &config.deploy().containers;
    let mut found: Vec<String> = match &config.deploy().backend {
        Backend::Unraid { update_container, .. } => {
            let mut found: Vec<String> = executable(update_container).err().into_iter().collect();
            found.extend(names_of_ours(containers, &[keep_previous::previous]));
            found
        }
        Backend::Docker { declarations } => {
            let mut found = swap::mistakes(declarations, containers);
            found.extend(names_of_ours(containers, &[swap::next, keep_previous::previous]));
            found
        }
        Backend::Command { program, .. } => executable(program).err().into_iter().collect(),
    };
    let cosign = config.deploy().cosign.as_ref();
    found.extend(cosign.and_then(|cosign| executable(&cosign.program).err()));
    found.extend(refusal(config));
    found
}

/// What keeps the daemon from starting at all: a secret that others may read has to be taken for known.
pub fn refusal(config: &Config) -> Option<String> {
    login::complaint(config.deploy().login.as_ref())
}

/// Containers that have a name which a deploy gives to a container of its own.
fn names_of_ours(containers: &[Container], ours: &[fn(&str) -> String]) -> Vec<String> {
    let mut found = Vec::new();
    for container in containers {
        for name in ours.iter().map(|name| name(&container.name)) {
            if containers.iter().any(|other| other.name == name) {
                found.push(format!(
                    "DEPLOYER_CONTAINERS: {name} is the name that a deploy of {} gives to a container of its own",
                    container.name
                ));
            }
        }
    }
    found
}

/// Everything that can be checked, for every container; all that is wrong is said, the first of it is the
/// failure. The images that they run: what may be gone back to.
pub(super) fn preflight(deploy: &Deploy<'_>, ctx: &mut RunContext) -> Result<Vec<ImageId>> {
    let complaints = complaints(deploy.config);
    if !complaints.is_empty() {
        return Err(Failure::Failed(complaints.join("; ")));
    }
    if deploy.replacer.pulls() {
        let version = deploy.docker.server_version(ctx)?;
        ctx.say(Phase::Preflight, &format!("docker {version} answers"));
        super::image::check_free_space(deploy, ctx)?;
    }
    let (mut first, mut ran) = (None, Vec::new());
    for container in &deploy.settings.containers {
        match look_at(deploy, ctx, &container.name) {
            Ok(image) => ran.extend(image),
            Err(Failure::Failed(sentence)) => {
                ctx.say(Phase::Preflight, &sentence);
                first.get_or_insert(Failure::Failed(sentence));
            }
            Err(ended) => return Err(ended),
        }
    }
    first.map_or(Ok(ran), Err)
}

/// Everything about one container, without changing it; the image that it runs.
fn look_at(deploy: &Deploy<'_>, ctx: &mut RunContext, name: &str) -> Result<Option<ImageId>> {
    if let Replacer::Command(command) = deploy.replacer {
        let program = command.program.display();
        ctx.say(Phase::Preflight, &format!("{name}: {program} can be executed"));
        return Ok(None);
    }
    let now = deploy.docker.container(ctx, name)?;
    let runs = now.as_ref().map_or("is not there yet".to_owned(), |now| {
        format!("is {}, image {} ({})", now.describe(), now.image, now.reference())
    });
    ctx.say(Phase::Preflight, &format!("{name}: {runs}"));
    keep_previous::kept(deploy.docker, ctx, name, &deploy.settings.image)?;
    super::live::check_order(deploy, ctx, name, now.as_ref())?;
    match deploy.replacer {
        Replacer::Unraid(unraid) => unraid.check_template(ctx, name)?,
        Replacer::Swap(swap) => swap.check(ctx, name, now.as_ref())?,
        Replacer::Command(_) => {}
    }
    Ok(now.map(|now| now.image))
}

/// Whether `path` can be executed by root.
///
/// # Errors
/// A sentence that says why not, and what to do.
pub fn executable(path: &Path) -> Result<(), String> {
    let described = |why: &str| format!("{} cannot be executed: {why}", path.display());
    let file = path.metadata().map_err(|error| described(&error.to_string()))?;
    match file.is_file() && file.permissions().mode() & 0o111 != 0 {
        true => Ok(()),
        false => Err(described("it is no file with the right to execute; chmod +x it")),
    }
}
