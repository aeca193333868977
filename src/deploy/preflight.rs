//! What can be checked without changing anything: the first step of each deploy, all of a dry run, and part of `check`; and
//! whether what was asked for is live already.
//!
//! A fault that is found here costs nothing; the same one found after the old container was stopped costs an outage.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::docker::{self, Container as Seen, ImageId};
use super::keep_previous::{kept, previous};
use super::reference::{same_image, tag};
use super::swap::creation::VERSION_LABEL;
use super::{Deploy, Health, image, swap, unraid};
use crate::config::{Backend, Config, Container};
use crate::gate::Version;
use crate::os::secret;
use crate::run::{Failure, Result, RunContext, fail};

/// How a deploy calls a container of its own.
type NameOf = fn(&str) -> String;

/// What is wrong with the files that deploys need, without asking docker: a sentence each. For the start of the daemon
/// and for `check`.
pub fn complaints(config: &Config) -> Vec<String> {
    let deploy = config.deploy();
    let containers = &deploy.containers;
    let may_run = |program: &Path| Vec::from_iter(executable(program).err());
    let (mut found, ours): (_, &[NameOf]) = match &deploy.backend {
        Backend::Unraid { script, .. } => (may_run(script), &[previous]),
        Backend::Docker { declarations } => {
            (swap::mistakes(declarations, containers), &[swap::next, previous])
        }
        Backend::Command { program, .. } => (may_run(program), &[]),
    };
    found.extend(names_of_ours(containers, ours));
    let cosign = deploy.cosign.as_ref();
    found.extend(cosign.and_then(|cosign| executable(&cosign.program).err()));
    found.extend(refusal(config));
    found
}

/// What keeps the daemon from starting at all: a secret that others may read has to be taken for known.
pub fn refusal(config: &Config) -> Option<String> {
    let login = config.deploy().login.as_ref()?;
    let why = secret::read(&login.password_file).err()?;
    Some(format!("DEPLOYER_REGISTRY_PASSWORD_FILE: {why}"))
}

/// Containers that have a name which a deploy gives to a container of its own.
fn names_of_ours(containers: &[Container], ours: &[NameOf]) -> Vec<String> {
    let mut found = Vec::new();
    for Container { name, .. } in containers {
        for taken in ours.iter().map(|ours| ours(name)) {
            if containers.iter().any(|other| other.name == taken) {
                found.push(format!(
                    "DEPLOYER_CONTAINERS: {taken} is what a deploy of {name} calls a container of its own"
                ));
            }
        }
    }
    found
}

/// Everything that can be checked, for every container; all that is wrong is said, the first of it is the
/// failure. The images that they run: what may be gone back to.
pub fn preflight(deploy: &Deploy, ctx: &mut RunContext) -> Result<Vec<ImageId>> {
    let complaints = complaints(ctx.config);
    if !complaints.is_empty() {
        return fail(complaints.join("; "));
    }
    let settings = ctx.config.deploy();
    if !matches!(settings.backend, Backend::Command { pull: false, .. }) {
        let version = docker::server_version(ctx)?;
        ctx.tell(format!("docker {version} answers"));
        image::check_free_space(deploy, ctx)?;
    }
    let (mut wrong, mut ran) = (Vec::new(), Vec::new());
    for container in &settings.containers {
        match look_at(deploy, ctx, &container.name) {
            Ok(image) => ran.extend(image),
            Err(Failure::Failed(sentence)) => {
                ctx.tell(&sentence);
                wrong.push(sentence);
            }
            Err(ended) => return Err(ended),
        }
    }
    wrong.into_iter().next().map_or(Ok(ran), fail)
}

/// Everything about one container, without changing it; the image that it runs.
fn look_at(deploy: &Deploy, ctx: &mut RunContext, name: &str) -> Result<Option<ImageId>> {
    let backend = &ctx.config.deploy().backend;
    if let Backend::Command { program, .. } = backend {
        ctx.tell(format!("{name}: {} can be executed", program.display()));
        return Ok(None);
    }
    let now = docker::container(ctx, name)?;
    let runs = now.as_ref().map_or("is not there yet".to_owned(), |now| {
        format!("is {}, image {} ({})", now.describe(), now.image, now.reference())
    });
    ctx.tell(format!("{name}: {runs}"));
    kept(ctx, name)?;
    check_order(deploy, ctx, name, now.as_ref())?;
    match backend {
        Backend::Unraid { templates, .. } => {
            let (found, named) = unraid::find(ctx, templates, name)?;
            ctx.tell(format!("{name}: {} names {named}", found.path.display()));
        }
        Backend::Docker { .. } => swap::check(ctx, name, now.as_ref())?,
        Backend::Command { .. } => {}
    }
    Ok(now.map(|now| now.image))
}

/// Says, or refuses, that a container goes back to a lower version. One whose version cannot be told is no obstacle.
fn check_order(deploy: &Deploy, ctx: &mut RunContext, name: &str, now: Option<&Seen>) -> Result {
    let version = &deploy.task.version;
    let live = live_version(ctx, name, now).filter(|live| version.numbers() < live.numbers());
    let Some(live) = live else { return Ok(()) };
    let sentence = format!("{name}: {live} is live, so {version} is a downgrade");
    if !ctx.config.deploy().allow_downgrade {
        return fail(format!("{sentence}, and DEPLOYER_ALLOW_DOWNGRADE=no refuses it"));
    }
    ctx.tell(&sentence);
    Ok(())
}

/// By the container itself, and where there is none by the template that the next start would take.
fn live_version(ctx: &mut RunContext, name: &str, now: Option<&Seen>) -> Option<Version> {
    let version = |text: &str| Version::try_from(text.to_owned()).ok();
    let settings = ctx.config.deploy();
    match (now, &settings.backend) {
        (Some(now), _) => now.label(VERSION_LABEL).and_then(version).or_else(|| {
            let named = Some(now.reference()).filter(|named| same_image(named, &settings.image));
            named.and_then(tag).and_then(version)
        }),
        (None, Backend::Unraid { templates, .. }) => {
            let (_, named) = unraid::find(ctx, templates, name).ok()?;
            tag(&named).and_then(version)
        }
        (None, _) => None,
    }
}

/// Whether every container runs the image already, as it would be made now, and is healthy.
pub fn is_live_already(deploy: &Deploy, ctx: &mut RunContext, image: &ImageId) -> Result<bool> {
    for container in &ctx.config.deploy().containers {
        let name = &container.name;
        let now = docker::container(ctx, name)?;
        let Some(now) = now.filter(|now| now.image == *image) else {
            return Ok(false);
        };
        if let Some(why) = why_replace(deploy, ctx, container, &now)? {
            ctx.tell(format!("{name}: has this image already, but {why}"));
            return Ok(false);
        }
    }
    let said = format!("every container runs {} already and is healthy", deploy.reference);
    ctx.tell(&said);
    ctx.outcome_member("changed", false.into());
    Ok(true)
}

/// Why a container that has the image needs to be replaced all the same, if it needs to.
fn why_replace(
    deploy: &Deploy,
    ctx: &mut RunContext,
    container: &Container,
    now: &Seen,
) -> Result<Option<String>> {
    if !now.is_running() {
        return Ok(Some(format!("is {}", now.describe())));
    }
    let (config, name) = (ctx.config, &container.name);
    let otherwise = match &config.deploy().backend {
        Backend::Unraid { templates, .. } => {
            let (_, named) = unraid::find(ctx, templates, name)?;
            (named != deploy.reference).then(|| format!("its template names {named}"))
        }
        Backend::Docker { declarations } => {
            let declared = swap::declared(declarations, name)?;
            swap::made_otherwise(&declared, now, deploy.task.version.as_str())
        }
        Backend::Command { .. } => Some("only its command knows".into()),
    };
    match (
        otherwise,
        Health::of(config, container, Some(&deploy.task.version)),
    ) {
        (None, Some(health)) => health.now(ctx),
        (otherwise, _) => Ok(otherwise),
    }
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
        false => Err(described("it is no executable file; chmod +x it")),
    }
}
