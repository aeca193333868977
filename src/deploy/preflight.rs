//! What can be checked without changing anything: the first step of each deploy, all of a dry run, and part of `check`.
//!
//! A fault that is found here costs nothing; the same one found after the old container was stopped costs an outage.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::docker::login;
use super::docker::seen::ImageId;
use super::{Deploy, Way, aside, swap};
use crate::config::{Backend, Config, Container};
use crate::event::Phase;
use crate::run::{Failure, RunContext};

/// What is wrong with the files that deploys need, without asking docker: a sentence each. For the start of the daemon
/// and for `check`.
pub fn complaints(config: &Config) -> Vec<String> {
    let containers = &config.deploy().containers;
    let mut found: Vec<String> = match &config.deploy().backend {
        Backend::Unraid { update_container, .. } => {
            let mut found: Vec<String> = executable(update_container).err().into_iter().collect();
            found.extend(names_of_ours(containers, &[aside::previous]));
            found
        }
        Backend::Docker { declarations } => {
            let mut found = swap::mistakes(declarations, containers);
            found.extend(names_of_ours(containers, &[swap::next, aside::previous]));
            found
        }
        Backend::Command { program, .. } => executable(program).err().into_iter().collect(),
    };
    let cosign = config.deploy().checks.cosign.as_ref();
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

impl Deploy<'_> {
    /// Everything that can be checked, for every container; all that is wrong is said, the first of it is the
    /// failure. The images that they run: what may be gone back to.
    pub(super) fn preflight(&self, ctx: &mut RunContext) -> Result<Vec<ImageId>, Failure> {
        let complaints = complaints(self.config);
        if !complaints.is_empty() {
            return Err(Failure::Failed(complaints.join("; ")));
        }
        if self.way.pulls() {
            let version = self.docker.server_version(ctx)?;
            ctx.say(Phase::Preflight, &format!("docker {version} answers"));
            self.room(ctx)?;
        }
        let (mut first, mut ran) = (None, Vec::new());
        for container in &self.config.deploy().containers {
            match self.look_at(ctx, container) {
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

    fn look_at(&self, ctx: &mut RunContext, container: &Container) -> Result<Option<ImageId>, Failure> {
        let name = &container.name;
        if let Way::Command(command) = self.way {
            let program = command.program.display();
            ctx.say(Phase::Preflight, &format!("{name}: {program} can be executed"));
            return Ok(None);
        }
        let now = self.docker.container(ctx, name)?;
        let runs = now.as_ref().map_or("is not there yet".to_owned(), |now| {
            format!("is {}, image {} ({})", now.describe(), now.image, now.reference())
        });
        ctx.say(Phase::Preflight, &format!("{name}: {runs}"));
        aside::is_free(self.docker, ctx, name, &self.config.deploy().image)?;
        self.check_order(ctx, name, now.as_ref())?;
        match self.way {
            Way::Unraid(unraid) => unraid.check_template(ctx, name, &self.config.deploy().image),
            Way::Swap(swap) => swap.check(ctx, name, now.as_ref()),
            Way::Command(_) => Ok(()),
        }?;
        Ok(now.map(|now| now.image))
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
        false => Err(described("it is no file with the right to execute; chmod +x it")),
    }
}
