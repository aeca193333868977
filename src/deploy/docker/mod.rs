//! Docker, through its client as a child process.
//!
//! The client speaks to every dockerd from 20.10 on and knows the host's contexts and credentials, so we parse no
//! protocol of Docker's. It gets the configured environment and nothing else. No secret is ever in its argv. An exit
//! status is trusted only where it was measured to mean something; a change is proved by looking afterwards.

mod images;
pub mod login;
pub mod pull;
pub mod seen;

use std::time::{Duration, Instant};

use crate::config::DeployConfig;
use crate::event::Phase;
use crate::limits::{DOCKER_QUICK, FAILED_LOG_LINES, MAX_INSPECT, PULL_AGAIN, PULL_DEADLINE, STOP_DEADLINE};
use crate::run::{Captured, EndPolicy, Failure, RunContext, Tool, ToolEnd};
use login::LoggedIn;
use pull::PullFault;
use seen::{Container, Image, ImageId};

/// The docker client of this host.
#[derive(Clone, Copy, Debug)]
pub struct Docker<'a> {
    config: &'a DeployConfig,
}

/// What `docker create` is told. No `Debug`: two of its parts may be secret.
#[derive(Clone)]
pub struct Creation {
    /// After `create`.
    pub arguments: Vec<String>,
    /// For the client's own environment, where `--env NAME` finds it.
    pub environment: Vec<(String, String)>,
    /// For `--env-file /dev/stdin`.
    pub env_file: String,
}

impl<'a> Docker<'a> {
    /// The client that `config` names.
    pub fn new(config: &'a DeployConfig) -> Self {
        Self { config }
    }

    /// The version of the dockerd that answers.
    pub fn server_version(&self, ctx: &mut RunContext) -> Result<String, Failure> {
        self.quiet(
            ctx,
            "ask docker for its version",
            &["version", "--format", "{{.Server.Version}}"],
        )
    }

    /// Pulls `reference`; its progress is said line by line. The digest that the registry named, if it named one.
    ///
    /// # Errors
    /// With the kind of failure first, then the client's last words. One that may pass by itself was tried again.
    pub fn pull(
        &self,
        ctx: &mut RunContext,
        reference: &str,
        login: Option<&LoggedIn>,
    ) -> Result<Option<String>, Failure> {
        let mut tool = self.tool(&["pull", reference], PULL_DEADLINE);
        if let Some(login) = login {
            tool.environment = login.environment(&tool.environment);
        }
        let mut waits = PULL_AGAIN.iter();
        loop {
            let ((fault, hint), said) = match pull_once(ctx, &tool, reference)? {
                Ok(digest) => return Ok(digest),
                Err(said) => (pull::meaning(&said), said),
            };
            let failure = format!("pull failed: {hint}: {said}");
            match (fault, waits.next()) {
                (PullFault::Unreachable, Some(wait)) => {
                    ctx.say(
                        Phase::Pull,
                        &format!("{failure}; trying again in {} s", wait.as_secs()),
                    );
                    ctx.pause(*wait)?;
                }
                _ => return Err(Failure::Failed(failure)),
            }
        }
    }

    /// The image `name` (a reference or an id); `None` when it is not on this host.
    pub fn image(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Image>, Failure> {
        self.look(ctx, "image", name)
    }

    /// The container `name`; `None` when there is none.
    pub fn container(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Container>, Failure> {
        let found: Option<Container> = self.look(ctx, "container", name)?;
        Ok(found.filter(|container| container.is_named(name)))
    }

    /// The container with this id, whatever it is called; `None` when there is none.
    pub fn container_with_id(&self, ctx: &mut RunContext, id: &str) -> Result<Option<Container>, Failure> {
        let found: Option<Container> = self.look(ctx, "container", id)?;
        Ok(found.filter(|container| container.id == id))
    }

    fn look<T: serde::de::DeserializeOwned>(
        &self,
        ctx: &mut RunContext,
        kind: &str,
        name: &str,
    ) -> Result<Option<T>, Failure> {
        let doing = format!("inspect the {kind} {name}");
        let captured = self.run(ctx, &[kind, "inspect", "--format", "{{json .}}", name])?;
        if captured.exit.is_success() {
            let found = serde_json::from_slice(&captured.stdout);
            return found
                .map(Some)
                .map_err(|error| Failure::Failed(format!("{doing}: {error}")));
        }
        let said = last_words(&captured.stderr_tail, &captured.exit.to_string());
        match said.to_ascii_lowercase().contains(&format!("no such {kind}")) {
            true => Ok(None),
            false => Err(Failure::Failed(format!("{doing}: {said}"))),
        }
    }

    /// Gives the image `id` the name `reference` too.
    pub fn tag(&self, ctx: &mut RunContext, id: &ImageId, reference: &str) -> Result<(), Failure> {
        self.change(ctx, &format!("tag {reference}"), &["tag", id.as_str(), reference])
    }

    /// Takes the name `reference` from its image. The image stays while it has another name or a container.
    pub fn untag(&self, ctx: &mut RunContext, reference: &str) -> Result<(), Failure> {
        let arguments = ["image", "rm", "--no-prune", reference];
        self.change(ctx, &format!("remove the tag {reference}"), &arguments)
    }

    /// Makes a container and does not start it.
    pub fn create(&self, ctx: &mut RunContext, name: &str, creation: &Creation) -> Result<(), Failure> {
        let arguments: Vec<&str> = creation.arguments.iter().map(String::as_str).collect();
        let mut tool = self.changing(&arguments, DOCKER_QUICK);
        tool.environment.extend(creation.environment.iter().cloned());
        tool.stdin = Some(creation.env_file.clone().into_bytes());
        let captured = ctx.capture(&tool, MAX_INSPECT)?;
        succeeded(&captured, &format!("create {name}")).map(drop)
    }

    /// Starts a container.
    pub fn start(&self, ctx: &mut RunContext, name: &str) -> Result<(), Failure> {
        self.change(ctx, &format!("start {name}"), &["start", name])
    }

    /// Stops a container, within the time it was made with.
    pub fn stop(&self, ctx: &mut RunContext, name: &str) -> Result<(), Failure> {
        let captured = ctx.capture(&self.changing(&["stop", name], STOP_DEADLINE), MAX_INSPECT)?;
        succeeded(&captured, &format!("stop {name}")).map(drop)
    }

    /// Ends a container at once.
    pub fn kill(&self, ctx: &mut RunContext, name: &str) -> Result<(), Failure> {
        self.change(ctx, &format!("kill {name}"), &["kill", name])
    }

    /// Gives a container another name.
    pub fn rename(&self, ctx: &mut RunContext, from: &str, to: &str) -> Result<(), Failure> {
        self.change(ctx, &format!("rename {from} to {to}"), &["rename", from, to])
    }

    /// Removes a container, running or not; its volumes stay.
    pub fn remove(&self, ctx: &mut RunContext, name: &str) -> Result<(), Failure> {
        self.change(ctx, &format!("remove {name}"), &["rm", "--force", name])
    }

    /// Sets what Docker does when a container ends.
    pub fn set_restart(&self, ctx: &mut RunContext, name: &str, policy: &str) -> Result<(), Failure> {
        let arguments = ["update", "--restart", policy, name];
        self.change(
            ctx,
            &format!("set the restart policy of {name} to {policy}"),
            &arguments,
        )
    }

    /// Puts a container into a network as well.
    pub fn connect(&self, ctx: &mut RunContext, network: &str, name: &str) -> Result<(), Failure> {
        let doing = format!("connect {name} to the network {network}");
        self.change(ctx, &doing, &["network", "connect", network, name])
    }

    /// Says the last lines of a container's log: why it failed stands there. That they cannot be had is no failure.
    pub fn say_log(&self, ctx: &mut RunContext, name: &str) {
        let most = FAILED_LOG_LINES.to_string();
        let mut lines = Vec::new();
        let tool = self.tool(&["logs", "--tail", &most, name], DOCKER_QUICK);
        let _ = ctx.tool(&tool, &mut |line| {
            lines.push(line.to_owned());
            None
        });
        for line in lines {
            ctx.say(Phase::Logs, &format!("{name}: {line}"));
        }
    }

    fn change(&self, ctx: &mut RunContext, doing: &str, arguments: &[&str]) -> Result<(), Failure> {
        let captured = ctx.capture(&self.changing(arguments, DOCKER_QUICK), MAX_INSPECT)?;
        succeeded(&captured, doing).map(drop)
    }

    fn quiet(&self, ctx: &mut RunContext, doing: &str, arguments: &[&str]) -> Result<String, Failure> {
        let captured = self.run(ctx, arguments)?;
        succeeded(&captured, doing)
    }

    fn run(&self, ctx: &mut RunContext, arguments: &[&str]) -> Result<Captured, Failure> {
        ctx.capture(&self.tool(arguments, DOCKER_QUICK), MAX_INSPECT)
    }

    /// A client that has something changed. Ending it would not end what dockerd does for it, so whoever completes a dead
    /// run waits for it instead, and finds the change made or not made.
    fn changing(&self, arguments: &[&str], deadline: Duration) -> Tool {
        Tool {
            ending: EndPolicy::NeverMidway,
            ..self.tool(arguments, deadline)
        }
    }

    fn tool(&self, arguments: &[&str], deadline: Duration) -> Tool {
        Tool {
            program: self.config.docker.clone(),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: self.config.environment.clone(),
            deadline,
            ending: EndPolicy::Terminate,
            stdin: None,
            cell: None,
            pipe: None,
        }
    }
}

/// One attempt: the digest, or the client's last words.
fn pull_once(
    ctx: &mut RunContext,
    tool: &Tool,
    reference: &str,
) -> Result<Result<Option<String>, String>, Failure> {
    let mut digest = None;
    let end = ctx.tool(tool, &mut |line| {
        digest = line.strip_prefix("Digest: ").map(str::to_owned).or(digest.take());
        // Its last line only repeats the reference.
        (line != reference).then(|| line.to_owned())
    });
    match end {
        Ok(ToolEnd::Ended(ended)) if ended.exit.is_success() => Ok(Ok(digest)),
        Ok(ToolEnd::Ended(ended)) => Ok(Err(last_words(&ended.tail, &ended.exit.to_string()))),
        Ok(ToolEnd::AtWork(at_work)) => {
            ctx.kill(at_work)?;
            Ok(Err(pull::HUNG.into()))
        }
        // The client has no timeout of its own. Where only this attempt's time is up, there is some left for another.
        Err(Failure::Deadline { .. }) if ctx.check().is_ok() => Ok(Err(pull::HUNG.into())),
        Err(failure) => Err(failure),
    }
}

fn succeeded(captured: &Captured, doing: &str) -> Result<String, Failure> {
    match captured.exit.is_success() {
        true => Ok(String::from_utf8_lossy(&captured.stdout).trim().to_owned()),
        false => {
            let said = last_words(&captured.stderr_tail, &captured.exit.to_string());
            Err(Failure::Failed(format!("{doing}: {said}")))
        }
    }
}

/// The line that says what went wrong, without the words that every such line begins with; `or` when there is none.
pub fn last_words(tail: &[String], or: &str) -> String {
    // Clients end with a hint ("Run 'docker create --help' for more information") or with what they were asked to do
    // ("Error: failed to start containers: app"); what dockerd said of it stands before that.
    let idle = ["Run '", "See '", "Error: failed to "];
    let is_idle = |line: &&&str| idle.iter().any(|begin| line.starts_with(begin));
    let said: Vec<&str> = tail
        .iter()
        .map(|line| line.trim())
        .filter(|line| !line.is_empty())
        .collect();
    let telling = said.iter().rfind(|line| !is_idle(line));
    let line = telling.or(said.last()).copied().unwrap_or(or);
    let line = line.strip_prefix("docker: ").unwrap_or(line);
    line.strip_prefix("Error response from daemon: ")
        .unwrap_or(line)
        .to_owned()
}

/// How long ago, for a person: `1.2s`.
pub fn since(start: Instant) -> String {
    format!("{:.1}s", start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_the_ones_that_tell() {
        let tail = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        for (lines, words) in [
            (&["a", "Error response from daemon: b", ""][..], "b"),
            (
                &[
                    "docker: invalid reference format",
                    "",
                    "Run 'docker create --help' for more information",
                ],
                "invalid reference format",
            ),
            (
                &["docker: 'x' is bad.", "See 'docker create --help'."],
                "'x' is bad.",
            ),
            (
                &[
                    "Error response from daemon: port is already allocated",
                    "Error: failed to start containers: app",
                ],
                "port is already allocated",
            ),
            (
                &["Error: failed to start containers: app"],
                "Error: failed to start containers: app",
            ),
            (&[], "exit status 1"),
        ] {
            assert_eq!(last_words(&tail(lines), "exit status 1"), words);
        }
    }
}
