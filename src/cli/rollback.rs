//! `rollback`: deploys the last version that was healthy before the one that is live, as it was recorded then.
//!
//! It is a run like any other; only what to deploy is found out here.

use super::commands::{DRY_RUN, TAG_OF_NOW};
use super::deploy;
use super::show::date_and_clock_of;
use super::{Args, Loaded, Result, Show, complain, load, print, runs};
use crate::config::Places;
use crate::deploy::healthy::{HealthyVersion, HealthyVersions, Release};
use crate::gate::{DeployTask, Task};
use crate::queue::list::State;

/// Says what it deploys and why, deploys it, and follows that to its end.
///
/// # Errors
/// When there is no such version, or a run is at work: then it is not known what will be live.
pub fn rollback(args: &Args) -> Result {
    let loaded = load(args)?;
    let places = &loaded.config.places;
    nothing_is_under_way(places)?;
    let (release, why) = target(&HealthyVersions::read(places)?)?;
    let show = Show::on_stdout(args);
    match show {
        // What is for a program is lines of a run and nothing else.
        Show::Json => complain(&why),
        _ => drop(print(&(why + "\n"))?),
    }
    let task = Task::Deploy(DeployTask {
        version: release.version,
        sha: release.sha,
        dry_run: args.has(&DRY_RUN),
        force: args.has(&TAG_OF_NOW),
        rollback: true,
    });
    // That setting is about what is asked for by accident; whoever types this wants just that.
    let settings = loaded.settings.with("DEPLOYER_ALLOW_DOWNGRADE", "yes");
    deploy::run(&Loaded { settings, ..loaded }, task, show)
}

/// While a run is at work, or is not completed, nobody knows what will be live.
fn nothing_is_under_way(places: &Places) -> Result<(), String> {
    // Those that have ended come last.
    match runs::kept(places)?.first() {
        Some(run) if !matches!(run.state, State::Ended(_)) => Err(format!(
            "run {} is {}: `log -f` waits for it, `cancel` ends it, `recover` completes a dead one",
            run.order.run_id,
            runs::word_of(&run.state)
        )),
        _ => Ok(()),
    }
}

/// What to deploy, and why.
fn target(list: &HealthyVersions) -> Result<(Release, String), String> {
    let because = match (&list.half_deployed, list.live()) {
        (Some(failed), _) => format!("{failed} failed half-way and was not put back"),
        (None, Some(live)) => format!("{} is live", describe(live)),
        (None, None) => "nothing is live".to_owned(),
    };
    let Some(target) = list.rollback_target() else {
        let advice = "nothing tells of a version that was healthy before; `deploy VERSION` deploys one";
        return Err(format!("{because}, and {advice}"));
    };
    let why = format!("{because}; going back to {}, which was healthy", describe(target));
    Ok((target.release.clone(), why))
}

/// A version, and by which run: `1.2.3 (run R of 2026-01-02 03:04:05 UTC)`.
fn describe(version: &HealthyVersion) -> String {
    let (name, time) = (&version.release.version, date_and_clock_of(&version.healthy_at));
    format!("{name} (run {} of {time} UTC)", version.run_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(half_deployed: Option<&str>, previous: Option<&str>) -> HealthyVersions {
        let version = |version: &str, second: u32, previous: Option<&str>| {
            json!({"version": version, "sha": null, "image": null, "digest": null, "signed_by": null,
                "run_id": format!("20260102T03040{second}Z-0123456{second}"),
                "healthy_at": format!("2026-01-02T03:04:0{second}.000Z"), "previous": previous})
        };
        let versions = [version("2.0.0", 2, previous), version("1.0.0", 1, None)];
        serde_json::from_value(json!({"versions": versions, "half_deployed": half_deployed})).unwrap()
    }

    #[test]
    fn it_is_said_what_is_live_and_what_comes_instead() {
        let said = |list: &HealthyVersions| target(list).unwrap().1;
        assert_eq!(
            said(&list(None, Some("1.0.0"))),
            "2.0.0 (run 20260102T030402Z-01234562 of 2026-01-02 03:04:02 UTC) is live; going back to 1.0.0 (run \
             20260102T030401Z-01234561 of 2026-01-02 03:04:01 UTC), which was healthy"
        );
        assert!(
            said(&list(Some("3.0.0"), Some("1.0.0")))
                .starts_with("3.0.0 failed half-way and was not put back; going back to 2.0.0 (run ")
        );
    }

    #[test]
    fn where_there_is_nothing_to_go_back_to_it_is_said_why() {
        let error = target(&list(None, None)).unwrap_err();
        assert!(error.starts_with("2.0.0 (run "), "{error}");
        let error = target(&HealthyVersions::default()).unwrap_err();
        assert!(
            error.starts_with("nothing is live, and nothing tells of a version that was healthy before;"),
            "{error}"
        );
    }
}
