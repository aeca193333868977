//! `deploy`: the run that a request to `/deploy` would start, ordered by somebody on the host.
//!
//! No token is asked for: who may write to our folders is root, and could do all of it by hand. The run is another
//! process; this one shows its lines, and may end before it.

use std::path::Path;
use std::time::SystemTime;

use crate::cli::args::{self, AlreadyThere, Effect, Follow};
use crate::cli::commands::Verb;
use crate::cli::follow::{self, End};
use crate::cli::given::{self, Given};
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::cli::show::Show;
use crate::cli::words;
use crate::gate::{Authority, DeployTask, Sha, Task, Version};
use crate::os::{places, process};
use crate::queue::{Complaints, ReserveError, RunId, RunRequest, reserve};

/// Starts the run and follows it to its end.
///
/// # Errors
/// When it cannot be started: nothing has begun then.
pub fn deploy(env_file: Option<&Path>, asked: &args::Deploy) -> Result<Exit, Trouble> {
    let task = task(asked)?;
    let given = given::config(env_file)?;
    places::prepare(&given.config.places)?;
    carry_out(&given, task, Show::on_stdout(asked.form))
}

/// Starts the run that `ask` asks for and follows it to its end.
///
/// # Errors
/// As [`deploy`].
pub fn carry_out(given: &Given, task: Task, show: Show) -> Result<Exit, Trouble> {
    let id = start(given, task)?;
    let followed = match show {
        Show::Json => Ok(Exit::Done),
        Show::Readable(_) => out::print(&format!("run {id}; times are UTC\n")),
    };
    let end = followed.and_then(|_| follow::follow(given, &id, Follow::ToTheEnd, show));
    if !matches!(end, Ok(End::Outcome(_))) {
        follow::say_it_goes_on(&id);
    }
    // Whatever kept us from following says nothing about the run.
    match end {
        Ok(end) => Ok(end.exit()),
        Err(trouble) => {
            out::explain(trouble);
            Ok(Exit::Unknown)
        }
    }
}

/// The same rules as for a request's body.
fn task(asked: &args::Deploy) -> Result<Task, Trouble> {
    let senseless = |rule: &str| words::error(Verb::Deploy, rule);
    let version = Version::try_from(asked.version.clone()).map_err(senseless)?;
    let sha = asked.sha.clone().map(Sha::try_from);
    Ok(Task::Deploy(DeployTask {
        version,
        sha: sha.transpose().map_err(senseless)?,
        dry_run: asked.effect == Effect::DryRun,
        force: asked.already_there == AlreadyThere::Replaced,
    }))
}

fn start(given: &Given, task: Task) -> Result<RunId, Trouble> {
    let (uid, user) = orderer();
    let now = SystemTime::now();
    let most = given.config.runs.queue_max;
    let id = RunId::new(now)?;
    let order = RunRequest::local(task, &id, uid, &user, now);
    let reservation = reserve(&given.config.places, most, order).map_err(|error| match error {
        ReserveError::Full => format!("{most} runs wait already; `engram-deployer runs` lists them"),
        ReserveError::Failed(sentence) => sentence,
    })?;
    let authority = Authority::of_operator(id.as_str());
    let started = reservation.start(authority, &given.settings, Complaints::ToNobody);
    started.map_err(|error| Trouble::unable(format!("start the run: {error}")))
}

/// Who ordered it; with what sudo(8) says of who that was before. A note for a person: root could have set it to anything.
fn orderer() -> (u32, String) {
    let (uid, user) = process::own_user();
    let is_name = |name: &String| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        (1..=32).contains(&name.len()) && name.bytes().all(letter)
    };
    match std::env::var("SUDO_USER").ok().filter(is_name) {
        Some(before) => (uid, format!("{user}, by sudo of {before}")),
        None => (uid, user),
    }
}
