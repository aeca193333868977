//! Backend `docker`: a container is made beside the old one, and the names are swapped.
//!
//! `NAME-next` is created (docker checks flags and image then, and binds no port), `NAME` is stopped and becomes
//! `NAME-prev`, `NAME-next` becomes `NAME` and starts; once everything is healthy, `NAME-prev` goes. The names are the
//! state: whatever an earlier deploy left behind can be told from them alone. A container that serves is never removed,
//! and volumes never are.

pub mod creation;
pub mod declaration;
mod values;

use std::path::{Path, PathBuf};

use crate::config::Container;
use crate::deploy::docker::Docker;
use crate::deploy::docker::seen::{AtItsEnd, Container as Seen, ImageId};
use crate::deploy::reference::short_id;
use crate::event::Phase;
use crate::limits::{DOCKER_QUICK, MAX_TEMPLATE, PUT_BACK_DEADLINE, SWAP_DEADLINE};
use crate::os::files;
use crate::run::{Failure, Stage};
use creation::{Making, SPEC_LABEL, VERSION_LABEL, fingerprint};
use declaration::Declaration;

/// What the steps of this backend work with.
#[derive(Clone, Copy, Debug)]
pub struct Swap<'a> {
    /// The docker client.
    pub docker: Docker<'a>,
    /// `DEPLOYER_CONTAINER_DIR`.
    pub declarations: &'a Path,
}

/// What is to be started.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// The container's name.
    pub name: &'a str,
    /// What it is created from: a name that cannot come to mean another image.
    pub reference: &'a str,
    /// The image it must really be.
    pub image: &'a ImageId,
    /// The version, for the label.
    pub version: &'a str,
}

/// Every mistake in the declarations of `containers`, a sentence each with its file; empty when all are good.
pub fn mistakes(declarations: &Path, containers: &[Container]) -> Vec<String> {
    let mut found = Vec::new();
    for container in containers {
        if let Err(mut more) = declared(declarations, &container.name) {
            found.append(&mut more);
        }
        for ours in [next(&container.name), previous(&container.name)] {
            if containers.iter().any(|other| other.name == ours) {
                found.push(format!(
                    "DEPLOYER_CONTAINERS: {ours} is the name that a deploy of {} gives to a container of its own",
                    container.name
                ));
            }
        }
    }
    found
}

fn declared(declarations: &Path, name: &str) -> Result<Declaration, Vec<String>> {
    let path: PathBuf = declarations.join(format!("{name}.json"));
    let bytes = files::read_bounded(&path, MAX_TEMPLATE)
        .map_err(|error| vec![files::describe(&error, "read the declaration", &path)])?;
    Declaration::read(&bytes).map_err(|mistakes| {
        mistakes
            .iter()
            .map(|mistake| format!("{}: {mistake}", path.display()))
            .collect()
    })
}

fn next(name: &str) -> String {
    format!("{name}-next")
}

fn previous(name: &str) -> String {
    format!("{name}-prev")
}

impl Swap<'_> {
    /// Looks at the declaration of `name` and at what runs now; changes nothing.
    pub fn check(&self, stage: &mut Stage, name: &str, now: Option<&Seen>) -> Result<(), Failure> {
        self.declared(name)?;
        can_be_kept(name, now)?;
        self.leftover(stage, name).map(drop)
    }

    /// Why a container is not what its declaration would make of `version` now, if it is not.
    pub fn made_otherwise(&self, name: &str, now: &Seen, version: &str) -> Result<Option<String>, Failure> {
        let declared = self.declared(name)?;
        let differs = match (now.label(VERSION_LABEL), now.label(SPEC_LABEL)) {
            (Some(made), _) if made != version => Some(format!("was made for version {made}")),
            (Some(_), Some(spec)) if spec == fingerprint(&declared) => None,
            (_, Some(_)) => Some("its declaration has changed".into()),
            (_, None) => Some("was made by somebody else".into()),
        };
        Ok(differs)
    }

    /// `NAME-next`, which only an earlier deploy can have left.
    fn leftover(&self, stage: &mut Stage, name: &str) -> Result<Option<Seen>, Failure> {
        let left = self.docker.container(stage, &next(name))?;
        if left.as_ref().is_some_and(|left| left.label(SPEC_LABEL).is_none()) {
            return Err(Failure::Failed(format!(
                "a container {} stands in the way that no deploy made: rename or remove it",
                next(name)
            )));
        }
        Ok(left)
    }

    fn declared(&self, name: &str) -> Result<Declaration, Failure> {
        declared(self.declarations, name).map_err(|mistakes| Failure::Failed(mistakes.join("; ")))
    }

    /// Replaces a container. When that fails half way, the one before it is put back.
    pub fn update(&self, stage: &mut Stage, new: &New<'_>) -> Result<(), Failure> {
        let declared = self.declared(new.name)?;
        self.tidy(stage, new.name, &declared.restart)?;
        let old = self.docker.container(stage, new.name)?;
        can_be_kept(new.name, old.as_ref())?;
        let id = match self.create(stage, new, &declared) {
            Ok(id) => id,
            Err(failure) => {
                // Nothing serves from it yet; the next deploy would remove it as well.
                let _ = stage.in_any_case(DOCKER_QUICK, |stage| self.docker.remove(stage, &next(new.name)));
                return Err(failure);
            }
        };
        let swapped = stage.in_any_case(SWAP_DEADLINE, |stage| self.swap(stage, new.name, old.as_ref()));
        if let Err(failure) = swapped {
            return Err(self.put_back(stage, new.name, failure));
        }
        let message = format!("{}: started {}, image {}", new.name, short_id(&id), new.image);
        stage.say(Phase::Update, &message);
        Ok(())
    }

    /// Deals with what a dead or failed deploy left behind, so that `NAME` is the one to fall back on.
    fn tidy(&self, stage: &mut Stage, name: &str, restart: &str) -> Result<(), Failure> {
        if self.leftover(stage, name)?.is_some() {
            self.docker.remove(stage, &next(name))?;
            stage.say(
                Phase::Update,
                &format!("{name}: removed {}, left by an earlier deploy", next(name)),
            );
        }
        if self.docker.container(stage, &previous(name))?.is_none() {
            return Ok(());
        }
        match self.docker.container(stage, name)? {
            // It serves; the one before it goes when the names are swapped.
            Some(now) if now.is_running() => return Ok(()),
            Some(failed) => {
                stage.say(
                    Phase::Update,
                    &format!("{name}: left {} by an earlier deploy", failed.describe()),
                );
                self.docker.remove(stage, name)?;
            }
            None => {}
        }
        self.restore(stage, name, restart)
    }

    /// `NAME-prev` becomes `NAME` again and runs.
    fn restore(&self, stage: &mut Stage, name: &str, restart: &str) -> Result<(), Failure> {
        self.docker.rename(stage, &previous(name), name)?;
        self.docker.set_restart(stage, name, restart)?;
        self.docker.start(stage, name)?;
        stage.say(Phase::Rollback, &format!("{name}: the one before is back"));
        Ok(())
    }

    /// Makes `NAME-next` and makes sure that it is what was pulled; its id.
    fn create(&self, stage: &mut Stage, new: &New<'_>, declared: &Declaration) -> Result<String, Failure> {
        let name = next(new.name);
        let making = Making {
            name: &name,
            reference: new.reference,
            version: new.version,
            declared,
        };
        self.docker.create(stage, &name, &making.creation())?;
        for network in declared.networks.iter().skip(1) {
            self.docker.connect(stage, network, &name)?;
        }
        let Some(made) = self.docker.container(stage, &name)? else {
            return Err(Failure::Failed(format!(
                "created {name}, but it is not there: does its declaration name it?"
            )));
        };
        match made.image == *new.image {
            true => Ok(made.id),
            false => Err(Failure::Failed(format!(
                "created {name} from {}, and it is {} instead of the pulled {}: was the tag moved?",
                new.reference, made.image, new.image
            ))),
        }
    }

    fn swap(&self, stage: &mut Stage, name: &str, old: Option<&Seen>) -> Result<(), Failure> {
        if self.docker.container(stage, &previous(name))?.is_some() {
            self.docker.remove(stage, &previous(name))?;
            stage.say(
                Phase::Update,
                &format!("{name}: removed {}, left by an earlier deploy", previous(name)),
            );
        }
        if let Some(old) = old {
            stage.say(Phase::Update, &format!("{name}: stopping {}", short_id(&old.id)));
            self.docker.stop(stage, name)?;
            self.docker.rename(stage, name, &previous(name))?;
            // Else it would come back beside the new one when the host starts again.
            self.docker.set_restart(stage, &previous(name), "no")?;
        }
        self.docker.rename(stage, &next(name), name)?;
        self.docker.start(stage, name)
    }

    /// Puts `NAME-prev` back into its place, as far as a failed swap has come; `failure` with what became of that.
    ///
    /// Where there is nothing to put back the failed container stays: it may hold what explains the failure.
    pub fn put_back(&self, stage: &mut Stage, name: &str, failure: Failure) -> Failure {
        let back = match stage.in_any_case(PUT_BACK_DEADLINE, |stage| self.put_back_if_any(stage, name)) {
            Ok(Back::Nothing) => return failure,
            Ok(Back::Runs) => format!("{name} runs as before"),
            Err(error) => format!(
                "putting the container before it back failed too: {error}; look at {} and {name}",
                previous(name)
            ),
        };
        Failure::Failed(format!("{failure}; {back}"))
    }

    fn put_back_if_any(&self, stage: &mut Stage, name: &str) -> Result<Back, Failure> {
        let restart = self.declared(name)?.restart;
        if self.docker.container(stage, &previous(name))?.is_some() {
            if self.docker.container(stage, name)?.is_some() {
                self.docker.remove(stage, name)?;
            }
            self.restore(stage, name, &restart)?;
        } else {
            // Not renamed yet: `NAME` is still the old one, if there is one; and only then is there a `NAME-next`.
            let unswapped = self.docker.container(stage, &next(name))?.is_some();
            let old = self.docker.container(stage, name)?;
            if !unswapped || old.is_none() {
                return Ok(Back::Nothing);
            }
            self.docker.start(stage, name)?;
        }
        if self.docker.container(stage, &next(name))?.is_some() {
            self.docker.remove(stage, &next(name))?;
        }
        Ok(Back::Runs)
    }

    /// Removes `NAME-prev`: everything is healthy without it. That it cannot be removed fails no deploy.
    pub fn clean_up(&self, stage: &mut Stage, name: &str) {
        let message = match self.remove_previous(stage, name) {
            Ok(None) => return,
            Ok(Some(old)) => format!(
                "{name}: removed the one before, {} of {}",
                short_id(&old.id),
                old.reference()
            ),
            Err(error) => format!("{name}: {error}; the next deploy will try again"),
        };
        stage.say(Phase::Cleanup, &message);
    }

    fn remove_previous(&self, stage: &mut Stage, name: &str) -> Result<Option<Seen>, Failure> {
        let old = self.docker.container(stage, &previous(name))?;
        if old.is_some() {
            self.docker.remove(stage, &previous(name))?;
        }
        Ok(old)
    }
}

/// What came of putting back.
enum Back {
    /// There was nothing to put back: a first deploy.
    Nothing,
    /// The one before runs.
    Runs,
}

fn can_be_kept(name: &str, now: Option<&Seen>) -> Result<(), Failure> {
    match now.map(Seen::at_its_end) {
        Some(AtItsEnd::IsRemoved) => Err(Failure::Failed(format!(
            "{name} was started with --rm: stopping it would remove it, with no way back; start it without --rm first"
        ))),
        _ => Ok(()),
    }
}
