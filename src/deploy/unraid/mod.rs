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

use crate::config::DeployConfig;
use crate::deploy::docker::Docker;
use crate::deploy::docker::inspect::{Container, ImageId};
use crate::deploy::keep_previous;
use crate::deploy::reference::short_id;
use crate::deploy::undo_record::{ContainerRecord, OldContainer, TemplateBackup};
use crate::event::Phase;
use crate::failpoint;
use crate::limits::UNHURRIED;
use crate::run::{Failure, Result, RunContext, Tool};
use backup::{still_ours, written};
use template::Template;

pub use backup::restore;

/// On every container that Unraid's page or script has made.
pub const MADE_BY_UNRAID: &str = "net.unraid.docker.managed";

/// What the steps of this backend work with.
#[derive(Clone, Copy, Debug)]
pub struct Unraid<'a> {
    pub config: &'a DeployConfig,
    pub docker: Docker<'a>,
    /// `DEPLOYER_TEMPLATE_DIR`.
    pub templates: &'a Path,
    /// `DEPLOYER_UPDATE_CONTAINER_PATH`.
    pub script: &'a Path,
}

impl Unraid<'_> {
    /// Looks at the template of `name` and says what it names now; changes nothing.
    pub fn check_template(&self, ctx: &mut RunContext, name: &str) -> Result {
        let (found, now) = self.find(ctx, Phase::Preflight, name)?;
        let path = found.path.display();
        ctx.say(Phase::Preflight, &format!("{name}: {path} names {now}"));
        Ok(())
    }

    /// The image that the template of `name` names now.
    pub fn named(&self, ctx: &mut RunContext, phase: Phase, name: &str) -> Result<String> {
        self.find(ctx, phase, name).map(|(_, reference)| reference)
    }

    /// The template of `name` as it is, for the journal.
    pub fn back_up(&self, ctx: &mut RunContext, name: &str, version: &str) -> Result<TemplateBackup> {
        let (found, _) = self.find(ctx, Phase::Template, name)?;
        Ok(TemplateBackup {
            path: found.path,
            text: found.text,
            image: self.config.image.clone(),
            version: version.to_owned(),
        })
    }

    /// The template of `name`, and the image that it names, which must be ours.
    fn find(&self, ctx: &mut RunContext, phase: Phase, name: &str) -> Result<(folder::Found, String)> {
        let found = folder::find(self.templates, name)?;
        for warning in &found.warnings {
            ctx.say(phase, warning);
        }
        let template = Template::read(&found.text);
        let reference = template.and_then(|template| Ok(template.reference(&self.config.image)?.to_owned()));
        match reference {
            Ok(reference) => Ok((found, reference)),
            Err(why) => Err(Failure::Failed(format!(
                "the template {}: {why}",
                found.path.display()
            ))),
        }
    }

    /// Writes the new version into a template, which must be as `backup` has it.
    pub fn write_template(&self, ctx: &mut RunContext, name: &str, backup: &TemplateBackup) -> Result {
        let text = written(backup)?;
        let now = match text == backup.text {
            true => "already",
            false => {
                folder::write(&backup.path, &backup.text, &text)?;
                "now"
            }
        };
        failpoint!("template-written");
        let (path, reference) = (backup.path.display(), backup.new_reference());
        let message = format!("{name}: {path} names {reference} {now}");
        ctx.say(Phase::Template, &message);
        Ok(())
    }

    /// Has the script make a container of the new image, and starts it in the place of the one before. `template` is what
    /// that is made from: the script must read what we wrote.
    pub fn update(
        &self,
        ctx: &mut RunContext,
        record: &ContainerRecord,
        template: &TemplateBackup,
    ) -> Result {
        let name = &record.name;
        let old = self.docker.container(ctx, name)?;
        if old.as_ref().map(|old| &old.id) != record.old.as_ref().map(|old| &old.id) {
            let sentence = format!("{name} was replaced by somebody else just now; try again");
            return Err(Failure::Failed(sentence));
        }
        still_ours(template)?;
        if let Some(old) = &old {
            keep_previous::rename_old(self.docker, ctx, name, old)?;
        }
        let killed = self.run_script(ctx, name)?;
        failpoint!("script-ended");
        let new = ctx.in_any_case(UNHURRIED, |ctx| {
            let made = self.made(ctx, name, &record.new_image, killed.as_ref())?;
            self.set_up_networks(ctx, name, old.as_ref(), &made)?;
            keep_previous::stop_old_start_new(self.docker, ctx, name, old.as_ref())
        })?;
        if !new.is_running() {
            self.docker.say_log(ctx, name);
            return Err(format!("{name}: replaced, but it is {}", new.describe()).into());
        }
        let message = format!(
            "{name}: started {}, image {}",
            short_id(&new.id),
            record.new_image
        );
        ctx.say(Phase::Update, &message);
        Ok(())
    }

    /// Runs the script; why it was killed, where it was past its deadline: what it has made is looked at all the same.
    fn run_script(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Failure>> {
        let message = format!("{name}: {} is at work", self.script.display());
        ctx.say(Phase::Update, &message);
        let tool = Tool {
            arguments: vec![name.into()],
            environment: self.config.environment.clone(),
            ..Tool::new(self.script, self.config.update_max_wait)
        };
        // Not cut by the end of the run, only by its own.
        let end = ctx.in_any_case(UNHURRIED, |ctx| {
            ctx.tool(&tool, &mut |line| Some(line.to_owned()))
        });
        match end {
            Ok(_) => Ok(None),
            Err(late @ Failure::Deadline { .. }) => {
                ctx.say(Phase::Update, &format!("{name}: {late}; it was killed"));
                Ok(Some(late))
            }
            Err(failure) => Err(failure),
        }
    }

    /// The container that the script has made, which must be one of `image`.
    fn made(
        &self,
        ctx: &mut RunContext,
        name: &str,
        image: &ImageId,
        killed: Option<&Failure>,
    ) -> Result<Container> {
        let script = match killed {
            None => "update_container".to_owned(),
            Some(why) => format!("update_container was killed, because {why}; it"),
        };
        match self.docker.container(ctx, name)? {
            Some(made) if made.image == *image => Ok(made),
            Some(made) => Err(Failure::Failed(format!(
                "{name}: {script} made {} ({}) instead of {image}",
                made.image,
                made.reference()
            ))),
            None => Err(Failure::Failed(format!(
                "{name}: {script} made no container: were its template's settings refused by docker? see Unraid's Docker page"
            ))),
        }
    }

    /// The script does not connect a container to all the networks that Unraid's page gave it, and puts it into none
    /// at all when its network is missing. And the new one gets its name as an alias, so that the next deploy can rename
    /// it without a gap, where that costs nothing: it has not started, and no address of its own could be lost.
    fn set_up_networks(
        &self,
        ctx: &mut RunContext,
        name: &str,
        old: Option<&Container>,
        new: &Container,
    ) -> Result {
        let without = new.networks_without_alias(name);
        for network in without
            .into_iter()
            .filter(|network| !new.has_own_address(network))
        {
            self.docker.disconnect(ctx, network, name)?;
            self.docker.connect(ctx, network, name, name)?;
        }
        let Some(old) = old else { return Ok(()) };
        if new.network_mode() != old.network_mode() {
            return Err(format!(
                "{name}: its network was {} and is {} now: see <Network> in its template",
                old.network_mode(),
                new.network_mode()
            )
            .into());
        }
        for network in old.networks().difference(&new.networks()) {
            self.docker.connect(ctx, network, name, name)?;
            let message = format!("{name}: connected to the network {network} again");
            ctx.say(Phase::Update, &message);
        }
        Ok(())
    }

    /// Has the script make the container `name` as it was, from its restored template; it does not start it.
    pub fn make_again(&self, ctx: &mut RunContext, name: &str, old: &OldContainer) -> Result {
        let killed = self.run_script(ctx, name)?;
        self.made(ctx, name, &old.image, killed.as_ref()).map(drop)
    }
}
