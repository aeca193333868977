//! `rollback`: deploys the last version that was healthy before the one that is live.
//!
//! What was healthy, and what is live, the records of the kept runs tell. It is a run like any other; only what to deploy
//! is found out here.

use std::path::Path;

use crate::cli::args::{Effect, Form};
use crate::cli::deploy;
use crate::cli::given::{self, Given};
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::cli::show::{Show, date_and_clock_of};
use crate::config::Places;
use crate::event::{Phase, Status};
use crate::gate::{DeployTask, Task};
use crate::gate::{Sha, Version};
use crate::os::places;
use crate::queue::RunId;
use crate::queue::list::{self, Entry, State};
use crate::queue::record::{Record, Shown};

/// Says what it deploys and why, deploys it, and follows that to its end.
///
/// # Errors
/// When there is no such version, or a run is at work: then it is not known what will be live.
pub fn rollback(env_file: Option<&Path>, effect: Effect, form: Form) -> Result<Exit, Trouble> {
    let given = given::config(env_file)?;
    places::prepare(&given.config.places)?;
    let target = find(&given.config.places)?;
    let show = Show::on_stdout(form);
    match show {
        // What is for a program is lines of a run and nothing else.
        Show::Json => out::complain(&target.why),
        Show::Readable(_) => drop(out::print(&format!("{}\n", target.why))?),
    }
    let task = Task::Deploy(DeployTask {
        version: target.version,
        sha: target.sha,
        dry_run: effect == Effect::DryRun,
        force: false,
    });
    // That setting is about what is asked for by accident; whoever types this wants just that.
    let settings = given.settings.with("DEPLOYER_ALLOW_DOWNGRADE", "yes");
    deploy::carry_out(&Given { settings, ..given }, task, show)
}

/// What to go back to.
#[derive(Debug, PartialEq)]
struct Target {
    version: Version,
    sha: Option<Sha>,
    /// A sentence.
    why: String,
}

fn find(places: &Places) -> Result<Target, String> {
    let entries = list::entries(places).map_err(|error| format!("read the runs: {error}"))?;
    let came_to_update = |id: &RunId| {
        list::came_to(places, id, Phase::Update).map_err(|error| format!("read the log of run {id}: {error}"))
    };
    choose(&entries, came_to_update)
}

/// A version that was healthy, by the run that made it live.
#[derive(Clone, Debug)]
struct Healthy<'a> {
    version: &'a Version,
    sha: Option<&'a Sha>,
    record: &'a Record,
}

/// Walks through the runs in the order in which they ended. A deploy of a version that was live before goes back to it:
/// what came after it is off the way, so that two rollbacks in a row never lead forward again.
fn choose(entries: &[Entry], changed: impl Fn(&RunId) -> Result<bool, String>) -> Result<Target, String> {
    let mut way: Vec<Healthy<'_>> = Vec::new();
    let mut broken = None;
    for entry in entries.iter().rev() {
        let record = match &entry.state {
            State::Ended(record) => record,
            State::Dead => return Err(dead(&entry.order.run_id)),
            State::Running(_) | State::Queued => return Err(at_work(&entry.order.run_id)),
        };
        let Task::Deploy(DeployTask { version, sha, .. }) = &entry.order.task else {
            continue;
        };
        let sha = sha.as_ref();
        match (record.shown, record.outcome.status) {
            (Shown::RunsAlone, _) => {}
            (Shown::Status, Status::Ok) => {
                broken = None;
                if let Some(before) = way.iter().position(|one| one.version == version) {
                    way.truncate(before);
                }
                way.push(Healthy { version, sha, record });
            }
            (Shown::Status, Status::Fail) => {
                if !was_put_back(record) && changed(&entry.order.run_id)? {
                    broken = Some(record);
                }
            }
        }
    }
    let live = way.pop();
    match (broken, live) {
        (Some(broken), Some(live)) => Ok(target(
            &live,
            &format!("{} failed half-way and was not put back", what(broken)),
        )),
        (None, Some(live)) => match way.last() {
            Some(before) => Ok(target(before, &format!("{} is live", what(live.record)))),
            None => Err(format!(
                "{} is live, and no kept run tells of a version that was healthy before it; `engram-deployer deploy \
                 VERSION` deploys one",
                what(live.record)
            )),
        },
        (_, None) => Err(
            "no kept run tells of a version that was healthy; `engram-deployer deploy VERSION` deploys one"
                .to_owned(),
        ),
    }
}

fn dead(id: &RunId) -> String {
    format!("run {id} was interrupted and is not completed; have that done first (`engram-deployer recover`)")
}

fn at_work(id: &RunId) -> String {
    format!(
        "run {id} has not ended, and what is live is not known before it has; wait for it (`engram-deployer log -f \
         {id}`), end it (`engram-deployer cancel {id}`), or name a version to `engram-deployer deploy`"
    )
}

fn target(to: &Healthy<'_>, because: &str) -> Target {
    Target {
        version: to.version.clone(),
        sha: to.sha.cloned(),
        why: format!("{because}; going back to {}, which was healthy", what(to.record)),
    }
}

/// A version, and by which run: `1.2.3 (run R of 2026-01-02 03:04:05 UTC)`.
fn what(record: &Record) -> String {
    let outcome = &record.outcome;
    format!(
        "{} (run {} of {} UTC)",
        outcome.version.as_deref().unwrap_or("-"),
        outcome.run_id,
        date_and_clock_of(&outcome.finished_at)
    )
}

/// All that the run had changed was put back; that may be nothing but a tag.
fn was_put_back(record: &Record) -> bool {
    let more = &record.outcome.more;
    more.contains_key("rolled_back") && !more.contains_key("rollback_failed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::RunRequest;
    use crate::queue::record::End;
    use serde_json::json;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    /// A run for each word, in the order in which they ended: the version, and behind it what came of it.
    fn entries(words: &str) -> Vec<Entry> {
        let numbered = words.split_whitespace().enumerate();
        let mut entries: Vec<Entry> = numbered.map(|(index, word)| entry(index, word)).collect();
        entries.reverse();
        entries
    }

    fn entry(index: usize, word: &str) -> Entry {
        let (version, how) = word.split_at(1);
        let id = RunId::parse(&format!("20260102T030405Z-{index:08x}")).unwrap();
        let task = Task::Deploy(DeployTask {
            version: format!("{version}.0.0").try_into().unwrap(),
            sha: None,
            dry_run: how == "dry",
            force: false,
        });
        let finished = UNIX_EPOCH + Duration::from_secs(index as u64);
        let order = RunRequest::local(task, &id, 0, "root", SystemTime::now());
        let end = End {
            error: (!matches!(how, "" | "dry")).then(|| "no luck".to_owned()),
            more: match how {
                "back" => json!({"rolled_back": []}),
                "stuckhalf" => {
                    json!({"rolled_back": [{"container": "a", "to": "1"}], "rollback_failed": true})
                }
                _ => json!({}),
            }
            .as_object()
            .cloned()
            .unwrap_or_default(),
            started: finished,
            finished,
            shown: match how {
                "queued" => Shown::RunsAlone,
                _ => Shown::Status,
            },
        };
        let state = match how {
            "running" => State::Running("now".into()),
            "dead" => State::Dead,
            _ => State::Ended(Box::new(Record::new(&order, end))),
        };
        Entry { order, state }
    }

    /// The version gone back to, or the error; in a run called `half` something was changed, in one called `early` not.
    fn chosen(words: &str) -> Result<String, String> {
        let changed = |id: &RunId| {
            let index = usize::from_str_radix(&id.as_str()[17..], 16).unwrap();
            Ok(words.split_whitespace().nth(index).unwrap().ends_with("half"))
        };
        choose(&entries(words), changed).map(|target| target.version.to_string()[..1].to_owned())
    }

    #[test]
    fn the_version_before_the_live_one_is_gone_back_to() {
        for (words, expected) in [
            ("1 2", "1"),
            ("1 2 3", "2"),
            ("1 2 2 2", "1"),
            ("1 2 3dry", "1"),
            ("1 2 3queued", "1"),
            // Nothing was changed, or it was put back: the one before it is still live.
            ("1 2 3early", "1"),
            ("1 2 3back", "1"),
            ("1 2 3early 4back", "1"),
            // What is live is neither old nor new.
            ("1 2 3half", "2"),
            ("1 2 3half 4early", "2"),
            ("1 2 3stuckhalf", "2"),
            ("1 2 3half 4back", "2"),
            ("1 2 3half 2", "1"),
            ("1 2 3half 3", "2"),
            // Never forward again.
            ("1 2 3 2", "1"),
            ("1 2 3 2 4", "2"),
        ] {
            assert_eq!(chosen(words), Ok(expected.to_owned()), "{words}");
        }
    }

    #[test]
    fn where_there_is_nothing_to_go_back_to_it_is_said_why() {
        for (words, why) in [
            ("", "no kept run tells of a version that was healthy;"),
            ("1half", "no kept run tells of a version that was healthy;"),
            ("1dry", "no kept run tells of a version that was healthy;"),
            (
                "1",
                "1.0.0 (run 20260102T030405Z-00000000 of 1970-01-01 00:00:00 UTC) is live, and no",
            ),
            ("1 2 1", "1.0.0 (run 20260102T030405Z-00000002 "),
            ("1 2 3running", "run 20260102T030405Z-00000002 has not ended"),
            ("1 2 3dead", "recover"),
        ] {
            let error = chosen(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
    }

    #[test]
    fn it_is_said_what_is_live_and_what_comes_instead() {
        let why = choose(&entries("1 2"), |_| Ok(false)).unwrap().why;
        assert_eq!(
            why,
            "2.0.0 (run 20260102T030405Z-00000001 of 1970-01-01 00:00:01 UTC) is live; going back to 1.0.0 (run \
             20260102T030405Z-00000000 of 1970-01-01 00:00:00 UTC), which was healthy"
        );
        let why = choose(&entries("1 2half"), |_| Ok(true)).unwrap().why;
        assert!(
            why.contains("failed half-way and was not put back; going back to 1.0.0"),
            "{why}"
        );
    }
}
