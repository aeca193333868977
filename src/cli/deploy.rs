//! `deploy`: the run that a request to `/deploy` would start, ordered by somebody on the host.
//!
//! No token is asked for: who may write to our folders is root, and could do all of it by hand. The run is another
//! process; this one shows its lines, and may end before it.

use std::time::SystemTime;

use crate::cli::arguments::Arguments;
use crate::cli::commands::{BUILT_FROM, DRY_RUN, REPLACE};
use crate::cli::follow::{self, End, Follow};
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::settings_source::{self, Loaded};
use crate::cli::show::Show;
use crate::gate::{Authority, DeployTask, Sha, Task, Version};
use crate::os::{places, process};
use crate::queue::{Complaints, RunId, RunRequest, reserve};

/// Starts the run and follows it to its end.
///
/// # Errors
/// When it cannot be started: nothing has begun then.
pub fn deploy(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    // The same rules as for a request's body.
    let wrong = |rule: &str| arguments.wrong(rule);
    let sha = arguments
        .value(&BUILT_FROM)
        .map(|sha| Sha::try_from(sha.to_owned()));
    let task = DeployTask {
        version: Version::try_from(arguments.operand().to_owned()).map_err(wrong)?,
        sha: sha.transpose().map_err(wrong)?,
        dry_run: arguments.has(&DRY_RUN),
        force: arguments.has(&REPLACE),
        rollback: false,
    };
    let loaded = settings_source::load(arguments.env_file())?;
    places::prepare(&loaded.config.places)?;
    run(&loaded, Task::Deploy(task), Show::on_stdout(arguments))
}

/// Starts the run that `task` describes and follows it to its end.
///
/// # Errors
/// As [`deploy`].
pub fn run(loaded: &Loaded, task: Task, show: Show) -> Result<ExitStatus, CommandError> {
    let id = start(loaded, task)?;
    let printed = match show {
        Show::Json => Ok(ExitStatus::Done),
        Show::Plain | Show::Coloured => output::print(&format!("run {id}; times are UTC\n")),
    };
    let end = printed.and_then(|_| follow::follow(loaded, &id, Follow::ToTheEnd, show));
    if !matches!(end, Ok(End::Outcome(_))) {
        follow::say_it_goes_on(&id);
    }
    // Whatever kept us from following says nothing about the run.
    match end {
        Ok(end) => Ok(end.exit()),
        Err(error) => {
            output::report(error);
            Ok(ExitStatus::Unknown)
        }
    }
}

fn start(loaded: &Loaded, task: Task) -> Result<RunId, CommandError> {
    let (uid, user) = orderer();
    let now = SystemTime::now();
    let most = loaded.config.runs.queue_max;
    let id = RunId::new(now)?;
    let order = RunRequest::local(task, &id, uid, &user, now);
    let full = || format!("{most} runs wait already; `engram-deployer runs` lists them");
    let reservation = reserve(&loaded.config.places, most, order)?.ok_or_else(full)?;
    let authority = Authority::of_operator(id.as_str());
    let started = reservation.start(authority, &loaded.settings, Complaints::ToNobody);
    started.map_err(|error| CommandError::from(format!("start the run: {error}")))
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
