//! [queue] One run at a time, first come, first served, whatever becomes of the ones before; and the daemon answers
//! others meanwhile.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::curl::{Answer, Call};
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::Issuer;
use crate::support::process::go_first;
use crate::support::wait_until;

/// A deployer whose command writes down when it begins and ends, and waits in between as long as a test says.
struct Shop {
    issuer: Issuer,
    deployer: Deployer,
    book: PathBuf,
}

impl Shop {
    /// `work` is what the command does between its two lines.
    fn open(work: &str, change: impl FnOnce(&mut Setup)) -> Shop {
        let issuer = Issuer::start();
        let mut setup = Setup::new(&issuer);
        let book = setup.folder().join("book");
        fs::write(&book, "").unwrap();
        setup.command_script(&format!(
            "exec > /dev/null 2>&1\n\
             trap 'sleep 0.3; echo end $DEPLOYER_VERSION >> {0}; exit 1' TERM\n\
             echo begin $DEPLOYER_VERSION >> {0}\n{work}\necho end $DEPLOYER_VERSION >> {0}",
            book.display()
        ));
        change(&mut setup);
        Shop {
            issuer,
            deployer: setup.start(),
            book,
        }
    }

    /// What a command waits for that says `while [ ! -e GATE ]`.
    fn gate(setup: &Setup) -> PathBuf {
        setup.folder().join("gate")
    }

    fn post(&self, version: &str) -> Call {
        let token = self.issuer.mint(AUDIENCE);
        let body = format!("{{\"version\":\"{version}\"}}");
        self.deployer.client().start_post("/deploy", &token, &body)
    }

    /// Posts, and waits until the run has said that it is queued; its id.
    fn queue(&self, version: &str) -> (Call, String) {
        let mut call = self.post(version);
        let line: Value = serde_json::from_str(&call.wait_for("queued")).unwrap();
        (call, line["run_id"].as_str().unwrap().to_owned())
    }

    /// Begins and ends, in order.
    fn entries(&self) -> Vec<String> {
        let book = fs::read_to_string(&self.book).unwrap();
        book.lines().map(str::to_owned).collect()
    }

    fn wait_for_entry(&self, entry: &str) {
        wait_until(entry, Duration::from_secs(20), || {
            self.entries().iter().any(|line| line == entry)
        });
    }

    /// Kills the process of a run, and nothing else.
    fn kill_run(&self, id: &str) {
        let queue = self.deployer.runtime().join("queue");
        let mut tickets = fs::read_dir(queue).unwrap().map(|entry| entry.unwrap().path());
        let ticket = tickets
            .find(|path| path.display().to_string().ends_with(id))
            .unwrap();
        let first = fs::read_to_string(ticket).unwrap();
        let holder: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
        let pid = holder["holder"]["pid"].as_i64().unwrap();
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    }
}

/// Fails unless every begin is followed by its own end: then no two were at work at once.
fn assert_one_at_a_time(entries: &[String]) {
    for pair in entries.chunks(2) {
        let versions: Vec<&str> = pair.iter().filter_map(|line| line.split(' ').nth(1)).collect();
        assert!(
            pair.len() == 2
                && pair[0].starts_with("begin")
                && pair[1].starts_with("end")
                && versions[0] == versions[1],
            "two at once, or one without an end: {entries:#?}"
        );
    }
}

fn order(entries: &[String]) -> Vec<String> {
    let begins = entries.iter().filter_map(|line| line.strip_prefix("begin "));
    begins.map(str::to_owned).collect()
}

fn error_of(answer: &Answer) -> String {
    answer.outcome()["error"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn health_is_answered_while_a_run_is_at_work() {
    go_first();
    let shop = Shop::open("sleep 120", |_| ());
    let times = || {
        let ask = |_| {
            let began = Instant::now();
            let answer = shop.deployer.client().get("/healthz");
            assert_eq!((answer.status, answer.body().as_str()), (200, "ok"));
            began.elapsed()
        };
        let mut times: Vec<Duration> = (0..30).map(ask).collect();
        times.sort();
        times
    };
    // What it takes on this machine at the moment, with nothing to do.
    let idle = times();
    let run = shop.post("1.0.0");
    shop.wait_for_entry("begin 1.0.0");
    let times = times();
    assert_eq!(
        shop.entries(),
        ["begin 1.0.0"],
        "the run was at work all the time"
    );
    let most = 3 * idle[15] + Duration::from_millis(100);
    assert!(times[15] < most, "median {:?}, idle {:?}", times[15], idle[15]);
    assert!(times[29] < Duration::from_secs(30), "slowest {:?}", times[29]);
    run.vanish();
}

#[test]
fn ten_runs_take_their_turns_in_the_order_in_which_they_came() {
    let shop = Shop::open("sleep 0.1", |_| ());
    let versions: Vec<String> = (0..10).map(|number| format!("1.0.{number}")).collect();
    let calls: Vec<(Call, String)> = versions.iter().map(|version| shop.queue(version)).collect();
    for ((call, id), version) in calls.into_iter().zip(&versions) {
        let answer = call.finish();
        let outcome = answer.assert_ok().outcome();
        assert_eq!(outcome["version"], version.as_str());
        assert_eq!(outcome["run_id"], id.as_str());
    }
    assert_one_at_a_time(&shop.entries());
    assert_eq!(order(&shop.entries()), versions);
}

#[test]
fn whatever_becomes_of_those_before_the_rest_run_in_order_and_never_two_at_once() {
    let mut gate = PathBuf::new();
    let work = "case $DEPLOYER_VERSION in 1.0.0) while [ ! -e ${0%/*}/gate ]; do sleep 0.05; done;; *) sleep 0.2;; esac";
    let shop = Shop::open(work, |setup| {
        setup.set("DEPLOYER_QUEUE_MAX_WAIT", "8s");
        gate = Shop::gate(setup);
    });
    let (at_work, at_work_id) = shop.queue("1.0.0");
    shop.wait_for_entry("begin 1.0.0");
    let (gives_up, _) = shop.queue("1.0.1");
    let gave_up = gives_up.finish();
    assert!(
        error_of(&gave_up).contains("waited 8s for its turn behind"),
        "{gave_up:#?}"
    );
    assert!(error_of(&gave_up).contains(&at_work_id));

    let (first, _) = shop.queue("1.0.2");
    let (killed, killed_id) = shop.queue("1.0.3");
    let (last, _) = shop.queue("1.0.4");
    shop.kill_run(&killed_id);
    // The run at work is killed too, while its follower and its tool live on.
    shop.kill_run(&at_work_id);
    first.finish().assert_ok();
    last.finish().assert_ok();
    assert!(!gate.exists());
    assert_one_at_a_time(&shop.entries());
    assert_eq!(order(&shop.entries()), ["1.0.0", "1.0.2", "1.0.4"]);
    for call in [at_work, killed] {
        let answer = call.finish();
        assert_eq!(answer.outcome()["interrupted"], true, "{answer:#?}");
        assert_eq!(answer.outcome()["status"], "fail");
    }
}

#[test]
fn a_dead_run_is_recorded_although_nobody_comes_after_it() {
    let shop = Shop::open("sleep 60", |_| ());
    let (call, id) = shop.queue("1.0.0");
    shop.wait_for_entry("begin 1.0.0");
    shop.kill_run(&id);
    let answer = call.finish();
    assert_eq!(answer.outcome()["run_id"], id.as_str());
    assert_eq!(answer.outcome()["interrupted"], true);
    assert_eq!(shop.deployer.status().unwrap(), answer.outcome());
    assert_one_at_a_time(&shop.entries());
}

#[test]
fn a_run_outlives_serve_and_the_next_serve_shows_it() {
    let mut shop = Shop::open("sleep 1", |_| ());
    let (call, id) = shop.queue("1.0.0");
    shop.wait_for_entry("begin 1.0.0");
    shop.deployer.kill();
    shop.deployer.start_again();
    let runs = shop.deployer.client().get("/runs").body();
    let runs: Value = serde_json::from_str(&runs).unwrap();
    assert_eq!(runs["running"]["run_id"], id.as_str());
    call.finish().assert_ok();
    assert_eq!(shop.deployer.status().unwrap()["run_id"], id.as_str());
}

#[test]
fn a_full_queue_is_a_503_and_spends_no_token() {
    let mut gate = PathBuf::new();
    let shop = Shop::open("while [ ! -e ${0%/*}/gate ]; do sleep 0.05; done", |setup| {
        setup.set("DEPLOYER_QUEUE_MAX", "1");
        gate = Shop::gate(setup);
    });
    let (at_work, _) = shop.queue("1.0.0");
    let (waiting, _) = shop.queue("1.0.1");
    let token = shop.issuer.mint(AUDIENCE);
    let refused = shop
        .deployer
        .client()
        .post("/deploy", &token, r#"{"version":"1.0.2"}"#);
    assert_eq!(refused.status, 503, "{refused:#?}");
    assert!(refused.header("retry-after").is_some());
    fs::write(gate, "").unwrap();
    at_work.finish().assert_ok();
    waiting.finish().assert_ok();
    let answer = shop
        .deployer
        .client()
        .post("/deploy", &token, r#"{"version":"1.0.2"}"#);
    answer.assert_ok();
    assert_eq!(order(&shop.entries()), ["1.0.0", "1.0.1", "1.0.2"]);
}

#[test]
fn a_waiting_run_that_is_told_to_end_does_and_is_listed_alone() {
    let mut gate = PathBuf::new();
    let shop = Shop::open("while [ ! -e ${0%/*}/gate ]; do sleep 0.05; done", |setup| {
        gate = Shop::gate(setup)
    });
    let (at_work, at_work_id) = shop.queue("1.0.0");
    shop.wait_for_entry("begin 1.0.0");
    let (waiting, id) = shop.queue("1.0.1");
    let cancelled = shop.deployer.run(&["cancel", &id]);
    assert!(cancelled.status.success(), "{cancelled:?}");
    let answer = waiting.finish();
    assert_eq!(answer.outcome()["cancelled"], true, "{answer:#?}");
    fs::write(gate, "").unwrap();
    at_work.finish().assert_ok();
    let runs = shop.deployer.client().get("/runs").body();
    assert!(runs.contains(&id));
    assert_eq!(shop.deployer.status().unwrap()["run_id"], at_work_id.as_str());
}
