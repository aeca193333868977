use super::*;

use std::time::Duration;

use crate::os::child::Command;
use crate::os::{lock, process};
use crate::queue::journal::Journal;

use std::fs;
use std::path::Path;

use crate::event::{Phase, Status, to_line};
use crate::gate::TokenId;
use crate::queue::folder::journal_path;
use crate::queue::folder::testing::{Scratch, good_record, order};

/// How far a run came before it died.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Came {
    Reserved,
    Waited,
    HadItsTurn,
    Changed,
    Recorded,
}

fn die(scratch: &Scratch, came: Came) -> RunId {
    die_with(scratch, came, order)
}

fn die_with(scratch: &Scratch, came: Came, order: impl FnOnce(&RunId) -> RunRequest) -> RunId {
    let id = RunId::new(SystemTime::now()).unwrap();
    let (order, places) = (order(&id), &scratch.0);
    let mut ticket = crate::queue::notes::testing::hold(places, &id);
    let folder = RunFolder::of(places, &id);
    folder.create(&order).unwrap();
    if came >= Came::Waited {
        let mut log = Log::open(&folder.log(), &id);
        log.say(Phase::Queued, "starting");
    }
    if came >= Came::HadItsTurn {
        ticket.has_its_turn(SystemTime::now()).unwrap();
    }
    if came >= Came::Changed {
        Journal::new(places, &id).begin().unwrap();
    }
    if came >= Came::Recorded {
        folder.write_record(&good_record(&order)).unwrap();
    }
    crate::queue::notes::testing::die(ticket);
    id
}

fn complete(places: &Places) -> Result<(), Failure> {
    complete_by(places, &mut Interrupts::deaf().unwrap(), &mut |_| {})
}

fn complete_by(
    places: &Places,
    interrupts: &mut Interrupts,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    complete_with(places, crate::queue::testing::config(places), interrupts, say)
}

fn complete_with(
    places: &Places,
    mut config: Config,
    interrupts: &mut Interrupts,
    say: &mut dyn FnMut(&str),
) -> Result<(), Failure> {
    config.applications[0].deploy.docker = docker(places);
    let mut completer = Completer {
        config: &config,
        interrupts,
        say,
        notices: &mut Vec::new(),
    };
    let done = completer.complete_all();
    if done.is_err() {
        // The completer has let go of the dead run's ticket.
        let tickets = ticket::list(places).unwrap();
        lock::testing::let_go((), || !tickets.iter().any(|one| one.is_live().unwrap()));
    }
    done
}

/// A docker with tags and nothing else, which keeps them in `<state>/tags` and notes what it is told. It does not answer
/// while `<state>/down` is there. When it is called, the dead run must be held by a living process.
fn docker(places: &Places) -> std::path::PathBuf {
    let path = places.state.join("docker");
    let script = format!(
        r#"#!/bin/sh
cd {state} && mkdir -p tags
[ -e down ] && {{ echo "Cannot connect to the Docker daemon" >&2; exit 1; }}
for ticket in {queue}/*; do flock --shared --nonblock "$ticket" true && touch not-held; done
case "$1 $2" in
"version "*) echo 27.0.0 ;;
"image inspect") tag=tags/$(basename "$5")
    [ -e "$tag" ] && printf '{{"Id":"%s"}}\n' "$(cat "$tag")" || {{ echo "No such image: $5" >&2; exit 1; }} ;;
"tag "*) printf %s "$2" >"tags/$(basename "$3")"; basename "$3" >>told ;;
*) echo "unknown: $*" >&2; exit 1 ;;
esac
"#,
        state = places.state.display(),
        queue = places.queue().display(),
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// Which tags were put back, in order.
fn put_back(scratch: &Scratch) -> Vec<String> {
    assert!(!scratch.0.state.join("not-held").exists());
    let told = fs::read_to_string(scratch.0.state.join("told")).unwrap_or_default();
    told.lines().map(str::to_owned).collect()
}

/// The journal's entry for a tag; `lost` is one that cannot be read.
fn entry(word: &str) -> Value {
    let image = |digit: &str| format!("sha256:{}", digit.repeat(64));
    match word {
        "lost" => json!({"word": word}),
        _ => json!({"undo": "tag", "reference": word, "old": image("a"), "new": image("b")}),
    }
}

/// As if the run had moved it.
fn move_tag(scratch: &Scratch, word: &str) {
    let tags = scratch.0.state.join("tags");
    fs::create_dir_all(&tags).unwrap();
    fs::write(tags.join(word), format!("sha256:{}", "b".repeat(64))).unwrap();
}

/// A run that died after it had written down these words.
fn die_noted(scratch: &Scratch, words: &[&str], committed: bool) -> RunId {
    let id = die(scratch, Came::HadItsTurn);
    let mut journal = Journal::new(&scratch.0, &id);
    for word in words {
        move_tag(scratch, word);
        journal.append_entry(&entry(word)).unwrap();
    }
    if committed {
        journal.commit().unwrap();
    }
    id
}

fn record(scratch: &Scratch, id: &RunId) -> Record {
    RunFolder::of(&scratch.0, id).record().unwrap().unwrap()
}

#[test]
fn what_a_dead_run_had_changed_goes_back_in_reverse_and_the_record_says_so() {
    let scratch = Scratch::new("dead-back");
    let id = die_noted(&scratch, &["tag", "app"], false);
    complete(&scratch.0).unwrap();
    let outcome = record(&scratch, &id).outcome;
    assert_eq!(outcome.status, Status::Fail);
    assert_eq!(outcome.more["interrupted"], json!(true));
    assert_eq!(outcome.more["rolled_back"], json!([]));
    assert_eq!(put_back(&scratch), ["app", "tag"]);
    let error = outcome.error.as_ref().unwrap();
    assert!(error.starts_with("interrupted while it was changing something; what was changed is back"));
    let log = fs::read_to_string(RunFolder::of(&scratch.0, &id).log()).unwrap();
    assert_eq!(log.lines().last(), Some(to_line(&outcome).as_str()));
    assert!(ticket::list(&scratch.0).unwrap().is_empty());
    assert_eq!(journal::read(&scratch.0).unwrap(), None);
    complete(&scratch.0).unwrap();
    assert_eq!(record(&scratch, &id).outcome, outcome);
    assert_eq!(put_back(&scratch).len(), 2);
}

#[test]
fn a_way_back_that_fails_is_said_first() {
    let scratch = Scratch::new("dead-lost");
    let id = die_noted(&scratch, &["tag", "lost"], false);
    complete(&scratch.0).unwrap();
    let outcome = record(&scratch, &id).outcome;
    let error = outcome.error.unwrap();
    assert!(
        outcome.more["rollback_failed"] == true && outcome.more.contains_key("rolled_back"),
        "{:?}",
        outcome.more
    );
    assert!(
        error.starts_with("ROLLBACK FAILED: an entry of the journal cannot be read"),
        "{error}"
    );
}

#[test]
fn a_dead_run_that_had_come_to_its_good_end_counts_as_done() {
    let scratch = Scratch::new("dead-settled");
    let id = die_noted(&scratch, &["lost"], true);
    complete(&scratch.0).unwrap();
    let outcome = record(&scratch, &id).outcome;
    assert_eq!((outcome.status, outcome.error), (Status::Ok, None));
    assert_eq!(outcome.more["interrupted"], json!(true));
    assert_eq!(outcome.more.get("rolled_back"), None);
}

#[test]
fn while_it_cannot_go_back_a_dead_run_keeps_its_journal_and_nothing_begins() {
    let scratch = Scratch::new("dead-later");
    let id = die_noted(&scratch, &["tag", "later"], false);
    fs::write(scratch.0.state.join("down"), "").unwrap();
    for _ in 0..2 {
        let error = complete(&scratch.0).unwrap_err().to_string();
        let expected = format!("run {id} was interrupted, and cannot be completed: docker does not answer");
        assert!(error.starts_with(&expected), "{error}");
        assert!(!RunFolder::of(&scratch.0, &id).has_record());
        assert_eq!(journal::read(&scratch.0).unwrap().unwrap().entries.len(), 2);
    }
    fs::remove_file(scratch.0.state.join("down")).unwrap();
    complete(&scratch.0).unwrap();
    assert!(record(&scratch, &id).outcome.more.contains_key("rolled_back"));
    assert_eq!(put_back(&scratch), ["later", "tag"]);
}

#[test]
fn after_a_restart_of_the_host_it_goes_back_all_the_same() {
    let scratch = Scratch::new("dead-restart-back");
    let id = die_noted(&scratch, &["app"], false);
    ticket::of(&scratch.0, &id).unwrap().unwrap().remove().unwrap();
    complete(&scratch.0).unwrap();
    assert!(record(&scratch, &id).outcome.more.contains_key("rolled_back"));
    assert_eq!(put_back(&scratch), ["app"]);
    assert!(ticket::list(&scratch.0).unwrap().is_empty());
}

#[test]
fn whoever_died_while_it_put_back_a_lost_run_has_not_put_it_back() {
    let scratch = Scratch::new("dead-again");
    let id = die_noted(&scratch, &["later"], false);
    fs::write(scratch.0.state.join("down"), "").unwrap();
    let folder = RunFolder::of(&scratch.0, &id);
    folder.remove().unwrap();
    // What the one before made: a folder without a grant, with a log or without.
    fs::create_dir(folder.path()).unwrap();
    for _ in 0..2 {
        let error = complete(&scratch.0).unwrap_err().to_string();
        assert!(error.contains("docker does not answer"), "{error}");
        assert!(journal::read(&scratch.0).unwrap().is_some());
        fs::create_dir(folder.path()).unwrap();
        fs::write(folder.log(), "{}\n").unwrap();
    }
    fs::remove_file(scratch.0.state.join("down")).unwrap();
    complete(&scratch.0).unwrap();
    assert_eq!(journal::read(&scratch.0).unwrap(), None);
    assert!(ticket::list(&scratch.0).unwrap().is_empty() && !folder.exists());
}

#[test]
fn a_run_whose_folder_is_lost_goes_back_by_its_journal_alone() {
    for at_once in [true, false] {
        let scratch = Scratch::new("dead-folder");
        let id = die_noted(&scratch, &["app"], false);
        if !at_once {
            fs::write(scratch.0.state.join("down"), "").unwrap();
        }
        RunFolder::of(&scratch.0, &id).remove().unwrap();
        assert_eq!(complete(&scratch.0).is_ok(), at_once);
        let left = journal::read(&scratch.0).unwrap();
        assert_eq!(left.is_none(), at_once, "{left:?}");
        assert!(!RunFolder::of(&scratch.0, &id).exists());
    }
}

fn everything(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => everything(&path, found),
            false => found.push((path.display().to_string(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
}

#[test]
fn a_dead_run_is_recorded_as_interrupted_wherever_it_died() {
    for (came, sentence, in_status) in [
        (Came::Waited, "before its turn came", false),
        (Came::HadItsTurn, "before it changed anything", true),
        (Came::Changed, "while it was changing something", true),
    ] {
        let scratch = Scratch::new("dead-interrupted");
        let id = die(&scratch, came);
        complete(&scratch.0).unwrap();
        let record = RunFolder::of(&scratch.0, &id).record().unwrap().unwrap();
        assert_eq!(record.outcome.status, Status::Fail);
        assert!(
            record.outcome.error.as_ref().unwrap().contains(sentence),
            "{record:?}"
        );
        assert_eq!(record.outcome.more["interrupted"], json!(true));
        assert_eq!(scratch.0.public().join("deploy.json").exists(), in_status);
        let log = Log::open(&RunFolder::of(&scratch.0, &id).log(), &id);
        assert_eq!(log.outcome(), Some(record.outcome));
        assert_eq!(journal::read(&scratch.0).unwrap(), None);
        assert!(ticket::list(&scratch.0).unwrap().is_empty());
    }
}

#[test]
fn completing_twice_changes_nothing_more() {
    let scratch = Scratch::new("dead-twice");
    for came in [Came::Waited, Came::HadItsTurn, Came::Changed] {
        die(&scratch, came);
        complete(&scratch.0).unwrap();
    }
    let (mut once, mut twice) = (Vec::new(), Vec::new());
    everything(scratch.0.state.parent().unwrap(), &mut once);
    complete(&scratch.0).unwrap();
    everything(scratch.0.state.parent().unwrap(), &mut twice);
    assert_eq!(once, twice);
}

#[test]
fn a_run_that_died_after_its_result_keeps_it() {
    let scratch = Scratch::new("dead-recorded");
    let id = die(&scratch, Came::Recorded);
    complete(&scratch.0).unwrap();
    let record = RunFolder::of(&scratch.0, &id).record().unwrap().unwrap();
    assert_eq!(record.outcome.status, Status::Ok);
    let status = fs::read_to_string(scratch.0.public().join("deploy.json")).unwrap();
    assert_eq!(status.trim_end(), to_line(&record.outcome));
    let log = fs::read_to_string(RunFolder::of(&scratch.0, &id).log()).unwrap();
    assert_eq!(log.lines().last(), Some(to_line(&record.outcome).as_str()));
}

#[test]
fn a_run_whose_result_could_not_be_written_is_recorded_as_its_log_says() {
    let scratch = Scratch::new("dead-loglast");
    let id = die(&scratch, Came::Recorded);
    let folder = RunFolder::of(&scratch.0, &id);
    let record = folder.record().unwrap().unwrap();
    Log::open(&folder.log(), &id).end_once(&record.outcome);
    fs::write(folder.path().join(".result"), "").unwrap();
    complete(&scratch.0).unwrap();
    assert_eq!(folder.record().unwrap().unwrap().outcome, record.outcome);
}

/// What lies in memory is gone.
fn restart(places: &Places) {
    fs::remove_dir_all(&places.runtime).unwrap();
    crate::os::places::prepare(places).unwrap();
}

#[test]
fn after_a_power_cut_a_run_with_a_torn_result_is_completed() {
    let scratch = Scratch::new("dead-torn");
    let id = die(&scratch, Came::Recorded);
    let kept = RunFolder::of(&scratch.0, &id).path().join(".result");
    let whole = fs::read(&kept).unwrap();
    fs::write(&kept, [&whole[..200], &vec![0; whole.len() - 200]].concat()).unwrap();
    restart(&scratch.0);
    complete(&scratch.0).unwrap();
    assert_eq!(record(&scratch, &id).outcome.more["interrupted"], json!(true));
    assert!(dead::find(&scratch.0).unwrap().is_empty());
}

#[test]
fn after_a_power_cut_that_took_its_log_a_run_goes_back_by_its_journal() {
    let scratch = Scratch::new("dead-log");
    let id = die_noted(&scratch, &["app"], false);
    fs::remove_file(RunFolder::of(&scratch.0, &id).log()).unwrap();
    restart(&scratch.0);
    complete(&scratch.0).unwrap();
    assert!(record(&scratch, &id).outcome.more.contains_key("rolled_back"));
    assert_eq!(put_back(&scratch), ["app"]);
    assert_eq!(journal::read(&scratch.0).unwrap(), None);
}

#[test]
fn a_result_that_a_caller_was_told_is_the_status_after_a_power_cut() {
    let scratch = Scratch::new("dead-told");
    let id = die(&scratch, Came::Recorded);
    restart(&scratch.0);
    assert!(dead::find(&scratch.0).unwrap().is_empty());
    crate::queue::ensure_published(&scratch.0, 50).unwrap();
    let status = fs::read_to_string(scratch.0.public().join("deploy.json")).unwrap();
    assert_eq!(status.trim_end(), to_line(&record(&scratch, &id).outcome));
}

#[test]
fn after_a_restart_of_the_host_the_log_says_whether_the_turn_had_come() {
    for (phase, in_status) in [(Phase::Queued, false), (Phase::Preflight, true)] {
        let scratch = Scratch::new("dead-restart-turn");
        let id = die(&scratch, Came::HadItsTurn);
        let mut log = Log::open(&RunFolder::of(&scratch.0, &id).log(), &id);
        log.say(phase, "what came last");
        restart(&scratch.0);
        complete(&scratch.0).unwrap();
        assert_eq!(scratch.0.public().join("deploy.json").exists(), in_status);
    }
}

#[test]
fn after_a_restart_of_the_host_a_run_without_a_ticket_is_completed_too() {
    let scratch = Scratch::new("dead-restart");
    let id = die(&scratch, Came::Changed);
    restart(&scratch.0);
    assert_eq!(dead::find(&scratch.0).unwrap().len(), 1);
    complete(&scratch.0).unwrap();
    let record = RunFolder::of(&scratch.0, &id).record().unwrap().unwrap();
    assert_eq!(record.outcome.more["interrupted"], json!(true));
    assert!(dead::find(&scratch.0).unwrap().is_empty());
}

#[test]
fn a_place_whose_token_was_never_spent_is_given_back_and_a_spent_one_is_recorded() {
    let scratch = Scratch::new("dead-reserved");
    let token = |jti: &'static str| {
        move |id: &RunId| {
            let origin = Origin::Token {
                token: TokenId::of_jti("", jti),
                claims: Map::new(),
            };
            RunRequest { origin, ..order(id) }
        }
    };
    let memory = Memory::of(&scratch.0.state);
    memory.create(None).unwrap();
    let unspent = die_with(&scratch, Came::Reserved, token("unspent"));
    let local = die(&scratch, Came::Reserved);
    let spent = die_with(&scratch, Came::Reserved, token("spent"));
    append_to_memory(&scratch.0, "spent", &spent);
    complete(&scratch.0).unwrap();
    assert_eq!(RunFolder::all(&scratch.0).unwrap(), vec![spent.clone()]);
    assert!(RunFolder::of(&scratch.0, &spent).has_record());
    assert!(
        ![unspent, local]
            .iter()
            .any(|id| RunFolder::of(&scratch.0, id).exists())
    );
    assert!(ticket::list(&scratch.0).unwrap().is_empty());
}

/// Has the replay memory say that a token started `id`.
fn append_to_memory(places: &Places, jti: &str, id: &RunId) {
    let token = TokenId::of_jti("", jti);
    crate::gate::testing::append(&places.state, &token, id.as_str());
    let started = Memory::of(&places.state).run_of(&token).unwrap();
    assert_eq!(started.as_deref(), Some(id.as_str()));
}

#[test]
fn a_live_run_is_left_alone() {
    let scratch = Scratch::new("dead-live");
    let id = RunId::new(SystemTime::now()).unwrap();
    let _ticket = crate::queue::notes::testing::hold(&scratch.0, &id);
    RunFolder::of(&scratch.0, &id).create(&order(&id)).unwrap();
    complete(&scratch.0).unwrap();
    assert!(RunFolder::of(&scratch.0, &id).exists());
    assert_eq!(ticket::list(&scratch.0).unwrap().len(), 1);
}

#[test]
fn a_journal_that_cannot_be_read_lets_nothing_begin() {
    let scratch = Scratch::new("dead-journal");
    fs::write(journal_path(&scratch.0), b"half a jour\n").unwrap();
    let error = complete(&scratch.0).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}

/// A tool of a run in a session of its own, as a killed run leaves it: the shell is the run.
fn leave_at_work(
    scratch: &Scratch,
    order: impl FnOnce(&RunId) -> RunRequest,
    end_policy: EndPolicy,
    script: &str,
) -> (RunId, i32, crate::os::child::Child) {
    let marker = scratch.0.state.join("pids");
    // `setsid` makes the session; `set -m` gives the background job a process group of its own, as tools have.
    let run = format!(
        "set -m; sh -c '{script}' & echo $$ $! > {0}.new; mv {0}.new {0}; wait",
        marker.display()
    );
    let command = Command::tool(Path::new("/usr/bin/setsid")).arguments(["--fork", "/bin/bash", "-c", &run]);
    let child = command
        .variables(&[("PATH".into(), "/usr/bin:/bin".into())])
        .spawn()
        .unwrap();
    while !marker.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pids = fs::read_to_string(&marker).unwrap();
    let pids: Vec<i32> = pids.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    let id = RunId::new(SystemTime::now()).unwrap();
    let mut ticket = crate::queue::notes::testing::hold(&scratch.0, &id);
    let folder = RunFolder::of(&scratch.0, &id);
    folder.create(&order(&id)).unwrap();
    Log::open(&folder.log(), &id).say(Phase::Update, "begin");
    crate::queue::notes::testing::held_by(&mut ticket, pids[0]);
    ticket.has_its_turn(SystemTime::now()).unwrap();
    ticket.starting("sh", end_policy).unwrap();
    ticket.started(pids[1]).unwrap();
    process::signal(pids[0], crate::os::signal::Signal::SIGKILL);
    crate::queue::notes::testing::die(ticket);
    (id, pids[1], child)
}

fn lives(pid: i32) -> bool {
    process::living(None, Some(pid)).unwrap().contains(&pid)
}

#[test]
fn a_gentle_tool_of_a_dead_run_is_ended_before_anything_else_begins() {
    let scratch = Scratch::new("dead-terminate");
    let (id, tool, _child) = leave_at_work(&scratch, order, EndPolicy::Terminate, "sleep 60; sleep 60");
    assert!(lives(tool));
    complete(&scratch.0).unwrap();
    assert!(!lives(tool));
    assert!(RunFolder::of(&scratch.0, &id).has_record());
}

#[test]
fn a_call_that_a_dead_run_has_handed_to_dockerd_is_waited_for() {
    let scratch = Scratch::new("dead-waitout");
    let done = scratch.0.state.join("done");
    let script = format!("sleep 0.4; touch {}", done.display());
    let (_, tool, _child) = leave_at_work(&scratch, order, EndPolicy::WaitOut, &script);
    complete(&scratch.0).unwrap();
    assert!(done.exists() && !lives(tool));
}

/// Settings with terraform.
#[cfg(feature = "terraform")]
fn with_terraform(scratch: &Scratch) -> Config {
    let workdir = scratch.0.state.join("tf").display().to_string();
    let settings = crate::queue::testing::least()
        .with("DEPLOYER_TF_APPLY_REPOSITORY", "x/infra")
        .with(
            "DEPLOYER_TF_APPLY_WORKFLOW_REF",
            "x/infra/.github/workflows/a.yml@refs/heads/main",
        )
        .with("DEPLOYER_TF_APPLY_ROOT_DIR", ".")
        .with("DEPLOYER_TF_APPLY_REPO_URL", "file:///srv/infra")
        .with("DEPLOYER_TF_APPLY_WORKDIR", &workdir)
        .with("DEPLOYER_TF_AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .with("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", "secret-of-the-example");
    let config = Config::from_settings(&settings).unwrap();
    Config {
        places: scratch.0.clone(),
        ..config
    }
}

#[cfg(feature = "terraform")]
#[test]
fn an_apply_of_a_dead_run_is_let_finish_and_what_it_said_last_is_told() {
    let scratch = Scratch::new("dead-apply");
    let output = |id: &RunId| RunFolder::of(&scratch.0, id).output();
    let script = r#"trap "touch interrupted" INT; sleep 0.4; touch done"#;
    let script = format!("cd {}; {script}", scratch.0.state.display());
    let apply = |id: &RunId| {
        let task =
            json!({"task": "terraform", "what": "tf-apply", "sha": "a".repeat(40), "allow_destroy": false});
        let task = serde_json::from_value(task).unwrap();
        RunRequest::local(task, id, 0, "root", SystemTime::now())
    };
    let (id, tool, _child) = leave_at_work(&scratch, apply, EndPolicy::Interrupt, &script);
    fs::write(output(&id), "Apply complete!").unwrap();
    let config = with_terraform(&scratch);
    complete_with(&scratch.0, config, &mut Interrupts::deaf().unwrap(), &mut |_| {}).unwrap();
    assert!(scratch.0.state.join("done").exists() && !scratch.0.state.join("interrupted").exists());
    assert!(!lives(tool) && !output(&id).exists());
    let error = record(&scratch, &id).outcome.error.unwrap();
    assert!(
        error.contains("terraform finished all the same: Apply complete!"),
        "{error}"
    );
    let log = fs::read_to_string(RunFolder::of(&scratch.0, &id).log()).unwrap();
    assert!(log.contains("Apply complete!"), "{log}");
}

#[test]
fn a_plan_of_a_dead_run_is_interrupted_and_may_give_back_its_lock() {
    let scratch = Scratch::new("dead-plan");
    let script = r#"trap "touch interrupted; exit" INT; sleep 60 & wait"#;
    let script = format!("cd {}; {script}", scratch.0.state.display());
    let (_, tool, _child) = leave_at_work(&scratch, order, EndPolicy::InterruptThenTerminate, &script);
    std::thread::sleep(Duration::from_millis(200));
    let begun = std::time::Instant::now();
    let group = move || process::signal(-tool, crate::os::signal::Signal::SIGKILL);
    // The shell's own child is no tool of ours that anybody would wait for.
    let killer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        group();
    });
    complete(&scratch.0).unwrap();
    killer.join().unwrap();
    assert!(scratch.0.state.join("interrupted").exists() && begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_waiting_run_that_is_cancelled_stops_waiting_for_a_dead_ones_tool() {
    let scratch = Scratch::new("dead-cancel");
    let (id, tool, _child) = leave_at_work(&scratch, order, EndPolicy::WaitOut, "sleep 60; sleep 60");
    let mut interrupts = Interrupts::deaf().unwrap();
    interrupts.ask_in(Duration::ZERO);
    let mut said = Vec::new();
    let mut say = |what: &str| said.push(what.to_owned());
    let completed = complete_by(&scratch.0, &mut interrupts, &mut say);
    assert_eq!(completed, Err(Failure::Cancelled));
    assert_eq!(said, ["waiting for `sh`, which an interrupted run left at work"]);
    assert!(lives(tool) && !RunFolder::of(&scratch.0, &id).has_record());
    process::signal(-tool, crate::os::signal::Signal::SIGKILL);
}

#[test]
fn a_process_that_only_bears_the_number_is_not_touched() {
    let scratch = Scratch::new("dead-number");
    let id = die(&scratch, Came::HadItsTurn);
    let seen = ticket::of(&scratch.0, &id).unwrap().unwrap();
    // The leader of a session and of a group, as a run and its tool are.
    let marker = scratch.0.state.join("pid");
    let script = format!(
        "echo $$ > {0}.new; mv {0}.new {0}; exec sleep 60",
        marker.display()
    );
    let command =
        Command::tool(Path::new("/usr/bin/setsid")).arguments(["--fork", "/bin/bash", "-c", &script]);
    let _child = command
        .variables(&[("PATH".into(), "/usr/bin:/bin".into())])
        .spawn()
        .unwrap();
    while !marker.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid: i32 = fs::read_to_string(&marker).unwrap().trim().parse().unwrap();
    // The run and its tool are gone; their numbers were given to another process since.
    let process = json!({"pid": pid, "start_time": 1});
    let tool = json!({"program": "sh", "end_policy": "terminate", "started": process});
    let notes = format!("{}\n", json!({"holder": process, "tools": [tool]}));
    fs::write(scratch.0.queue().join(seen.file_name()), notes).unwrap();
    complete(&scratch.0).unwrap();
    assert!(lives(pid));
    process::signal(pid, crate::os::signal::Signal::SIGKILL);
    assert!(
        !scratch.0.runtime.join("turn").exists(),
        "the caller holds the turn, not the completer"
    );
}
