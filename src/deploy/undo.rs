//! Going back: [`undo`] puts everything that the journal names back to what it was, the last first.
//!
//! The one function for a deploy that fails and for one that died. It believes no record to be done or not done: it looks
//! at what is there, by ids, names and bytes, and does what is missing; so it may be killed anywhere and be called again.
//! What it has put back is proved as a deploy is. What somebody else has changed meanwhile is left to them, and said.

use serde_json::{Value, json};

use crate::config::Config;
use crate::deploy::docker::Docker;
use crate::deploy::docker::inspect::Container;
use crate::deploy::health::Health;
use crate::deploy::healthy::HealthyVersions;
use crate::deploy::keep_previous;
use crate::deploy::reference::{same_image, short_id};
use crate::deploy::swap;
use crate::deploy::undo_record::{ContainerRecord, OldContainer, OldState, TagRecord, UndoRecord};
use crate::deploy::{Replacer, unraid};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{DOCKER_QUICK, UNHURRIED};
use crate::run::{Failure, Result, RunContext};

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
pub fn undo(entries: &[Value], reason: UndoReason, config: &Config, ctx: &mut RunContext) -> Result<Undone> {
    let docker = Docker::new(config.deploy());
    let undo = Undo {
        config,
        docker,
        reason,
    };
    let mut undone = Undone::default();
    undo.docker_answers(ctx)?;
    for entry in entries.iter().rev() {
        let done = match serde_json::from_value(entry.clone()) {
            Ok(UndoRecord::Tag(tag)) => ctx.in_any_case(UNHURRIED, |ctx| undo.tag(ctx, &tag).map(|()| None)),
            Ok(UndoRecord::Container(record)) => undo.container(ctx, &record),
            Err(error) => Err(Failure::Failed(format!(
                "an entry of the journal cannot be read: {error}"
            ))),
        };
        match done {
            Ok(rolled_back) => undone.rolled_back.extend(rolled_back),
            Err(failure) => {
                // Not its fault, then.
                undo.docker_answers(ctx)?;
                undone.faults.push(failure.to_string());
            }
        }
    }
    if !undone.faults.is_empty() {
        undone.faults.extend(mark_half_deployed(entries, config).err());
    }
    Ok(undone)
}

/// Writes down that what the deploy with these `entries` has changed was not put back, or not all of it.
pub fn mark_half_deployed(entries: &[Value], config: &Config) -> Result<(), String> {
    match containers(entries).next() {
        Some(record) => HealthyVersions::record_half_deployed(&config.places, &record.release),
        None => Ok(()),
    }
}

/// Finishes a deploy that was done and died before it had tidied up: what it made live is written down as healthy, and the
/// containers that were kept go.
pub fn tidy(entries: &[Value], config: &Config, ctx: &mut RunContext) {
    if let Some(record) = containers(entries).next() {
        let recorded =
            HealthyVersions::record(&config.places, record.release, ctx.run_id(), config.runs.keep);
        if let Err(why) = recorded {
            ctx.say(Phase::Cleanup, &format!("warning: {why}"));
        }
    }
    let docker = Docker::new(config.deploy());
    for record in containers(entries) {
        ctx.in_any_case(UNHURRIED, |ctx| {
            keep_previous::remove_kept(docker, ctx, &record.name);
        });
    }
}

fn containers(entries: &[Value]) -> impl Iterator<Item = ContainerRecord> {
    entries
        .iter()
        .filter_map(|entry| match serde_json::from_value(entry.clone()) {
            Ok(UndoRecord::Container(record)) => Some(record),
            _ => None,
        })
}

#[derive(Clone, Copy)]
struct Undo<'a> {
    config: &'a Config,
    docker: Docker<'a>,
    reason: UndoReason,
}

impl Undo<'_> {
    fn docker_answers(&self, ctx: &mut RunContext) -> Result {
        let version = ctx.in_any_case(DOCKER_QUICK, |ctx| self.docker.server_version(ctx));
        version
            .map(drop)
            .map_err(|failure| Failure::Failed(format!("docker does not answer: {failure}")))
    }

    fn tag(&self, ctx: &mut RunContext, tag: &TagRecord) -> Result {
        let reference = &tag.reference;
        let now = self.docker.image(ctx, reference)?.map(|image| image.id);
        if now == tag.old_image {
            return Ok(());
        }
        if now.as_ref().is_some_and(|now| *now != tag.new_image) {
            let message = format!("{reference} was moved by somebody else since, and stays");
            ctx.say(Phase::Rollback, &message);
            return Ok(());
        }
        let is = match &tag.old_image {
            Some(old) => {
                self.docker.tag(ctx, old, reference)?;
                format!("image {old}")
            }
            None => {
                self.docker.remove_image(ctx, reference)?;
                "no tag".to_owned()
            }
        };
        failpoint!("tag-back");
        ctx.say(Phase::Rollback, &format!("{reference} is {is} again"));
        Ok(())
    }

    /// A container, and its template first: that is what it would be made from.
    fn container(&self, ctx: &mut RunContext, record: &ContainerRecord) -> Result<Option<Value>> {
        let template = match &record.template {
            Some(backup) => unraid::restore(ctx, &record.name, backup),
            None => Ok(()),
        };
        failpoint!("template-restored");
        let back = ctx.in_any_case(UNHURRIED, |ctx| self.old_container(ctx, record));
        failpoint!("container-back");
        // The container counts for more; both are told.
        match (back, template) {
            (Err(back), Err(template)) => Err(Failure::Failed(format!("{back}; {template}"))),
            (back, Ok(())) => back,
            (Ok(_), Err(template)) => Err(template),
        }
    }

    /// Brings the old container back, or one like it, and proves it.
    fn old_container(&self, ctx: &mut RunContext, record: &ContainerRecord) -> Result<Option<Value>> {
        let name = &record.name;
        swap::remove_next(self.docker, ctx, name)?;
        let Some(old) = &record.old else {
            let message = format!("{name}: there was none before; what was made, if anything, stays");
            ctx.say(Phase::Rollback, &message);
            return Ok(None);
        };
        match self.docker.container_with_id(ctx, &old.id)? {
            Some(kept) if !kept.is_lost() => self.restore_kept(ctx, record, old, &kept)?,
            _ => self.make_again(ctx, record, old)?,
        }
        self.prove(ctx, name, old)?;
        ctx.say(Phase::Rollback, &format!("{name}: back at {}", old.version()));
        Ok(Some(json!({"container": name, "to": old.version()})))
    }

    /// The old container is there, as `kept`: it gets its name back from the new one, then its restart policy, then the
    /// state that it was in.
    fn restore_kept(
        &self,
        ctx: &mut RunContext,
        record: &ContainerRecord,
        old: &OldContainer,
        kept: &Container,
    ) -> Result {
        if !kept.is_named(&record.name) {
            if kept.is_running() && self.reason == UndoReason::Interrupted {
                // The dead run may have had it stopped just now, and dockerd may still be about to.
                self.docker.stop(ctx, &kept.id)?;
            }
            self.remove_new(ctx, record)?;
            if self.docker.rename(ctx, &kept.id, &record.name).is_err() {
                // Something has got the name just now: what the killed script still had made, or somebody else's.
                self.remove_new(ctx, record)?;
                self.docker.rename(ctx, &kept.id, &record.name)?;
            }
            failpoint!("old-renamed-back");
        }
        if kept.restart_policy() != old.restart {
            self.docker.set_restart(ctx, &kept.id, &old.restart)?;
        }
        failpoint!("old-policy-back");
        self.restore_state(ctx, &record.name, old.state)?;
        failpoint!("old-started-again");
        Ok(())
    }

    /// Removes what has the name now, if it is what the deploy has made.
    fn remove_new(&self, ctx: &mut RunContext, record: &ContainerRecord) -> Result {
        let Some(new) = self.docker.container(ctx, &record.name)? else {
            return Ok(());
        };
        if new.image != record.new_image && !self.is_of_an_edited_template(&new) {
            return Err(format!(
                "{0} is {1} of {2} now, which the deploy has not made: it was left alone, and {3} is the one before",
                record.name,
                short_id(&new.id),
                new.reference(),
                keep_previous::previous(&record.name)
            ).into());
        }
        self.docker.remove(ctx, &new)?;
        failpoint!("new-removed");
        Ok(())
    }

    /// Somebody has edited the template while the script was reading it, so that it made another version. It was never
    /// started, and what somebody makes by hand on the page is.
    fn is_of_an_edited_template(&self, new: &Container) -> bool {
        new.label(unraid::MADE_BY_UNRAID).is_some()
            && new.status() == "created"
            && same_image(new.reference(), &self.config.deploy().image)
    }

    /// The old container is gone, which no deploy does: a new one of the old image is made the way this host makes them.
    fn make_again(&self, ctx: &mut RunContext, record: &ContainerRecord, old: &OldContainer) -> Result {
        let name = &record.name;
        let now = self.docker.container(ctx, name)?;
        if now.is_none_or(|now| now.image != old.image) {
            let message = format!("{name}: the one before was removed; making it again");
            ctx.say(Phase::Rollback, &message);
            match Replacer::of(self.config.deploy(), self.docker) {
                Replacer::Unraid(unraid) => unraid.make_again(ctx, name, old)?,
                Replacer::Swap(swap) => {
                    self.remove_new(ctx, record)?;
                    swap.make_again(ctx, name, old)?;
                }
                Replacer::Command(_) => {
                    return Err(
                        format!("{name} was removed, and backend command cannot make it again").into(),
                    );
                }
            }
        }
        let gone = || format!("{name} was removed and could not be made again");
        let made = self.docker.container(ctx, name)?.ok_or_else(gone)?;
        for network in &old.networks {
            if !made.networks().contains(network.as_str()) {
                self.docker.connect(ctx, network, name, name)?;
            }
        }
        self.restore_state(ctx, name, old.state)
    }

    /// Starts, stops or freezes the container until it is as it was.
    fn restore_state(&self, ctx: &mut RunContext, name: &str, state: OldState) -> Result {
        let now = self.docker.container(ctx, name)?;
        let is_active = now.as_ref().is_some_and(Container::is_active);
        let is_paused = now.is_some_and(|now| now.status() == "paused");
        match (state, is_active) {
            (OldState::Stopped, true) => return self.docker.stop(ctx, name),
            (OldState::Stopped, false) => return Ok(()),
            (_, false) => self.docker.start(ctx, name)?,
            (_, true) => {}
        }
        match state == OldState::Paused && !is_paused {
            true => self.docker.pause(ctx, name),
            false => Ok(()),
        }
    }

    /// It is what it was, as far as anybody can tell.
    fn prove(&self, ctx: &mut RunContext, name: &str, old: &OldContainer) -> Result {
        let wrong = |what: String| Err(Failure::Failed(format!("{name} {what}")));
        let Some(now) = self.docker.container(ctx, name)? else {
            return wrong("is gone".into());
        };
        if now.image != old.image {
            return wrong(format!("runs image {} instead of {}", now.image, old.image));
        }
        let networks = now.networks();
        if let Some(network) = old.networks.iter().find(|one| !networks.contains(one.as_str())) {
            return wrong(format!("is not in the network {network} any more"));
        }
        match old.state {
            OldState::Healthy | OldState::Running if !now.is_running() => {
                self.docker.say_log(ctx, name);
                return wrong(format!("is back and does not run: it is {}", now.describe()));
            }
            OldState::Healthy => {}
            _ => return Ok(()),
        }
        let containers = &self.config.deploy().containers;
        let known = containers.iter().find(|container| container.name == *name);
        let health = known.and_then(|known| Health::of(self.config, known, Some(self.docker), ""));
        health.map_or(Ok(()), |health| health.on_the_way_back().wait(ctx))
    }
}
