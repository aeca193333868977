use super::*;

use serde_json::{Value, json};

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use crate::event::Phase;
use crate::queue::ensure_published;
use crate::queue::folder::testing::{Scratch, order};
use crate::queue::publish::outcome_in;
use crate::queue::record::Publication;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045 + seconds)
}

fn config(places: &Places, keep: u32) -> Config {
    let mut config = crate::queue::testing::config(places);
    config.runs.keep = keep;
    config
}

/// A run that ended; its second decides its place among the others.
fn run(places: &Places, keep: u32, seconds: u64, publication: Publication) -> RunId {
    let id = RunId::new(at(seconds)).unwrap();
    end(places, keep, seconds, publication, &order(&id));
    id
}

/// An order that was to change nothing.
fn dry(id: &RunId) -> RunRequest {
    let mut order = order(id);
    match &mut order.task {
        Task::Deploy(task) => task.dry_run = true,
        #[cfg(feature = "terraform")]
        other => panic!("{other:?}"),
    }
    order
}

fn end(places: &Places, keep: u32, seconds: u64, publication: Publication, order: &RunRequest) {
    let id = &order.run_id;
    RunFolder::of(places, id).create(order).unwrap();
    let mut log = Log::open(&RunFolder::of(places, id).log(), id);
    log.say(Phase::Queued, "starting");
    let mut record = Record::new(order, at(seconds), at(seconds + 1));
    record.publication = publication;
    conclude(&config(places, keep), &record, id, &mut log).unwrap();
}

fn public(places: &Places, name: &str) -> Value {
    serde_json::from_slice(&fs::read(places.public().join(name)).unwrap()).unwrap()
}

fn listed(places: &Places) -> Vec<String> {
    let runs = public(places, "runs.json")["runs"].take();
    runs.as_array()
        .unwrap()
        .iter()
        .map(|run| run["run_id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_recorded_run_is_its_endpoints_status_and_the_first_in_the_list() {
    let scratch = Scratch::new("record-status");
    let first = run(&scratch.0, 50, 0, Publication::Status);
    let second = run(&scratch.0, 50, 10, Publication::Status);
    assert_eq!(public(&scratch.0, "deploy.json")["run_id"], second.as_str());
    assert_eq!(listed(&scratch.0), [second.to_string(), first.to_string()]);
    let runs = public(&scratch.0, "runs.json");
    assert_eq!(runs["running"], Value::Null);
    assert_eq!(runs["runs"][0]["endpoint"], "deploy");
    assert_eq!(runs["runs"][0]["origin"]["user"], "root");
    for name in ["deploy.json", "runs.json"] {
        let mode = fs::metadata(scratch.0.public().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644, "{name} is for everyone");
    }
}

#[test]
fn a_run_that_never_had_its_turn_is_in_the_list_alone() {
    let scratch = Scratch::new("record-alone");
    let shown = run(&scratch.0, 50, 0, Publication::Status);
    let alone = run(&scratch.0, 50, 10, Publication::RunsOnly);
    assert_eq!(public(&scratch.0, "deploy.json")["run_id"], shown.as_str());
    assert_eq!(listed(&scratch.0)[0], alone.as_str());
}

#[test]
fn a_dry_run_replaces_no_status_and_says_that_it_was_one() {
    let id = RunId::new(at(0)).unwrap();
    let record = Record::new(&dry(&id), at(0), at(1));
    assert_eq!(record.publication, Publication::RunsOnly);
    assert_eq!(record.outcome.more["dry_run"], json!(true));
}

#[test]
fn concluding_twice_changes_nothing_more() {
    let scratch = Scratch::new("record-twice");
    let id = run(&scratch.0, 50, 0, Publication::Status);
    let folder = RunFolder::of(&scratch.0, &id);
    let before = fs::read(folder.log()).unwrap();
    let record = folder.record().unwrap().unwrap();
    let mut log = Log::open(&folder.log(), &id);
    assert_eq!(log.outcome().as_ref(), Some(&record.outcome));
    conclude(&config(&scratch.0, 50), &record, &id, &mut log).unwrap();
    assert_eq!(fs::read(folder.log()).unwrap(), before);
    assert_eq!(listed(&scratch.0).len(), 1);
}

#[test]
fn an_older_result_found_late_does_not_replace_a_newer_status() {
    let scratch = Scratch::new("record-late");
    let newer = run(&scratch.0, 50, 100, Publication::Status);
    run(&scratch.0, 50, 0, Publication::Status);
    assert_eq!(public(&scratch.0, "deploy.json")["run_id"], newer.as_str());
}

#[test]
fn a_run_whose_clock_was_ahead_does_not_stand_in_the_way_of_later_ones() {
    let scratch = Scratch::new("record-ahead");
    let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
    let tomorrow = tomorrow.duration_since(at(0)).unwrap().as_secs();
    let ahead = run(&scratch.0, 50, tomorrow, Publication::Status);
    let shown = |id: &RunId| {
        let last = || crate::queue::list::list(&scratch.0).unwrap();
        assert_eq!(public(&scratch.0, "deploy.json")["run_id"], id.as_str());
        assert_eq!(last()[0].order.run_id, *id);
    };
    shown(&ahead);
    shown(&run(&scratch.0, 50, 0, Publication::Status));
    // After a restart of the host.
    fs::remove_dir_all(&scratch.0.runtime).unwrap();
    crate::os::places::prepare(&scratch.0).unwrap();
    ensure_published(&scratch.0, 50).unwrap();
    shown(&run(&scratch.0, 50, 10, Publication::Status));
}

#[test]
fn the_public_files_come_back_after_the_runtime_folder_was_lost() {
    let scratch = Scratch::new("record-rebuilt");
    let id = run(&scratch.0, 50, 0, Publication::Status);
    let before = ["deploy.json", "runs.json"].map(|name| public(&scratch.0, name));
    fs::remove_dir_all(&scratch.0.runtime).unwrap();
    crate::os::places::prepare(&scratch.0).unwrap();
    // A crash came between the result and its lasting copy, too.
    let last = scratch.0.state.join("last/deploy.json");
    let left = last.with_file_name(".deploy.json.engram.4194305.tmp");
    fs::rename(&last, &left).unwrap();
    ensure_published(&scratch.0, 50).unwrap();
    assert!(!left.exists());
    assert_eq!(fs::read_dir(scratch.0.public()).unwrap().count(), 2);
    assert_eq!(
        ["deploy.json", "runs.json"].map(|name| public(&scratch.0, name)),
        before
    );
    assert_eq!(
        outcome_in(&scratch.0.state.join("last/deploy.json"))
            .unwrap()
            .unwrap()
            .run_id,
        id.as_str()
    );
}

#[test]
fn the_status_outlives_the_folder_of_its_run() {
    let scratch = Scratch::new("record-last");
    let id = run(&scratch.0, 50, 0, Publication::Status);
    RunFolder::of(&scratch.0, &id).remove().unwrap();
    fs::remove_dir_all(scratch.0.public()).unwrap();
    crate::os::places::prepare(&scratch.0).unwrap();
    ensure_published(&scratch.0, 50).unwrap();
    assert_eq!(public(&scratch.0, "deploy.json")["run_id"], id.as_str());
}

#[test]
fn the_oldest_folders_go_and_a_live_or_unfinished_one_never_does() {
    let scratch = Scratch::new("record-prune");
    let live = RunId::new(at(0)).unwrap();
    let mut ticket = crate::queue::notes::testing::hold(&scratch.0, &live);
    RunFolder::of(&scratch.0, &live).create(&order(&live)).unwrap();
    let dead = RunId::new(at(1)).unwrap();
    RunFolder::of(&scratch.0, &dead).create(&order(&dead)).unwrap();
    let ended: Vec<RunId> = (2..8)
        .map(|second| run(&scratch.0, 3, second, Publication::Status))
        .collect();
    let mut left = vec![live.clone(), dead];
    left.extend(ended[3..].iter().cloned());
    assert_eq!(RunFolder::all(&scratch.0).unwrap(), left);
    assert_eq!(listed(&scratch.0).len(), 3);
    assert_eq!(
        public(&scratch.0, "runs.json")["queued"][0]["run_id"],
        live.as_str()
    );
    ticket.has_its_turn(at(9)).unwrap();
    run(&scratch.0, 3, 10, Publication::Status);
    assert_eq!(
        public(&scratch.0, "runs.json")["running"]["run_id"],
        live.as_str()
    );
    // What it is about is worth knowing while it is at work.
    assert_eq!(public(&scratch.0, "runs.json")["running"]["version"], "1.2.3");
    // One that has ended, but is only just giving its ticket back.
    let oldest = RunFolder::all(&scratch.0)
        .unwrap()
        .into_iter()
        .find(|id| ended.contains(id))
        .unwrap();
    let _held = crate::queue::notes::testing::hold(&scratch.0, &oldest);
    run(&scratch.0, 3, 11, Publication::Status);
    assert!(RunFolder::of(&scratch.0, &oldest).exists());
}

#[test]
fn dry_runs_never_take_the_place_of_others_and_have_an_end_too() {
    let scratch = Scratch::new("record-dry");
    let mut others = Vec::new();
    for second in 0..3 {
        others.push(run(&scratch.0, 3, second, Publication::Status));
    }
    let mut looks = Vec::new();
    for second in 10..15 {
        let id = RunId::new(at(second)).unwrap();
        end(&scratch.0, 3, second, Publication::RunsOnly, &dry(&id));
        looks.push(id);
    }
    let kept = RunFolder::all(&scratch.0).unwrap();
    assert_eq!(kept, [others.clone(), looks[2..].to_vec()].concat());
    let newest = run(&scratch.0, 3, 20, Publication::Status);
    let kept = RunFolder::all(&scratch.0).unwrap();
    assert_eq!(kept, [&others[1..], &looks[2..], &[newest]].concat());
}
