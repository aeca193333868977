//! Backend `unraid`: the template is edited, Unraid's own script makes the container, inspection proves it.
//!
//! `update_container` removes the container first, says nothing, and exits with 0 whatever happened (it was measured); so
//! its exit status and its output are not looked at, and it never gets to see the container that serves: that is set aside
//! under another name, the script makes a new one and does not start it (as it does where there is none), and only then
//! is the old one stopped. The image is on the host before it runs, so that its own pull may fail without harm.

mod backup;
pub mod folder;
pub mod template;

use std::path::Path;

use crate::config::{Backend, DeployConfig};
use crate::deploy::aside;
use crate::deploy::before::{Life, Sheet, Stood, Was};
use crate::deploy::docker::Docker;
use crate::deploy::docker::seen::{Container, ImageId};
use crate::deploy::reference::short_id;
use crate::event::Phase;
use crate::failpoint;
use crate::limits::{KILL_AFTER, PROOF_DEADLINE};
use crate::run::{AtWork, EndPolicy, Failure, RunContext, Tool, ToolEnd};
use backup::{still_ours, written};
use template::Template;

pub use backup::restore;

/// On every container that Unraid's page or script has made.
pub const MADE_BY_UNRAID: &str = "net.unraid.docker.managed";

/// What the steps of this backend work with.
#[derive(Clone, Copy, Debug)]
pub struct Unraid<'a> {
    config: &'a DeployConfig,
    docker: Docker<'a>,
}

/// Starts the container that the script makes, whatever ran before (from Unraid 6.12.8 on).
const START_IT: &str = "ca_docker_run_override";

impl<'a> Unraid<'a> {
    /// As `config` has it.
    pub fn of(config: &'a DeployConfig) -> Self {
        let docker = Docker::new(config);
        Self { config, docker }
    }

    /// `DEPLOYER_TEMPLATE_DIR` and `DEPLOYER_UPDATE_CONTAINER_PATH`.
    fn paths(&self) -> Result<(&'a Path, &'a Path), Failure> {
        match &self.config.backend {
            Backend::Unraid {
                templates,
                update_container,
            } => Ok((templates, update_container)),
            _ => Err(Failure::failed("DEPLOYER_BACKEND is not unraid any more")),
        }
    }

    /// Looks at the template of `name` and at what it names now; changes nothing.
    pub fn check_template(&self, ctx: &mut RunContext, name: &str, image: &str) -> Result<(), Failure> {
        let found = self.find(ctx, Phase::Preflight, name)?;
        let now = read(&found, |template| template.reference(image).map(str::to_owned))?;
        ctx.say(
            Phase::Preflight,
            &format!("{name}: {} names {now}", found.path.display()),
        );
        Ok(())
    }

    /// What the template of `name` names now.
    pub fn named(
        &self,
        ctx: &mut RunContext,
        phase: Phase,
        name: &str,
        image: &str,
    ) -> Result<String, Failure> {
        let found = self.find(ctx, phase, name)?;
        read(&found, |template| template.reference(image).map(str::to_owned))
    }

    /// The template of `name` as it is, for the journal.
    pub fn sheet(
        &self,
        ctx: &mut RunContext,
        name: &str,
        image: &str,
        version: &str,
    ) -> Result<Sheet, Failure> {
        let found = self.find(ctx, Phase::Template, name)?;
        read(&found, |template| template.reference(image).map(drop))?;
        Ok(Sheet {
            path: found.path,
            text: found.text,
            image: image.to_owned(),
            version: version.to_owned(),
        })
    }

    /// Writes the new version into a template, which must be as `sheet` has it.
    pub fn write_template(&self, ctx: &mut RunContext, name: &str, sheet: &Sheet) -> Result<(), Failure> {
        let (path, reference) = (sheet.path.display(), format!("{}:{}", sheet.image, sheet.version));
        let text = written(sheet).map_err(Failure::Failed)?;
        let now = match text == sheet.text {
            true => "already",
            false => {
                folder::write(&sheet.path, &sheet.text, &text).map_err(Failure::Failed)?;
                "now"
            }
        };
        failpoint!("template-written");
        ctx.say(
            Phase::Template,
            &format!("{name}: {path} names {reference} {now}"),
        );
        Ok(())
    }

    fn find(&self, ctx: &mut RunContext, phase: Phase, name: &str) -> Result<folder::Found, Failure> {
        let found = folder::find(self.paths()?.0, name).map_err(Failure::Failed)?;
        for warning in &found.warnings {
            ctx.say(phase, warning);
        }
        Ok(found)
    }

    /// Has the script make a container `name` of `image`, and starts it in the place of the one before. `template` is what
    /// that is made from: the script must read what we wrote.
    pub fn update(&self, ctx: &mut RunContext, was: &Was, template: &Sheet) -> Result<(), Failure> {
        let (name, image) = (&was.name, &was.becomes);
        let before = self.docker.container(ctx, name)?;
        if before.as_ref().map(|before| &before.id) != was.stood.as_ref().map(|stood| &stood.id) {
            let sentence = format!("{name} was replaced by somebody else just now; try again");
            return Err(Failure::Failed(sentence));
        }
        still_ours(template)?;
        if let Some(before) = &before {
            aside::set_aside(self.docker, ctx, name, &before.id)?;
        }
        ctx.say(
            Phase::Update,
            &format!("{name}: {} is at work", self.paths()?.1.display()),
        );
        let how = self.run_script(ctx, name, &[], image)?;
        failpoint!("script-ended");
        ctx.in_any_case(PROOF_DEADLINE, |ctx| {
            self.made(ctx, name, image, before.as_ref(), &how)
        })?;
        let now = aside::hand_over(self.docker, ctx, name, before.as_ref())?;
        if !now.is_running() {
            self.docker.say_log(ctx, name);
            let sentence = format!("{name}: replaced, but it is {}", now.describe());
            return Err(Failure::Failed(sentence));
        }
        ctx.say(
            Phase::Update,
            &format!("{name}: started {}, image {image}", short_id(&now.id)),
        );
        Ok(())
    }

    /// Runs the script, and ends it where it hangs.
    fn run_script(
        &self,
        ctx: &mut RunContext,
        name: &str,
        more: &[&str],
        image: &ImageId,
    ) -> Result<Ended, Failure> {
        let tool = self.tool(name, more)?;
        match ctx.tool(&tool, &mut |line| Some(line.to_owned()))? {
            ToolEnd::Ended(_) => Ok(Ended::ByItself),
            ToolEnd::AtWork(at_work) => {
                ctx.in_any_case(PROOF_DEADLINE, |ctx| self.decide(ctx, name, image, at_work))
            }
        }
    }

    /// The script is past its deadline. Where it has made the container, it may go on with its housekeeping for a moment;
    /// where it has not, it hangs, and only then is it ended.
    fn decide(
        &self,
        ctx: &mut RunContext,
        name: &str,
        image: &ImageId,
        at_work: AtWork,
    ) -> Result<Ended, Failure> {
        let now = self.docker.container(ctx, name)?;
        let at_work = match now.is_some_and(|now| now.image == *image) {
            true => match ctx.await_longer(at_work, KILL_AFTER, &mut |line| Some(line.to_owned()))? {
                ToolEnd::Ended(_) => return Ok(Ended::ByItself),
                ToolEnd::AtWork(at_work) => at_work,
            },
            false => at_work,
        };
        let why = at_work.why.clone();
        ctx.kill(at_work)?;
        let script = self.paths()?.1.display();
        ctx.say(Phase::Update, &format!("{name}: {why}; {script} was killed"));
        Ok(Ended::Killed(why))
    }

    /// The script has made what it should, in the networks that the one before is in.
    fn made(
        &self,
        ctx: &mut RunContext,
        name: &str,
        image: &ImageId,
        before: Option<&Container>,
        how: &Ended,
    ) -> Result<(), Failure> {
        let wrong = |what: Wrong| Failure::Failed(what.sentence(name, how));
        let new = self
            .docker
            .container(ctx, name)?
            .ok_or_else(|| wrong(Wrong::Nothing))?;
        if new.image != *image {
            let what = format!(
                "{} ({}) instead of the pulled {image}",
                new.image,
                new.reference()
            );
            return Err(wrong(Wrong::Other(what)));
        }
        self.keep_networks(ctx, name, before, &new)
    }

    /// The script does not connect a container to all the networks that Unraid's page gave it, and puts it into none
    /// at all when its network is missing.
    fn keep_networks(
        &self,
        ctx: &mut RunContext,
        name: &str,
        before: Option<&Container>,
        new: &Container,
    ) -> Result<(), Failure> {
        let Some(before) = before else { return Ok(()) };
        if new.network_mode() != before.network_mode() {
            return Err(Failure::Failed(format!(
                "{name}: its network was {} and is {} now: see <Network> in its template",
                before.network_mode(),
                new.network_mode()
            )));
        }
        for network in before.networks().difference(&new.networks()) {
            self.docker.connect(ctx, network, name)?;
            ctx.say(
                Phase::Update,
                &format!("{name}: connected to the network {network} again"),
            );
        }
        Ok(())
    }

    /// Has the script make the container `name` as it stood, from its restored template.
    pub fn make_again(&self, ctx: &mut RunContext, name: &str, stood: &Stood) -> Result<(), Failure> {
        let more: &[&str] = match stood.life {
            Life::Stopped => &[],
            Life::Running | Life::Healthy => &[START_IT],
        };
        let how = self.run_script(ctx, name, more, &stood.image)?;
        match self.docker.container(ctx, name)? {
            Some(made) if made.image == stood.image => Ok(()),
            Some(other) => {
                let what = format!(
                    "{} ({}) instead of {}",
                    other.image,
                    other.reference(),
                    stood.image
                );
                Err(Failure::Failed(Wrong::Other(what).sentence(name, &how)))
            }
            None => Err(Failure::Failed(Wrong::Nothing.sentence(name, &how))),
        }
    }

    fn tool(&self, name: &str, more: &[&str]) -> Result<Tool, Failure> {
        Ok(Tool {
            program: self.paths()?.1.to_owned(),
            arguments: [&[name], more].concat().iter().map(Into::into).collect(),
            environment: self.config.environment.clone(),
            deadline: self.config.update_max_wait,
            ending: EndPolicy::NeverMidway,
            stdin: None,
            cell: None,
            pipe: None,
        })
    }
}

fn read<T>(
    found: &folder::Found,
    use_it: impl FnOnce(&Template<'_>) -> Result<T, String>,
) -> Result<T, Failure> {
    let described = |why: String| Failure::Failed(format!("the template {}: {why}", found.path.display()));
    let template = Template::read(&found.text).map_err(described)?;
    use_it(&template).map_err(described)
}

/// How the script ended.
enum Ended {
    /// As it does.
    ByItself,
    /// By us, after this deadline.
    Killed(Failure),
}

/// What is not as it should be after the script.
#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    /// There is no container.
    Nothing,
    /// There is one of another image.
    Other(String),
}

impl Wrong {
    fn sentence(&self, name: &str, how: &Ended) -> String {
        let (what, hint) = match self {
            Wrong::Nothing => (
                "made no container".to_owned(),
                ": were its template's settings refused by docker? see Unraid's Docker page",
            ),
            Wrong::Other(what) => (format!("made {what}"), ""),
        };
        match how {
            Ended::ByItself => format!("{name}: update_container {what}{hint}"),
            Ended::Killed(why) => {
                format!("{name}: update_container was killed, because {why}; it {what}")
            }
        }
    }
}
