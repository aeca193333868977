//! Backend `unraid`: the template is edited, Unraid's own script makes the container, inspection proves it.
//!
//! `update_container` removes the container first, says nothing, and exits with 0 whatever happened (it was measured); so
//! its exit status and its output are not looked at, and it never gets to see the container that serves: that is renamed,
//! the script makes a new one and does not start it (as it does where there is none), and only then is the old one
//! stopped. The image is on the host before it runs, so that its own pull may fail without harm. That pull takes as long as
//! the registry does, and in that time other containers find the old one by its name only where the name is an alias on
//! their network; so the new container gets that alias before it is started, for the next deploy.

mod backup;
pub mod folder;
pub mod template;

use std::path::Path;

use crate::deploy::docker::{self, Container, ImageId};
use crate::deploy::reference::short_id;
use crate::deploy::undo_record::{ContainerRecord, OldContainer, TemplateBackup};
use crate::deploy::{command, keep_previous};
use crate::failpoint;
use crate::limits::UNHURRIED;
use crate::run::{Failure, Result, RunContext, fail};
use backup::{still_ours, written};
use template::Template;

pub use backup::restore;

/// On every container that Unraid's page or script has made.
pub const MADE_BY_UNRAID: &str = "net.unraid.docker.managed";

/// The template of `name`, and the image that it names, which must be ours.
pub fn find(ctx: &mut RunContext, templates: &Path, name: &str) -> Result<(folder::Found, String)> {
    let found = folder::find(templates, name)?;
    found.warnings.iter().for_each(|warning| ctx.tell(warning));
    let named = Template::read(&found.text)
        .and_then(|template| Ok(template.reference(&ctx.config.deploy().image)?.to_owned()));
    let named = named.map_err(|why| format!("the template {}: {why}", found.path.display()))?;
    Ok((found, named))
}

/// The template of `name` as it is, for the journal.
pub fn back_up(
    ctx: &mut RunContext,
    templates: &Path,
    name: &str,
    reference: &str,
) -> Result<TemplateBackup> {
    let (found, _) = find(ctx, templates, name)?;
    Ok(TemplateBackup {
        path: found.path,
        text: found.text,
        new_reference: reference.to_owned(),
    })
}

/// Writes the new version into a template, which must be as `backup` has it.
pub fn write_template(ctx: &mut RunContext, name: &str, backup: &TemplateBackup) -> Result {
    let text = written(backup)?;
    let is_new = text != backup.text;
    if is_new {
        folder::write(&backup.path, &backup.text, &text)?;
    }
    failpoint!("template-written");
    let (path, reference) = (backup.path.display(), &backup.new_reference);
    let now = if is_new { "now" } else { "already" };
    ctx.tell(&format!("{name}: {path} names {reference} {now}"));
    Ok(())
}

/// Has the script make a container of the new image, and starts it in the place of the one before. `template` is what
/// that is made from: the script must read what we wrote.
pub fn update(
    ctx: &mut RunContext,
    script: &Path,
    record: &ContainerRecord,
    template: &TemplateBackup,
) -> Result {
    let (name, image) = (&record.name, &record.new_image);
    let old = docker::container(ctx, name)?;
    if old.as_ref().map(|old| &old.id) != record.old.as_ref().map(|old| &old.id) {
        return fail(format!(
            "{name} was replaced by somebody else just now; try again"
        ));
    }
    still_ours(template)?;
    if let Some(old) = &old {
        keep_previous::rename_old(ctx, name, old)?;
    }
    let killed = run_script(ctx, script, name)?;
    failpoint!("script-ended");
    let new = ctx.in_any_case(UNHURRIED, |ctx| {
        let made = made(ctx, name, image, killed)?;
        set_up_networks(ctx, name, old.as_ref(), &made)?;
        keep_previous::stop_old_start_new(ctx, name, old.as_ref())
    })?;
    if !new.is_running() {
        docker::say_log(ctx, name);
        return fail(format!("{name}: replaced, but it is {}", new.describe()));
    }
    ctx.tell(&format!("{name}: started {}, image {image}", short_id(&new.id)));
    Ok(())
}

/// Runs the script; why it was killed, where it was past its deadline: what it has made is looked at all the same.
fn run_script(ctx: &mut RunContext, script: &Path, name: &str) -> Result<Option<Failure>> {
    // Not cut by the end of the run, only by its own.
    match ctx.in_any_case(UNHURRIED, |ctx| command::run(ctx, script, name, &[])) {
        Ok(_) => Ok(None),
        Err(late @ Failure::Deadline { .. }) => {
            ctx.tell(&format!("{name}: {late}; it was killed"));
            Ok(Some(late))
        }
        Err(failure) => Err(failure),
    }
}

/// The container that the script has made, which must be one of `image`.
fn made(ctx: &mut RunContext, name: &str, image: &ImageId, killed: Option<Failure>) -> Result<Container> {
    let script = match killed {
        None => "update_container".to_owned(),
        Some(why) => format!("update_container was killed, because {why}; it"),
    };
    match docker::container(ctx, name)? {
        Some(made) if made.image == *image => Ok(made),
        Some(made) => {
            let (other, reference) = (&made.image, made.reference());
            fail(format!(
                "{name}: {script} made {other} ({reference}) instead of {image}"
            ))
        }
        None => fail(format!(
            "{name}: {script} made no container: were its template's settings refused by docker? see Unraid's Docker page"
        )),
    }
}

/// The script does not connect a container to all the networks that Unraid's page gave it, and puts it into none
/// at all when its network is missing. And the new one gets its name as an alias, so that the next deploy can rename
/// it without a gap, where that costs nothing: it has not started, and no address of its own could be lost.
fn set_up_networks(ctx: &mut RunContext, name: &str, old: Option<&Container>, new: &Container) -> Result {
    let mut without = new.networks_without_alias(name);
    without.retain(|network| !new.has_own_address(network));
    for network in without {
        docker::change(ctx, &["network", "disconnect", network, name])?;
        docker::connect(ctx, network, name, name)?;
    }
    let Some(old) = old else { return Ok(()) };
    let (was, is) = (old.network_mode(), new.network_mode());
    if was != is {
        let why = format!("{name}: its network was {was} and is {is} now: see <Network> in its template");
        return Err(why.into());
    }
    for network in old.networks().difference(&new.networks()) {
        docker::connect(ctx, network, name, name)?;
        ctx.tell(&format!("{name}: connected to the network {network} again"));
    }
    Ok(())
}

/// Has the script make the container `name` as it was, from its restored template; it does not start it.
pub fn make_again(ctx: &mut RunContext, script: &Path, name: &str, old: &OldContainer) -> Result {
    let killed = run_script(ctx, script, name)?;
    made(ctx, name, &old.image, killed).map(drop)
}
