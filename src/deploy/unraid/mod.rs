//! Backend `unraid`: the template is edited, Unraid's own script replaces the container, inspection proves it.
//!
//! `update_container` removes the old container first, says nothing, and exits with 0 whatever happened (it was measured);
//! so its exit status and its output are not looked at. It is never ended in its middle: between removing and starting
//! there is no container. The image is on the host before it runs, so that its own pull may fail without harm.

pub mod folder;
mod lexis;
pub mod template;
pub mod xml;

use std::path::Path;

use crate::deploy::docker::Docker;
use crate::deploy::docker::seen::{Container, ImageId};
use crate::deploy::reference::short_id;
use crate::event::Phase;
use crate::limits::{KILL_AFTER, PROOF_DEADLINE, UPDATE_TOOL_DEADLINE};
use crate::run::{AtWork, Ending, Failure, Stage, Tool, ToolEnd};
use template::Template;

/// What the steps of this backend work with.
#[derive(Clone, Copy, Debug)]
pub struct Unraid<'a> {
    /// The docker client, for the proof.
    pub docker: Docker<'a>,
    /// `DEPLOYER_TEMPLATE_DIR`.
    pub templates: &'a Path,
    /// `DEPLOYER_UPDATE_CONTAINER_PATH`.
    pub script: &'a Path,
    /// What the script finds in its environment.
    pub environment: &'a [(String, String)],
}

impl Unraid<'_> {
    /// Looks at the template of `name` and at what it names now; changes nothing.
    pub fn check_template(&self, stage: &mut Stage, name: &str, image: &str) -> Result<(), Failure> {
        let found = self.find(stage, Phase::Preflight, name)?;
        let now = read(&found, |template| template.reference(image).map(str::to_owned))?;
        stage.say(
            Phase::Preflight,
            &format!("{name}: {} names {now}", found.path.display()),
        );
        Ok(())
    }

    /// What the template of `name` names now.
    pub fn named(&self, stage: &mut Stage, phase: Phase, name: &str, image: &str) -> Result<String, Failure> {
        let found = self.find(stage, phase, name)?;
        read(&found, |template| template.reference(image).map(str::to_owned))
    }

    /// Writes `image:version` into the template of `name`.
    pub fn write_template(
        &self,
        stage: &mut Stage,
        name: &str,
        image: &str,
        version: &str,
    ) -> Result<(), Failure> {
        let found = self.find(stage, Phase::Template, name)?;
        let path = found.path.display();
        let bytes = read(&found, |template| template.with_version(image, version))?;
        if bytes == found.bytes {
            stage.say(
                Phase::Template,
                &format!("{name}: {path} names {image}:{version} already"),
            );
            return Ok(());
        }
        folder::write(&found.path, &found.bytes, &bytes).map_err(Failure::Failed)?;
        stage.say(
            Phase::Template,
            &format!("{name}: {path} names {image}:{version} now"),
        );
        Ok(())
    }

    fn find(&self, stage: &mut Stage, phase: Phase, name: &str) -> Result<folder::Found, Failure> {
        let found = folder::find(self.templates, name).map_err(Failure::Failed)?;
        for warning in &found.warnings {
            stage.say(phase, warning);
        }
        Ok(found)
    }

    /// Runs the script for `name` and proves that it now runs `image`.
    pub fn update(&self, stage: &mut Stage, name: &str, image: &ImageId) -> Result<(), Failure> {
        let before = self.docker.container(stage, name)?;
        stage.say(
            Phase::Update,
            &format!("{name}: {} is at work", self.script.display()),
        );
        let end = stage.tool(&self.tool(name), &mut |line| Some(line.to_owned()))?;
        let after = stage.in_any_case(PROOF_DEADLINE, |stage| {
            let how = match end {
                ToolEnd::Ended(_) => Ended::ByItself,
                ToolEnd::AtWork(at_work) => self.decide(stage, name, image, before.as_ref(), at_work)?,
            };
            self.prove(stage, name, image, before.as_ref(), &how)
        })?;
        stage.say(
            Phase::Update,
            &format!("{name}: started {}, image {image}", short_id(&after.id)),
        );
        Ok(())
    }

    /// The script is past its deadline. Where the container is as it should be, it may go on with its housekeeping for
    /// a moment; where it is not, the script hangs, and only then is it ended.
    fn decide(
        &self,
        stage: &mut Stage,
        name: &str,
        image: &ImageId,
        before: Option<&Container>,
        at_work: AtWork,
    ) -> Result<Ended, Failure> {
        let now = self.docker.container(stage, name)?;
        let at_work = match replaced(image, before, now) {
            Ok(now) if now.is_running() || !before.is_some_and(Container::is_running) => {
                match stage.await_longer(at_work, KILL_AFTER, &mut |line| Some(line.to_owned()))? {
                    ToolEnd::Ended(_) => return Ok(Ended::ByItself),
                    ToolEnd::AtWork(at_work) => at_work,
                }
            }
            _ => at_work,
        };
        let why = at_work.why.clone();
        stage.kill(at_work)?;
        stage.say(
            Phase::Update,
            &format!("{name}: {why}; {} was killed", self.script.display()),
        );
        Ok(Ended::Killed(why))
    }

    /// The container, when it was replaced as it should be and runs.
    fn prove(
        &self,
        stage: &mut Stage,
        name: &str,
        image: &ImageId,
        before: Option<&Container>,
        how: &Ended,
    ) -> Result<Container, Failure> {
        let after = self.docker.container(stage, name)?;
        let after =
            replaced(image, before, after).map_err(|what| Failure::Failed(what.sentence(name, how)))?;
        self.keep_networks(stage, name, before, &after)?;
        self.started(stage, name, before, after)
    }

    /// The script does not connect a container to all the networks that Unraid's page gave it, and puts it into none
    /// at all when its network is missing.
    fn keep_networks(
        &self,
        stage: &mut Stage,
        name: &str,
        before: Option<&Container>,
        after: &Container,
    ) -> Result<(), Failure> {
        let Some(before) = before else { return Ok(()) };
        if after.network_mode() != before.network_mode() {
            return Err(Failure::Failed(format!(
                "{name}: its network was {} and is {} now: see <Network> in its template",
                before.network_mode(),
                after.network_mode()
            )));
        }
        for network in before.networks().difference(&after.networks()) {
            self.docker.connect(stage, network, name)?;
            stage.say(
                Phase::Update,
                &format!("{name}: connected to the network {network} again"),
            );
        }
        Ok(())
    }

    /// The script starts only what was running; a deploy is to have it live.
    fn started(
        &self,
        stage: &mut Stage,
        name: &str,
        before: Option<&Container>,
        after: Container,
    ) -> Result<Container, Failure> {
        if after.is_running() {
            return Ok(after);
        }
        if before.is_some_and(Container::is_running) || !after.state.error.is_empty() {
            self.docker.say_log(stage, name);
            return Err(Failure::Failed(format!(
                "{name}: replaced, but it is {}",
                after.describe()
            )));
        }
        stage.say(
            Phase::Update,
            &format!("{name}: was not running before; starting it"),
        );
        self.docker.start(stage, name)?;
        Ok(after)
    }

    fn tool(&self, name: &str) -> Tool {
        Tool {
            program: self.script.to_owned(),
            arguments: vec![name.into()],
            environment: self.environment.to_vec(),
            deadline: UPDATE_TOOL_DEADLINE,
            ending: Ending::NeverMidway,
            stdin: None,
        }
    }
}

fn read<T>(
    found: &folder::Found,
    use_it: impl FnOnce(&Template<'_>) -> Result<T, String>,
) -> Result<T, Failure> {
    let described = |why: String| Failure::Failed(format!("the template {}: {why}", found.path.display()));
    let template = Template::read(&found.bytes).map_err(|broken| described(broken.to_string()))?;
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
    /// There was a container and is none.
    Removed,
    /// There was none and is none.
    NotMade,
    /// It is the same as before.
    Same(String),
    /// It runs another image.
    Other(String),
}

impl Wrong {
    fn sentence(&self, name: &str, how: &Ended) -> String {
        let (what, hint) = match self {
            Wrong::Removed => (
                "removed it and made no new one".into(),
                ": its template's settings were refused by docker, see Unraid's Docker page",
            ),
            Wrong::NotMade => ("made no container".into(), ": see Unraid's Docker page"),
            Wrong::Same(id) => (format!("did not replace it: it still is {id}"), ""),
            Wrong::Other(what) => (format!("started {what}"), ""),
        };
        match how {
            Ended::ByItself => format!("{name}: update_container {what}{hint}"),
            Ended::Killed(why) => {
                format!("{name}: update_container was killed, because {why}; it {what}")
            }
        }
    }
}

/// The container, if it was replaced by one that runs `image`.
fn replaced(
    image: &ImageId,
    before: Option<&Container>,
    after: Option<Container>,
) -> Result<Container, Wrong> {
    let Some(after) = after else {
        return Err(match before {
            Some(_) => Wrong::Removed,
            None => Wrong::NotMade,
        });
    };
    if before.is_some_and(|before| before.id == after.id) {
        return Err(Wrong::Same(short_id(&after.id).to_owned()));
    }
    if after.image != *image {
        return Err(Wrong::Other(format!(
            "{} ({}) instead of the pulled {image}",
            after.image,
            after.reference()
        )));
    }
    Ok(after)
}
