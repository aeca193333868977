//! Docker, through its client as a child process.
//!
//! The client speaks to every dockerd from 20.10 on and knows the host's contexts and credentials, so we parse no
//! protocol of Docker's. It gets the configured environment and nothing else. No secret is ever in its argv. An exit
//! status is trusted only where it was measured to mean something; a change is proved by looking afterwards.

mod inspect;
pub mod login;
pub mod pull;

use std::path::PathBuf;
use std::time::Instant;

use serde::de::DeserializeOwned;

use crate::deploy::reference::short_id;
use crate::event::Phase;
use crate::limits::{DOCKER_QUICK, DOCKER_RETURNS, FAILED_LOG_LINES, LOOK_INTERVAL, MAX_INSPECT, TAIL_LINES};
use crate::os::child::Exit;
use crate::queue::EndPolicy;
use crate::run::{Ended, Result, RunContext, Tool, fail};

pub use inspect::{Container, Image, ImageId, is_active};

/// The version of the dockerd that answers.
pub fn server_version(ctx: &mut RunContext) -> Result<String> {
    ask(ctx, &["version", "--format", "{{.Server.Version}}"])
}

/// The image `name` (a reference or an id); `None` when it is not on this host.
pub fn image(ctx: &mut RunContext, name: &str) -> Result<Option<Image>> {
    Ok(inspect(ctx, "image", &[name])?.pop())
}

/// The container with this name or id; `None` when there is none.
pub fn container(ctx: &mut RunContext, name: &str) -> Result<Option<Container>> {
    Ok(containers(ctx, &[name])?.pop())
}

/// The containers with these names or ids, as far as there are any. Docker also finds one by the first digits of its id.
pub fn containers(ctx: &mut RunContext, names: &[&str]) -> Result<Vec<Container>> {
    let mut found: Vec<Container> = inspect(ctx, "container", names)?;
    found.retain(|one| names.contains(&one.name()) || names.contains(&one.id.as_str()));
    Ok(found)
}

/// What does not exist is left out; any other fault is a failure.
fn inspect<T: DeserializeOwned>(ctx: &mut RunContext, kind: &str, names: &[&str]) -> Result<Vec<T>> {
    let doing = format!("inspect the {kind} {}", names.join(", "));
    let arguments = [&[kind, "inspect", "--format", "{{json .}}"], names].concat();
    let captured = ctx.capture(&tool(ctx, &arguments), MAX_INSPECT * names.len())?;
    if !are_missing(kind, &captured.tail) {
        succeeded(&captured, &doing)?;
    }
    let lines = String::from_utf8_lossy(&captured.stdout);
    let found: Result<_, _> = lines.trim().lines().map(serde_json::from_str).collect();
    found.map_err(|error| format!("{doing}: {error}").into())
}

/// The folder in which dockerd keeps images; `None` where dockerd is on another machine.
pub fn image_folder(ctx: &mut RunContext) -> Result<Option<PathBuf>> {
    if !is_local(&ctx.config.deploy().environment) {
        return Ok(None);
    }
    let folder = ask(ctx, &["info", "--format", "{{.DockerRootDir}}"])?;
    Ok(Some(folder.into()))
}

/// With its own idea of a default the client talks to a socket here.
fn is_local(environment: &[(String, String)]) -> bool {
    environment.iter().all(|(name, value)| match name.as_str() {
        "DOCKER_HOST" => value.starts_with("unix://"),
        "DOCKER_CONTEXT" => value == "default",
        _ => true,
    })
}

/// Says the last lines of a container's log: why it failed stands there. That they cannot be had is no failure.
pub fn say_log(ctx: &mut RunContext, name: &str) {
    let logs = tool(ctx, &["logs", "--tail", &FAILED_LOG_LINES.to_string(), name]);
    let mut lines = Vec::new();
    let _ = ctx.tool(&logs, &mut |line| {
        lines.push(format!("{name}: {line}"));
        None
    });
    lines.iter().for_each(|line| ctx.say(Phase::Logs, line));
}

/// Has docker tell something; what it prints.
pub fn ask(ctx: &mut RunContext, arguments: &[&str]) -> Result<String> {
    let tool = tool(ctx, arguments);
    succeeded(&ctx.capture(&tool, MAX_INSPECT)?, &tool.name())
}

/// The client with these arguments.
pub fn tool(ctx: &RunContext, arguments: &[&str]) -> Tool {
    let config = ctx.config.deploy();
    Tool {
        arguments: arguments.iter().map(Into::into).collect(),
        environment: config.environment.clone(),
        ..Tool::new(&config.docker, DOCKER_QUICK)
    }
}

/// Gives the image `id` the name `reference` too.
pub fn tag(ctx: &mut RunContext, id: &ImageId, reference: &str) -> Result {
    change(ctx, &["tag", id.as_str(), reference])
}

/// Takes a name off an image, or removes one without a name. With its last name it goes, unless a container uses it:
/// then Docker refuses.
pub fn remove_image(ctx: &mut RunContext, name: &str) -> Result {
    change(ctx, &["image", "rm", "--no-prune", name])
}

pub fn start(ctx: &mut RunContext, id: &str) -> Result {
    change(ctx, &["start", id])
}

/// Stops a container, within the time it was made with; one that does not run stays as it is.
pub fn stop(ctx: &mut RunContext, id: &str) -> Result {
    change(ctx, &["stop", id])
}

pub fn rename(ctx: &mut RunContext, id: &str, to: &str) -> Result {
    change(ctx, &["rename", id, to])
}

/// Removes a container, stopped first if it runs; its volumes stay.
pub fn remove(ctx: &mut RunContext, container: &Container) -> Result {
    if container.is_active() {
        stop(ctx, &container.id)?;
    }
    change(ctx, &["rm", "--force", &container.id])
}

/// Sets what Docker does when a container ends.
pub fn set_restart(ctx: &mut RunContext, id: &str, policy: &str) -> Result {
    change(ctx, &["update", "--restart", policy, id])
}

/// Puts a container into a network as well, where others find it by `alias` too; Docker's own network has no aliases.
pub fn connect(ctx: &mut RunContext, network: &str, name: &str, alias: &str) -> Result {
    match network {
        "bridge" => change(ctx, &["network", "connect", network, name]),
        _ => change(ctx, &["network", "connect", "--alias", alias, network, name]),
    }
}

/// Has dockerd change something. When this returns it is known whether that is done.
pub fn change(ctx: &mut RunContext, arguments: &[&str]) -> Result {
    let words: Vec<&str> = arguments.iter().map(|word| short_id(word)).collect();
    change_by(ctx, &format!("docker {}", words.join(" ")), tool(ctx, arguments))
}

/// Where the client's connection breaks, dockerd may have done it, may still be doing it, or may never have heard of it.
/// Then it is asked once more, when it answers again: it keeps a second call for the same container waiting until the
/// first is done, and refuses, in words of its own, what is done already.
pub fn change_by(ctx: &mut RunContext, doing: &str, mut tool: Tool) -> Result {
    tool.end_policy = EndPolicy::WaitOut;
    let first = ctx.capture(&tool, MAX_INSPECT)?;
    if !is_cut_off(&first) {
        return succeeded(&first, doing).map(drop);
    }
    let said = last_words(&first.tail, first.exit);
    ctx.tell(format!("{doing}: {said}; asking again"));
    ctx.in_any_case(DOCKER_RETURNS + DOCKER_QUICK, |ctx| {
        let until = Instant::now() + DOCKER_RETURNS;
        ctx.poll(LOOK_INTERVAL, until, |ctx| Ok(server_version(ctx).ok()))?;
        let second = ctx.capture(&tool, MAX_INSPECT)?;
        match says(&second.tail, &DONE_ALREADY) {
            true => Ok(()),
            false => succeeded(&second, doing).map(drop),
        }
    })
}

/// How dockerd refuses what it has done already.
const DONE_ALREADY: [&str; 6] = [
    "is already in use by container",
    "is already paused",
    "with the same name as its current name",
    "already exists in network",
    "is not connected to",
    "no such image",
];

/// How a client ends that lost dockerd.
const CUT_OFF: [&str; 5] = [
    "error during connect",
    "unexpected eof",
    ": eof",
    "connection reset",
    "broken pipe",
];

fn says(lines: &[String], words: &[&str]) -> bool {
    let said = lines.join("\n").to_ascii_lowercase();
    words.iter().any(|word| said.contains(word))
}

/// Whether what came of a call is unknown: the client lost dockerd before it had an answer.
fn is_cut_off(Ended { exit, tail, .. }: &Ended) -> bool {
    let answered = exit.is_success() || says(tail, &["error response from daemon"]);
    !answered && says(tail, &CUT_OFF)
}

/// Whether all that docker complains of is that something does not exist. A longer list than is kept is not understood.
fn are_missing(kind: &str, complaints: &[String]) -> bool {
    let missing = format!("no such {kind}");
    let is_missing = |line: &String| line.to_ascii_lowercase().contains(&missing);
    !complaints.is_empty() && complaints.len() < TAIL_LINES && complaints.iter().all(is_missing)
}

fn succeeded(captured: &Ended, doing: &str) -> Result<String> {
    match captured.exit.is_success() {
        true => Ok(String::from_utf8_lossy(&captured.stdout).trim().to_owned()),
        false => fail(format!("{doing}: {}", last_words(&captured.tail, captured.exit))),
    }
}

/// The line that says what went wrong, without the words that every such line begins with; where there is none, how the
/// client ended.
pub fn last_words(tail: &[String], exit: Exit) -> String {
    // Clients end with a hint ("Run 'docker create --help' for more information") or with what they were asked to do
    // ("Error: failed to start containers: app"); what dockerd said of it stands before that.
    let idle = ["Run '", "See '", "Error: failed to "];
    let mut said: Vec<&str> = tail.iter().map(|line| line.trim()).collect();
    said.retain(|line| !line.is_empty());
    let telling = said
        .iter()
        .rfind(|line| !idle.iter().any(|begin| line.starts_with(begin)));
    let Some(line) = telling.or(said.last()) else {
        return exit.to_string();
    };
    let line = line.trim_start_matches("docker: ");
    line.trim_start_matches("Error response from daemon: ").to_owned()
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
            assert_eq!(last_words(&tail(lines), Exit::Code(1)), words);
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

    #[test]
    fn a_docker_of_this_machine_is_told_from_another() {
        let is_local = |name: &str, value: &str| is_local(&[(name.into(), value.into())]);
        assert!(is_local("PATH", "/bin") && is_local("DOCKER_HOST", "unix:///run/docker.sock"));
        assert!(is_local("DOCKER_CONTEXT", "default") && !is_local("DOCKER_CONTEXT", "far"));
        assert!(!is_local("DOCKER_HOST", "tcp://far:2376") && !is_local("DOCKER_HOST", "ssh://far"));
    }
}
