//! Going back: [`undo`] puts everything that the journal names back to what it was, the last first.
//!
//! The one function for a deploy that fails and for one that died. It believes no entry to be done or not done: it looks
//! at what is there, by ids, names and bytes, and does what is missing; so it may be killed anywhere and be called again.
//! What it has put back is proved as a deploy is. What somebody else has changed meanwhile is left to them, and said.

use serde_json::{Value, json};

use crate::config::{Backend, Config};
use crate::deploy::aside;
use crate::deploy::before::{Before, Life, Stood, Tag, Was};
use crate::deploy::docker::Docker;
use crate::deploy::docker::seen::{Container, Standing};
use crate::deploy::health::Health;
use crate::deploy::reference::{same_image, short_id};
use crate::deploy::swap::{self, Swap};
use crate::deploy::unraid::{self, Unraid};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{BACK_DEADLINE, CLEANUP_DEADLINE, DOCKER_QUICK, HEALTH_MARGIN, TAG_DEADLINE};
use crate::run::{Failure, RunContext};

/// After what something is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoReason {
    /// A step failed, and what it had started has ended.
    Failed,
    /// The run died: what it had asked for last may be happening only now.
    Interrupted,
}

/// What came of putting back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// What is as it was, for the outcome's member `rolled_back`.
    pub rolled_back: Vec<Value>,
    /// What is not, a sentence each.
    pub faults: Vec<String>,
}

/// Puts back what `entries` name.
///
/// # Errors
/// When docker does not answer: nothing can be said of anything then, and it must be tried again.
pub fn undo(
    entries: &[Value],
    aftermath: UndoReason,
    config: &Config,
    ctx: &mut RunContext,
) -> Result<Undone, Failure> {
    let docker = Docker::new(config.deploy());
    let back = Back {
        config,
        docker,
        aftermath,
    };
    let mut undone = Undone::default();
    back.docker_answers(ctx)?;
    for entry in entries.iter().rev() {
        let done = match serde_json::from_value(entry.clone()) {
            Ok(Before::Tag(tag)) => ctx.in_any_case(TAG_DEADLINE, |ctx| back.tag(ctx, &tag).map(|()| None)),
            Ok(Before::Container(was)) => back.container(ctx, &was),
            Err(error) => Err(Failure::Failed(format!(
                "an entry of the journal cannot be read: {error}"
            ))),
        };
        match done {
            Ok(rolled_back) => undone.rolled_back.extend(rolled_back),
            Err(failure) => {
                // Not its fault, then.
                back.docker_answers(ctx)?;
                undone.faults.push(failure.to_string());
            }
        }
    }
    Ok(undone)
}

/// Removes the containers that were kept by a deploy which was done.
pub fn tidy(entries: &[Value], config: &Config, ctx: &mut RunContext) {
    let docker = Docker::new(config.deploy());
    for entry in entries {
        if let Ok(Before::Container(was)) = serde_json::from_value(entry.clone()) {
            ctx.in_any_case(CLEANUP_DEADLINE, |ctx| aside::clean_up(docker, ctx, &was.name));
        }
    }
}

/// Who goes back, and after what.
#[derive(Clone, Copy)]
struct Back<'a> {
    config: &'a Config,
    docker: Docker<'a>,
    aftermath: UndoReason,
}

impl Back<'_> {
    fn docker_answers(&self, ctx: &mut RunContext) -> Result<(), Failure> {
        let version = ctx.in_any_case(DOCKER_QUICK, |ctx| self.docker.server_version(ctx));
        version
            .map(drop)
            .map_err(|failure| Failure::Failed(format!("docker does not answer: {failure}")))
    }

    fn tag(&self, ctx: &mut RunContext, tag: &Tag) -> Result<(), Failure> {
        let reference = &tag.reference;
        let now = self.docker.image(ctx, reference)?.map(|image| image.id);
        if now == tag.was {
            return Ok(());
        }
        if now.as_ref().is_some_and(|now| *now != tag.becomes) {
            ctx.say(
                Phase::Rollback,
                &format!("{reference} was moved by somebody else since, and stays"),
            );
            return Ok(());
        }
        match &tag.was {
            Some(was) => self.docker.tag(ctx, was, reference)?,
            None => self.docker.untag(ctx, reference)?,
        }
        failpoint!("tag-back");
        let is = tag
            .was
            .as_ref()
            .map_or("no tag".to_owned(), |was| format!("image {was}"));
        ctx.say(Phase::Rollback, &format!("{reference} is {is} again"));
        Ok(())
    }

    /// A container, and its template first: that is what it would be made from.
    fn container(&self, ctx: &mut RunContext, was: &Was) -> Result<Option<Value>, Failure> {
        let health = self.config.deploy().health.max_wait + HEALTH_MARGIN;
        let given = BACK_DEADLINE + self.config.deploy().update_max_wait + health;
        let template = match &was.template {
            Some(sheet) => unraid::restore(ctx, &was.name, sheet),
            None => Ok(()),
        };
        failpoint!("template-restored");
        let back = ctx.in_any_case(given, |ctx| self.container_itself(ctx, was));
        failpoint!("container-back");
        // The container counts for more; both are told.
        match (back, template) {
            (Err(back), Err(template)) => Err(Failure::Failed(format!("{back}; {template}"))),
            (back, Ok(())) => back,
            (Ok(_), Err(template)) => Err(template),
        }
    }

    fn container_itself(&self, ctx: &mut RunContext, was: &Was) -> Result<Option<Value>, Failure> {
        let name = &was.name;
        swap::remove_next(self.docker, ctx, name)?;
        let Some(stood) = &was.stood else {
            ctx.say(
                Phase::Rollback,
                &format!("{name}: there was none before; what was made, if anything, stays"),
            );
            return Ok(None);
        };
        match self.docker.container_with_id(ctx, &stood.id)? {
            Some(old) => self.bring_back(ctx, was, stood, &old)?,
            None => self.make_again(ctx, was, stood)?,
        }
        self.prove(ctx, name, stood)?;
        ctx.say(Phase::Rollback, &format!("{name}: back at {}", stood.to()));
        Ok(Some(json!({"container": name, "to": stood.to()})))
    }

    /// The old one is there: it gets its name, its restart policy and its life back.
    fn bring_back(
        &self,
        ctx: &mut RunContext,
        was: &Was,
        stood: &Stood,
        old: &Container,
    ) -> Result<(), Failure> {
        let mut running = old.is_running();
        if !old.is_named(&was.name) {
            if running && self.aftermath == UndoReason::Interrupted {
                // The dead run may have had it stopped just now, and dockerd may still be about to.
                self.docker.stop(ctx, &old.id)?;
                running = false;
            }
            self.clear(ctx, was)?;
            self.docker.rename(ctx, &old.id, &was.name)?;
            failpoint!("old-renamed-back");
        }
        if old.restart_policy() != stood.restart {
            self.docker.set_restart(ctx, &old.id, &stood.restart)?;
        }
        failpoint!("old-policy-back");
        match (stood.life, running) {
            (Life::Stopped, true) => self.docker.stop(ctx, &old.id)?,
            (Life::Running | Life::Healthy, false) => self.docker.start(ctx, &old.id)?,
            _ => {}
        }
        failpoint!("old-started-again");
        Ok(())
    }

    /// Removes what stands under the name, if it is what the deploy has made.
    fn clear(&self, ctx: &mut RunContext, was: &Was) -> Result<(), Failure> {
        let Some(new) = self.docker.container(ctx, &was.name)? else {
            return Ok(());
        };
        if new.image != was.becomes && !self.is_of_an_edited_template(&new) {
            return Err(Failure::Failed(format!(
                "{0} is {1} of {2} now, which the deploy has not made: it was left alone, and {3} is the one before",
                was.name,
                short_id(&new.id),
                new.reference(),
                aside::previous(&was.name)
            )));
        }
        self.docker.remove(ctx, &new.id)?;
        failpoint!("new-removed");
        Ok(())
    }

    /// Somebody has edited the template under the script's hands, so that it made another version. It was never started,
    /// and what somebody makes by hand on the page is.
    fn is_of_an_edited_template(&self, new: &Container) -> bool {
        new.label(unraid::MADE_BY_UNRAID).is_some()
            && new.state.status == Standing::Created
            && same_image(new.reference(), &self.config.deploy().image)
    }

    /// The old one is gone, which no deploy does: a new one of the old image is made the way this host makes them.
    fn make_again(&self, ctx: &mut RunContext, was: &Was, stood: &Stood) -> Result<(), Failure> {
        let name = &was.name;
        let now = self.docker.container(ctx, name)?;
        if now.as_ref().is_none_or(|now| now.image != stood.image) {
            ctx.say(
                Phase::Rollback,
                &format!("{name}: the one before was removed; making it again"),
            );
            match &self.config.deploy().backend {
                Backend::Unraid { .. } => Unraid::of(self.config.deploy()).make_again(ctx, name, stood)?,
                Backend::Docker { declarations } => {
                    let swap = Swap {
                        docker: self.docker,
                        declarations,
                    };
                    self.clear(ctx, was)?;
                    swap.make_again(ctx, name, stood)?;
                }
                Backend::Command { .. } => {
                    let sentence = format!("{name} was removed, and backend command cannot make it again");
                    return Err(Failure::Failed(sentence));
                }
            }
        }
        let Some(made) = self.docker.container(ctx, name)? else {
            return Err(Failure::Failed(format!(
                "{name} was removed and could not be made again"
            )));
        };
        for network in stood
            .networks
            .iter()
            .filter(|known| !made.networks().contains(known.as_str()))
        {
            self.docker.connect(ctx, network, name)?;
        }
        match (stood.life, made.is_running()) {
            (Life::Running | Life::Healthy, false) => self.docker.start(ctx, name),
            _ => Ok(()),
        }
    }

    /// It is what it was, as far as anybody can tell.
    fn prove(&self, ctx: &mut RunContext, name: &str, stood: &Stood) -> Result<(), Failure> {
        let wrong = |what: String| Err(Failure::Failed(format!("{name} {what}")));
        let Some(now) = self.docker.container(ctx, name)? else {
            return wrong("is gone".into());
        };
        if now.image != stood.image {
            return wrong(format!("runs image {} instead of {}", now.image, stood.image));
        }
        if let Some(network) = stood
            .networks
            .iter()
            .find(|one| !now.networks().contains(one.as_str()))
        {
            return wrong(format!("is not in the network {network} any more"));
        }
        if stood.life == Life::Stopped {
            return Ok(());
        }
        if !now.is_running() {
            self.docker.say_log(ctx, name);
            return wrong(format!("is back and does not run: it is {}", now.describe()));
        }
        let containers = &self.config.deploy().containers;
        let known = containers.iter().find(|container| container.name == *name);
        let health = known.and_then(|known| Health::of(self.config, known, Some(self.docker), ""));
        match (stood.life, health) {
            (Life::Healthy, Some(health)) => health.on_the_way_back().wait(ctx),
            _ => Ok(()),
        }
    }
}
