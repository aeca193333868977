//! Going back: [`undo`] puts everything that the journal names back to what it was, the last first.
//!
//! The one function for a deploy that fails and for one that died. It believes no record to be done or not done: it looks
//! at what is there, by ids, names and bytes, and does what is missing; so it may be killed anywhere and be called again.
//! What it has put back is proved as a deploy is. What somebody else has changed meanwhile is left to them, and said.

use serde_json::{Value, json};

use super::docker::{self, Container, ImageId, is_active};
use super::reference::{same_image, short_id};
use super::{ContainerRecord, Health, HealthyVersions, OldContainer, UndoRecord};
use super::{keep_previous, record_healthy, swap, unraid};
use crate::config::{Backend, Config};
use crate::failpoint;
use crate::limits::{DOCKER_QUICK, UNHURRIED};
use crate::run::{Result, RunContext, fail};

/// After what something is put back.
#[derive(Clone, Copy, PartialEq)]
pub enum UndoReason {
    /// A step failed, and what it had started has ended.
    Failed,
    /// The run died: what it had asked for last may be happening only now.
    Interrupted,
}

/// What came of putting back.
#[derive(Debug, Default)]
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
pub fn undo(ctx: &mut RunContext, entries: &[Value], reason: UndoReason) -> Result<Undone> {
    let mut undone = Undone::default();
    docker_answers(ctx)?;
    for entry in entries.iter().rev() {
        let done = ctx.in_any_case(UNHURRIED, |ctx| match serde_json::from_value(entry.clone()) {
            Ok(UndoRecord::Tag { reference, old, new }) => {
                restore_tag(ctx, &reference, old.as_ref(), &new).map(|()| None)
            }
            Ok(UndoRecord::Container(record)) => restore(ctx, &record, reason),
            Err(error) => fail(format!("an entry of the journal cannot be read: {error}")),
        });
        match done {
            Ok(rolled_back) => undone.rolled_back.extend(rolled_back),
            Err(failure) => {
                // Not its fault, then.
                docker_answers(ctx)?;
                undone.faults.push(failure.to_string());
            }
        }
    }
    let faults = &mut undone.faults;
    if !faults.is_empty() {
        faults.extend(mark_half_deployed(ctx.config, entries).err());
    }
    Ok(undone)
}

/// Writes down that what the deploy with these `entries` has changed was not put back, or not all of it.
pub fn mark_half_deployed(config: &Config, entries: &[Value]) -> Result<(), String> {
    match containers(entries).next() {
        Some(record) => HealthyVersions::record_half_deployed(&config.places, &record.release),
        None => Ok(()),
    }
}

/// Finishes a deploy that was done and died before it had tidied up: what it made live is written down as healthy, and the
/// containers that were kept go.
pub fn tidy(ctx: &mut RunContext, entries: &[Value]) {
    if let Some(record) = containers(entries).next() {
        record_healthy(ctx, record.release);
    }
    for record in containers(entries) {
        ctx.in_any_case(UNHURRIED, |ctx| keep_previous::remove_kept(ctx, &record.name));
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

fn docker_answers(ctx: &mut RunContext) -> Result {
    let version = ctx.in_any_case(DOCKER_QUICK, docker::server_version);
    let version = version.map_err(|failure| format!("docker does not answer: {failure}"));
    Ok(version.map(drop)?)
}

fn restore_tag(ctx: &mut RunContext, reference: &str, old: Option<&ImageId>, new: &ImageId) -> Result {
    let now = docker::image(ctx, reference)?.map(|image| image.id);
    if now.as_ref() == old {
        return Ok(());
    }
    if now.is_some_and(|now| now != *new) {
        ctx.tell(format!("{reference} was moved by somebody else, and stays"));
        return Ok(());
    }
    match old {
        Some(old) => docker::tag(ctx, old, reference)?,
        None => docker::remove_image(ctx, reference)?,
    }
    failpoint!("tag-back");
    let is = old.map_or("no tag".to_owned(), |old| format!("image {old}"));
    ctx.tell(format!("{reference} is {is} again"));
    Ok(())
}

/// A container, and its template first: that is what it would be made from.
fn restore(ctx: &mut RunContext, record: &ContainerRecord, reason: UndoReason) -> Result<Option<Value>> {
    let template = match &record.template {
        Some(backup) => unraid::restore(ctx, &record.name, backup),
        None => Ok(()),
    };
    failpoint!("template-restored");
    let back = restore_container(ctx, record, reason);
    failpoint!("container-back");
    // The container counts for more; both are told.
    match (back, template) {
        (Err(back), Err(template)) => fail(format!("{back}; {template}")),
        (back, template) => template.and(back),
    }
}

/// Brings the old container back, or one like it, and proves it.
fn restore_container(
    ctx: &mut RunContext,
    record: &ContainerRecord,
    reason: UndoReason,
) -> Result<Option<Value>> {
    let name = &record.name;
    swap::remove_next(ctx, name)?;
    let Some(old) = &record.old else {
        ctx.tell(format!("{name}: there was none before; what was made stays"));
        return Ok(None);
    };
    match docker::container(ctx, &old.id)?.filter(|kept| !kept.is_lost()) {
        Some(kept) => restore_kept(ctx, record, old, &kept, reason)?,
        None => make_again(ctx, record, old)?,
    }
    prove(ctx, name, old)?;
    ctx.tell(format!("{name}: back at {}", old.version()));
    Ok(Some(json!({"container": name, "to": old.version()})))
}

/// The old container is there, as `kept`: it gets its name back from the new one, then its restart policy, then the
/// state that it was in.
fn restore_kept(
    ctx: &mut RunContext,
    record: &ContainerRecord,
    old: &OldContainer,
    kept: &Container,
    reason: UndoReason,
) -> Result {
    let name = &record.name;
    if kept.name() != name {
        if kept.is_running() && reason == UndoReason::Interrupted {
            // The dead run may have had it stopped just now, and dockerd may still be about to.
            docker::stop(ctx, &kept.id)?;
        }
        remove_new(ctx, record)?;
        if docker::rename(ctx, &kept.id, name).is_err() {
            // Something has got the name just now: what the killed script still had made, or somebody else's.
            remove_new(ctx, record)?;
            docker::rename(ctx, &kept.id, name)?;
        }
        failpoint!("old-renamed-back");
    }
    if kept.restart_policy() != old.restart {
        docker::set_restart(ctx, &kept.id, &old.restart)?;
    }
    failpoint!("old-policy-back");
    restore_state(ctx, name, old)?;
    failpoint!("old-started-again");
    Ok(())
}

/// Removes what has the name now, if it is what the deploy has made.
fn remove_new(ctx: &mut RunContext, record: &ContainerRecord) -> Result {
    let name = &record.name;
    let Some(new) = docker::container(ctx, name)? else {
        return Ok(());
    };
    if new.image != record.new_image && !is_of_an_edited_template(ctx.config, &new) {
        return fail(format!(
            "{name} is {} of {} now, which the deploy has not made: it stays, and {} is the one before",
            short_id(&new.id),
            new.reference(),
            keep_previous::previous(name)
        ));
    }
    docker::remove(ctx, &new)?;
    failpoint!("new-removed");
    Ok(())
}

/// Somebody has edited the template while the script was reading it, so that it made another version. It was never
/// started, and what somebody makes by hand on the page is.
fn is_of_an_edited_template(config: &Config, new: &Container) -> bool {
    new.label(unraid::MADE_BY_UNRAID).is_some()
        && new.status() == "created"
        && same_image(new.reference(), &config.deploy().image)
}

/// The old container is gone, which no deploy does: a new one of the old image is made the way this host makes them.
fn make_again(ctx: &mut RunContext, record: &ContainerRecord, old: &OldContainer) -> Result {
    let name = &record.name;
    let now = docker::container(ctx, name)?;
    if now.is_none_or(|now| now.image != old.image) {
        ctx.tell(format!("{name}: the one before was removed; making it again"));
        match &ctx.config.deploy().backend {
            Backend::Unraid { script, .. } => unraid::make_again(ctx, script, name, old)?,
            Backend::Docker { declarations } => {
                remove_new(ctx, record)?;
                swap::make_again(ctx, declarations, name, old)?;
            }
            Backend::Command { .. } => {
                return fail(format!("{name} was removed, and a command cannot make it again"));
            }
        }
    }
    let gone = || format!("{name} was removed and could not be made again");
    let made = docker::container(ctx, name)?.ok_or_else(gone)?;
    for network in old.networks.difference(&made.networks()) {
        docker::connect(ctx, network, name, name)?;
    }
    restore_state(ctx, name, old)
}

/// Starts, stops or freezes the container until it is as it was.
fn restore_state(ctx: &mut RunContext, name: &str, old: &OldContainer) -> Result {
    let now = docker::container(ctx, name)?;
    let now = now.as_ref().map_or("", Container::status);
    match (is_active(&old.status), is_active(now)) {
        (false, true) => return docker::stop(ctx, name),
        (false, false) => return Ok(()),
        (true, false) => docker::start(ctx, name)?,
        (true, true) => {}
    }
    match old.status == "paused" && now != "paused" {
        true => docker::change(ctx, &["pause", name]),
        false => Ok(()),
    }
}

/// It is what it was, as far as anybody can tell.
fn prove(ctx: &mut RunContext, name: &str, old: &OldContainer) -> Result {
    let wrong = |what| fail(format!("{name} {what}"));
    let Some(now) = docker::container(ctx, name)? else {
        return wrong("is gone".into());
    };
    if now.image != old.image {
        return wrong(format!("runs image {} instead of {}", now.image, old.image));
    }
    if let Some(network) = old.networks.difference(&now.networks()).next() {
        return wrong(format!("is not in the network {network} any more"));
    }
    if old.status == "running" && !now.is_running() {
        docker::say_log(ctx, name);
        return wrong(format!("is back and does not run: it is {}", now.describe()));
    }
    if !old.was_healthy {
        return Ok(());
    }
    let config = ctx.config;
    let mut containers = config.deploy().containers.iter();
    let known = containers.find(|one| one.name == name);
    let health = known.and_then(|known| Health::of(config, known, None));
    health.map_or(Ok(()), |health| health.wait(ctx))
}
