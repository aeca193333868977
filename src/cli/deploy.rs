//! `deploy`: the run that a request to `/deploy` would start, ordered by somebody on the host.
//!
//! No token is asked for: who may write to our folders is root, and could do all of it by hand. The run is another
//! process; this one shows its lines, and may end before it.

use std::time::SystemTime;

use super::commands::{BUILT_FROM, DRY_RUN, REPLACE};
use super::follow::{follow, say_it_goes_on};
use super::{Args, ExitStatus, Loaded, Result, Show, load, print, report};
use crate::event::harmless;
use crate::gate::{Authority, DeployTask, Task};
use crate::os::process;
use crate::queue::{RunId, RunRequest, reserve};

pub fn deploy(args: &Args) -> Result {
    // The same rules as for a request's body.
    let version = args.operand.clone().try_into();
    let task = DeployTask {
        version: version.map_err(|rule: &str| args.wrong(rule))?,
        sha: args.checked(&BUILT_FROM)?,
        dry_run: args.has(&DRY_RUN),
        force: args.has(&REPLACE),
        rollback: false,
    };
    run(&load(args)?, Task::Deploy(task), Show::on_stdout(args))
}

/// Starts the run that `task` describes and follows it to its end.
///
/// # Errors
/// When it cannot be started: nothing has begun then.
pub fn run(loaded: &Loaded, task: Task, show: Show) -> Result {
    let id = start(loaded, task)?;
    let follow = || {
        if show != Show::Json {
            print(&format!("run {id}; times are UTC\n"))?;
        }
        follow(loaded, &id, None, show)
    };
    // Whatever kept us from following says nothing about the run.
    follow().or_else(|error| {
        say_it_goes_on(&id);
        report(error);
        Ok(ExitStatus::Unknown)
    })
}

fn start(loaded: &Loaded, task: Task) -> Result<RunId> {
    let (uid, user) = orderer();
    let now = SystemTime::now();
    let most = loaded.config.runs.queue_max;
    let id = RunId::new(now)?;
    let order = RunRequest::local(task, &id, uid, &user, now);
    let full = || format!("{most} runs wait already (`runs` lists them)");
    let reservation = reserve(&loaded.config.places, most, order)?.ok_or_else(full)?;
    let authority = Authority::of_operator(id.as_str());
    let started = reservation.start(authority, &loaded.settings);
    started.map_err(|error| format!("start the run: {error}").into())
}

/// Who ordered it; with what sudo(8) says of who that was before. A note for a person: root could have set it to anything.
fn orderer() -> (u32, String) {
    let (uid, user) = process::own_user();
    match std::env::var("SUDO_USER") {
        Ok(before) if before.len() <= 32 => (uid, format!("{user}, by sudo of {}", harmless(&before))),
        _ => (uid, user),
    }
}
