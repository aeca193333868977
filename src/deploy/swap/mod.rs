//! Backend `docker`: a container is made beside the old one, and the names are swapped.
//!
//! `NAME-next` is created (docker checks flags and image then, and binds no port), `NAME` becomes `NAME-prev`, `NAME-next`
//! becomes `NAME`, and the one is stopped and the other started. Containers that serve serve on through the renames, and
//! so does the name on the networks that the container is in: it is an alias there. Where it is none yet, because somebody
//! else made the container, the old one is stopped first: a name without an answer is no better than no name.

pub mod creation;
pub mod declaration;
mod values;

use std::path::{Path, PathBuf};

use crate::config::Container;
use crate::deploy::docker::Docker;
use crate::deploy::docker::inspect::{Container as Seen, ImageId};
use crate::deploy::keep_previous;
use crate::deploy::reference::short_id;
use crate::deploy::undo_record::OldContainer;
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{MAX_TEMPLATE, UNHURRIED};
use crate::os::{files, trusted};
use crate::run::{Failure, Result, RunContext};
use creation::{SPEC_LABEL, VERSION_LABEL, creation, fingerprint};
use declaration::Declaration;

/// What the steps of this backend work with.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    pub docker: Docker<'a>,
    /// `DEPLOYER_CONTAINER_DIR`.
    pub declarations: &'a Path,
}

/// What is to be started.
#[derive(Clone, Copy, Debug)]
pub struct NewContainer<'a> {
    /// The name that it gets in the end.
    pub name: &'a str,
    /// What it is created from: a name that cannot come to mean another image.
    pub reference: &'a str,
    /// The image it must really be.
    pub image: &'a ImageId,
    /// For the label.
    pub version: &'a str,
}

/// Every mistake in the declarations of `containers`, and in what they name of this host, a sentence each with its file;
/// empty when all are good.
pub fn mistakes(declarations: &Path, containers: &[Container]) -> Vec<String> {
    let mut found = Vec::new();
    for Container { name, .. } in containers {
        match declared(declarations, name) {
            Ok(declared) => found.extend(env_file_fault(declarations, name, &declared)),
            Err(mut more) => found.append(&mut more),
        }
    }
    found
}

/// Why docker could not read the variables of a container, or should not, because somebody else sets them.
fn env_file_fault(declarations: &Path, name: &str, declared: &Declaration) -> Option<String> {
    let fault = trusted::opened(Path::new(declared.env_file.as_ref()?), trusted::fault).err()?;
    Some(format!(
        "{}: env_file: {fault}",
        path(declarations, name).display()
    ))
}

fn path(declarations: &Path, name: &str) -> PathBuf {
    declarations.join(format!("{name}.json"))
}

fn declared(declarations: &Path, name: &str) -> Result<Declaration, Vec<String>> {
    let path = path(declarations, name);
    let bytes = files::read_bounded(&path, MAX_TEMPLATE)
        .map_err(|error| vec![files::describe(&error, "read the declaration", &path)])?;
    Declaration::read(&bytes).map_err(|mistakes| {
        mistakes
            .iter()
            .map(|mistake| format!("{}: {mistake}", path.display()))
            .collect()
    })
}

/// What a container is called until it takes the place of the one before.
pub fn next(name: &str) -> String {
    format!("{name}-next")
}

/// Removes `NAME-next`, if a deploy of ours made it: nothing ever serves from it.
pub fn remove_next(docker: Docker<'_>, ctx: &mut RunContext, name: &str) -> Result {
    let left = docker.container(ctx, &next(name))?;
    match left.filter(|left| left.label(SPEC_LABEL).is_some()) {
        Some(left) => docker.remove(ctx, &left),
        None => Ok(()),
    }
}

impl Swap<'_> {
    /// Looks at the declaration of `name` and at what runs now; changes nothing.
    pub fn check(&self, ctx: &mut RunContext, name: &str, now: Option<&Seen>) -> Result {
        self.declared(name)?;
        can_be_kept(name, now)?;
        let left = self.docker.container(ctx, &next(name))?;
        match left.is_some_and(|left| left.label(SPEC_LABEL).is_none()) {
            true => Err(Failure::Failed(format!(
                "a container {} stands in the way that no deploy made: rename or remove it",
                next(name)
            ))),
            false => Ok(()),
        }
    }

    /// Why a container is not what its declaration would make of `version` now, if it is not.
    pub fn made_otherwise(&self, name: &str, now: &Seen, version: &str) -> Result<Option<String>> {
        let declared = self.declared(name)?;
        let differs = match (now.label(VERSION_LABEL), now.label(SPEC_LABEL)) {
            (Some(made), _) if made != version => Some(format!("was made for version {made}")),
            (Some(_), Some(spec)) if spec == fingerprint(&declared) => None,
            (_, Some(_)) => Some("its declaration has changed".into()),
            (_, None) => Some("was made by somebody else".into()),
        };
        Ok(differs)
    }

    /// The restart policy that is declared for `name`.
    pub fn restart(&self, name: &str) -> Result<String> {
        self.declared(name).map(|declared| declared.restart)
    }

    fn declared(&self, name: &str) -> Result<Declaration> {
        declared(self.declarations, name).map_err(|mistakes| Failure::Failed(mistakes.join("; ")))
    }

    /// Replaces a container. What it leaves when it fails half way is put back by whoever has the journal.
    pub fn update(&self, ctx: &mut RunContext, new: &NewContainer<'_>) -> Result {
        let declared = self.declared(new.name)?;
        let old = self.docker.container(ctx, new.name)?;
        can_be_kept(new.name, old.as_ref())?;
        remove_next(self.docker, ctx, new.name)?;
        let id = self.create(ctx, new, &declared)?;
        failpoint!("created");
        ctx.in_any_case(UNHURRIED, |ctx| {
            if let Some(old) = &old {
                if old.is_active() && !old.networks_without_alias(new.name).is_empty() {
                    self.docker.stop(ctx, &old.id)?;
                }
                keep_previous::rename_old(self.docker, ctx, new.name, old)?;
            }
            self.docker.rename(ctx, &id, new.name)?;
            failpoint!("next-renamed");
            keep_previous::stop_old_start_new(self.docker, ctx, new.name, old.as_ref())
        })?;
        let message = format!("{}: started {}, image {}", new.name, short_id(&id), new.image);
        ctx.say(Phase::Update, &message);
        Ok(())
    }

    /// Makes `NAME-next` and makes sure that it is what was pulled; its id.
    fn create(&self, ctx: &mut RunContext, new: &NewContainer<'_>, declared: &Declaration) -> Result<String> {
        let name = next(new.name);
        self.docker.create(ctx, &name, &creation(new, declared))?;
        for network in declared.networks.iter().skip(1) {
            self.docker.connect(ctx, network, &name, new.name)?;
        }
        let Some(made) = self.docker.container(ctx, &name)? else {
            return Err(format!("created {name}, but it is not there: does its declaration name it?").into());
        };
        match made.image == *new.image {
            true => Ok(made.id),
            false => Err(Failure::Failed(format!(
                "created {name} from {}, and it is {} instead of {}: was the tag moved?",
                new.reference, made.image, new.image
            ))),
        }
    }

    /// Makes the container `name` as it was, from its declaration, and does not start it. Nothing has the name.
    pub fn make_again(&self, ctx: &mut RunContext, name: &str, old: &OldContainer) -> Result {
        let new = NewContainer {
            name,
            // The tag may have moved since, the image has not.
            reference: old.image.as_str(),
            image: &old.image,
            version: old.version(),
        };
        let id = self.create(ctx, &new, &self.declared(name)?)?;
        self.docker.rename(ctx, &id, name)
    }
}

fn can_be_kept(name: &str, now: Option<&Seen>) -> Result {
    match now.is_some_and(Seen::removes_itself) {
        true => Err(Failure::Failed(format!(
            "{name} was started with --rm: stopping it would remove it, with no way back; start it without --rm first"
        ))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_of_variables_must_be_there_and_nobody_elses_to_write() {
        let folder = std::env::temp_dir().join(format!("swap-env-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("app.env");
        let declared = serde_json::json!({ "env_file": file }).to_string();
        fs::write(folder.join("app.json"), declared).unwrap();
        let container = Container {
            name: "app".into(),
            health_url: None,
        };
        let mistakes = || mistakes(&folder, std::slice::from_ref(&container)).join("; ");
        let begin = format!("{}/app.json: env_file: ", folder.display());
        let missing = mistakes();
        assert!(
            missing.starts_with(&begin) && missing.contains("app.env: No such file"),
            "{missing}"
        );
        fs::write(&file, "A=1\n").unwrap();
        for (mode, word) in [(0o644, ""), (0o666, "mode 0666")] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let found = mistakes();
            assert_eq!(
                (found.is_empty(), found.contains(word)),
                (word.is_empty(), true),
                "{found}"
            );
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
