//! What can be checked without changing anything: the first step of each deploy, all of a dry run, and part of `check`.
//!
//! A fault that is found here costs nothing; the same one found after the old container was stopped costs an outage.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::docker::{self, ImageId, login};
use super::keep_previous::{kept, previous};
use super::{Deploy, image, live, swap, unraid};
use crate::config::{Backend, Config, Container};
use crate::run::{Failure, Result, RunContext};

/// What is wrong with the files that deploys need, without asking docker: a sentence each. For the start of the daemon
/// and for `check`.
pub fn complaints(config: &Config) -> Vec<String> {
    let deploy = config.deploy();
    let containers = &deploy.containers;
    let mut found = match &deploy.backend {
        Backend::Docker { declarations } => swap::mistakes(declarations, containers),
        Backend::Unraid {
            update_container: program,
            ..
        }
        | Backend::Command { program, .. } => Vec::from_iter(executable(program).err()),
    };
    found.extend(match &deploy.backend {
        Backend::Unraid { .. } => names_of_ours(containers, &[previous]),
        Backend::Docker { .. } => names_of_ours(containers, &[swap::next, previous]),
        Backend::Command { .. } => Vec::new(),
    });
    let cosign = deploy.cosign.as_ref();
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
    for Container { name, .. } in containers {
        for taken in ours.iter().map(|ours| ours(name)) {
            if containers.iter().any(|other| other.name == taken) {
                found.push(format!(
                    "DEPLOYER_CONTAINERS: {taken} is the name that a deploy of {name} gives to a container of its own"
                ));
            }
        }
    }
    found
}

/// Everything that can be checked, for every container; all that is wrong is said, the first of it is the
/// failure. The images that they run: what may be gone back to.
pub(super) fn preflight(deploy: &Deploy, ctx: &mut RunContext) -> Result<Vec<ImageId>> {
    let complaints = complaints(ctx.config);
    if !complaints.is_empty() {
        return Err(complaints.join("; ").into());
    }
    let settings = ctx.config.deploy();
    if !matches!(settings.backend, Backend::Command { pull: false, .. }) {
        let version = docker::server_version(ctx)?;
        ctx.tell(&format!("docker {version} answers"));
        image::check_free_space(deploy, ctx)?;
    }
    let (mut first, mut ran) = (None, Vec::new());
    for container in &settings.containers {
        match look_at(deploy, ctx, &container.name) {
            Ok(image) => ran.extend(image),
            Err(Failure::Failed(sentence)) => {
                ctx.tell(&sentence);
                first.get_or_insert(sentence);
            }
            Err(ended) => return Err(ended),
        }
    }
    first.map_or(Ok(ran), |first| Err(first.into()))
}

/// Everything about one container, without changing it; the image that it runs.
fn look_at(deploy: &Deploy, ctx: &mut RunContext, name: &str) -> Result<Option<ImageId>> {
    let backend = &ctx.config.deploy().backend;
    if let Backend::Command { program, .. } = backend {
        ctx.tell(&format!("{name}: {} can be executed", program.display()));
        return Ok(None);
    }
    let now = docker::container(ctx, name)?;
    let runs = now.as_ref().map_or("is not there yet".to_owned(), |now| {
        format!("is {}, image {} ({})", now.describe(), now.image, now.reference())
    });
    ctx.tell(&format!("{name}: {runs}"));
    kept(ctx, name)?;
    live::check_order(deploy, ctx, name, now.as_ref())?;
    match backend {
        Backend::Unraid { templates, .. } => {
            let (found, named) = unraid::find(ctx, templates, name)?;
            ctx.tell(&format!("{name}: {} names {named}", found.path.display()));
        }
        Backend::Docker { .. } => swap::check(ctx, name, now.as_ref())?,
        Backend::Command { .. } => {}
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
