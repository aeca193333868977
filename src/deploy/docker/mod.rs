//! Docker, through its client as a child process.
//!
//! The client speaks to every dockerd from 20.10 on and knows the host's contexts and credentials, so we parse no
//! protocol of Docker's. It gets the configured environment and nothing else. No secret is ever in its argv. An exit
//! status is trusted only where it was measured to mean something; a change is proved by looking afterwards.

pub mod images;
pub mod inspect;
pub mod login;
pub mod pull;

use std::time::{Duration, Instant};

use crate::config::DeployConfig;
use crate::deploy::reference::short_id;
use crate::event::Phase;
use crate::limits::{DOCKER_QUICK, DOCKER_RETURNS, FAILED_LOG_LINES, LOOK_INTERVAL, MAX_INSPECT, TAIL_LINES};
use crate::queue::EndPolicy;
use crate::run::{Ended, Failure, Result, RunContext, Tool};
use inspect::{Container, Image, ImageId};

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

/// Looking.
impl<'a> Docker<'a> {
    pub fn new(config: &'a DeployConfig) -> Self {
        Self { config }
    }

    /// The version of the dockerd that answers.
    pub fn server_version(&self, ctx: &mut RunContext) -> Result<String> {
        let arguments = ["version", "--format", "{{.Server.Version}}"];
        self.ask(ctx, "ask docker for its version", &arguments)
    }

    /// The image `name` (a reference or an id); `None` when it is not on this host.
    pub fn image(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Image>> {
        Ok(self.inspect(ctx, "image", &[name])?.pop())
    }

    /// The container `name`; `None` when there is none.
    pub fn container(&self, ctx: &mut RunContext, name: &str) -> Result<Option<Container>> {
        Ok(self.containers(ctx, &[name])?.pop())
    }

    /// The containers with these names, as far as there are any.
    pub fn containers(&self, ctx: &mut RunContext, names: &[&str]) -> Result<Vec<Container>> {
        let mut found: Vec<Container> = self.inspect(ctx, "container", names)?;
        found.retain(|container| names.contains(&container.name()));
        Ok(found)
    }

    /// The container with this id, whatever it is called; `None` when there is none.
    pub fn container_with_id(&self, ctx: &mut RunContext, id: &str) -> Result<Option<Container>> {
        let found: Option<Container> = self.inspect(ctx, "container", &[id])?.pop();
        Ok(found.filter(|container| container.id == id))
    }

    fn inspect<T: serde::de::DeserializeOwned>(
        &self,
        ctx: &mut RunContext,
        kind: &str,
        names: &[&str],
    ) -> Result<Vec<T>> {
        let doing = format!("inspect the {kind} {}", names.join(", "));
        let lines = self.lines_of_those_there(ctx, &doing, kind, "{{json .}}", names)?;
        let found = lines.lines().map(serde_json::from_str);
        found
            .collect::<Result<_, _>>()
            .map_err(|error| Failure::Failed(format!("{doing}: {error}")))
    }

    /// What `docker KIND inspect` prints of `names`, a line each; one that does not exist has none, and any other fault is
    /// a failure.
    fn lines_of_those_there(
        &self,
        ctx: &mut RunContext,
        doing: &str,
        kind: &str,
        format: &str,
        names: &[&str],
    ) -> Result<String> {
        let arguments = [&[kind, "inspect", "--format", format], names].concat();
        let most = MAX_INSPECT * names.len().max(1);
        let captured = ctx.capture(&self.tool(&arguments, DOCKER_QUICK), most)?;
        match are_missing(kind, &captured.tail) {
            true => Ok(String::from_utf8_lossy(&captured.stdout).trim().to_owned()),
            false => succeeded(&captured, doing),
        }
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

    fn ask(&self, ctx: &mut RunContext, doing: &str, arguments: &[&str]) -> Result<String> {
        let captured = ctx.capture(&self.tool(arguments, DOCKER_QUICK), MAX_INSPECT)?;
        succeeded(&captured, doing)
    }

    fn tool(&self, arguments: &[&str], deadline: Duration) -> Tool {
        Tool {
            arguments: arguments.iter().map(Into::into).collect(),
            environment: self.config.environment.clone(),
            ..Tool::new(&self.config.docker, deadline)
        }
    }
}

/// Changing. Each call returns when it is known whether dockerd has done what it was asked for.
impl Docker<'_> {
    /// Gives the image `id` the name `reference` too.
    pub fn tag(&self, ctx: &mut RunContext, id: &ImageId, reference: &str) -> Result {
        self.change(ctx, &["tag", id.as_str(), reference])
    }

    /// Takes a name off an image, or removes one without a name. With its last name it goes, unless a container uses it:
    /// then Docker refuses.
    pub fn remove_image(&self, ctx: &mut RunContext, name: &str) -> Result {
        self.change(ctx, &["image", "rm", "--no-prune", name])
    }

    /// Makes the container `name` and does not start it.
    pub fn create(&self, ctx: &mut RunContext, name: &str, creation: &Creation) -> Result {
        let arguments: Vec<&str> = creation.arguments.iter().map(String::as_str).collect();
        let mut tool = self.tool(&arguments, DOCKER_QUICK);
        tool.environment.extend(creation.environment.iter().cloned());
        tool.stdin = Some(creation.env_file.clone().into_bytes());
        change_by(self, ctx, &format!("docker create {name}"), tool)
    }

    pub fn start(&self, ctx: &mut RunContext, id: &str) -> Result {
        self.change(ctx, &["start", id])
    }

    /// Stops a container, within the time it was made with; one that does not run stays as it is.
    pub fn stop(&self, ctx: &mut RunContext, id: &str) -> Result {
        self.change(ctx, &["stop", id])
    }

    pub fn pause(&self, ctx: &mut RunContext, id: &str) -> Result {
        self.change(ctx, &["pause", id])
    }

    pub fn rename(&self, ctx: &mut RunContext, id: &str, to: &str) -> Result {
        self.change(ctx, &["rename", id, to])
    }

    /// Removes a container, stopped first if it runs; its volumes stay.
    pub fn remove(&self, ctx: &mut RunContext, container: &Container) -> Result {
        if container.is_active() {
            self.stop(ctx, &container.id)?;
        }
        self.change(ctx, &["rm", "--force", &container.id])
    }

    /// Sets what Docker does when a container ends.
    pub fn set_restart(&self, ctx: &mut RunContext, id: &str, policy: &str) -> Result {
        self.change(ctx, &["update", "--restart", policy, id])
    }

    /// Puts a container into a network as well, where others find it by `alias` too; Docker's own network has no aliases.
    pub fn connect(&self, ctx: &mut RunContext, network: &str, name: &str, alias: &str) -> Result {
        match network {
            "bridge" => self.change(ctx, &["network", "connect", network, name]),
            _ => self.change(ctx, &["network", "connect", "--alias", alias, network, name]),
        }
    }

    pub fn disconnect(&self, ctx: &mut RunContext, network: &str, name: &str) -> Result {
        self.change(ctx, &["network", "disconnect", network, name])
    }

    fn change(&self, ctx: &mut RunContext, arguments: &[&str]) -> Result {
        let words: Vec<&str> = arguments.iter().map(|word| short_id(word)).collect();
        let doing = format!("docker {}", words.join(" "));
        change_by(self, ctx, &doing, self.tool(arguments, DOCKER_QUICK))
    }
}

/// Has dockerd change something. Where the client's connection breaks, dockerd may have done it, may still be doing it, or
/// may never have heard of it. Then it is asked once more, when it answers again: it keeps a second call for the same
/// container waiting until the first is done, and refuses, in words of its own, what is done already.
fn change_by(docker: &Docker<'_>, ctx: &mut RunContext, doing: &str, tool: Tool) -> Result {
    let tool = Tool {
        end_policy: EndPolicy::WaitOut,
        ..tool
    };
    let first = ctx.capture(&tool, MAX_INSPECT)?;
    if !is_cut_off(&first) {
        return succeeded(&first, doing).map(drop);
    }
    let said = last_words(&first.tail, "");
    ctx.say(Phase::Update, &format!("{doing}: {said}; asking again"));
    ctx.in_any_case(DOCKER_RETURNS + DOCKER_QUICK, |ctx| {
        let until = Instant::now() + DOCKER_RETURNS;
        ctx.poll(LOOK_INTERVAL, until, |ctx| Ok(docker.server_version(ctx).ok()))?;
        let second = ctx.capture(&tool, MAX_INSPECT)?;
        match is_done_already(&second.tail) {
            true => Ok(()),
            false => succeeded(&second, doing).map(drop),
        }
    })
}

/// How dockerd refuses what it has done already.
fn is_done_already(complaints: &[String]) -> bool {
    const WORDS: [&str; 6] = [
        "is already in use by container",
        "is already paused",
        "with the same name as its current name",
        "already exists in network",
        "is not connected to",
        "no such image",
    ];
    let said = complaints.join("\n").to_ascii_lowercase();
    WORDS.iter().any(|word| said.contains(word))
}

/// Whether what came of a call is unknown: the client lost dockerd before it had an answer.
fn is_cut_off(captured: &Ended) -> bool {
    let said = captured.tail.join("\n").to_ascii_lowercase();
    let words = [
        "error during connect",
        "unexpected eof",
        ": eof",
        "connection reset",
        "broken pipe",
    ];
    let answered = captured.exit.is_success() || said.contains("error response from daemon");
    !answered && words.iter().any(|word| said.contains(word))
}

/// Whether all that docker complains of is that something does not exist. A longer list than is kept is not understood.
fn are_missing(kind: &str, complaints: &[String]) -> bool {
    let missing = format!("no such {kind}");
    !complaints.is_empty()
        && complaints.len() < TAIL_LINES
        && complaints
            .iter()
            .all(|line| line.to_ascii_lowercase().contains(&missing))
}

fn succeeded(captured: &Ended, doing: &str) -> Result<String> {
    match captured.exit.is_success() {
        true => Ok(String::from_utf8_lossy(&captured.stdout).trim().to_owned()),
        false => {
            let said = last_words(&captured.tail, &captured.exit.to_string());
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

    #[test]
    fn a_call_without_an_answer_is_told_from_one_that_was_refused() {
        let is_cut_off = |said: &str, code: i32| {
            super::is_cut_off(&Ended {
                exit: crate::os::child::Exit::Code(code),
                stdout: Vec::new(),
                tail: said.lines().map(str::to_owned).collect(),
            })
        };
        let lost =
            r#"error during connect: Post "http://%2Fvar%2Frun%2Fdocker.sock/v1.41/containers/a/stop": EOF"#;
        assert!(is_cut_off(lost, 1) && is_cut_off("unexpected EOF\nError: failed to start containers: a", 1));
        assert!(!is_cut_off(lost, 0) && !is_cut_off("Cannot connect to the Docker daemon at unix:///x", 1));
        assert!(!is_cut_off(
            "Error response from daemon: dial tcp: connection reset by peer",
            1
        ));
    }

    #[test]
    fn only_what_is_not_there_is_missing() {
        let missing = |lines: &[&str]| {
            are_missing(
                "container",
                &lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>(),
            )
        };
        assert!(missing(&[
            "Error: No such container: a",
            "Error response from daemon: No such container: b"
        ]));
        assert!(!missing(&[]) && !missing(&["No such container: a", "Cannot connect"]));
        assert!(!missing(&["no such container"; TAIL_LINES]));
    }
}
