//! [notify] The operator is told of each run's end, by a command that no run ever waits for.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use engram_deployer::limits::NOTICE_DEADLINE;

use crate::support::deployer::{AUDIENCE, Setup};
use crate::support::oidc::Issuer;
use crate::support::process::{Running, text};
use crate::support::{came_true, wait_until, web};

const SOON: Duration = Duration::from_secs(10);

/// A setup whose notice command adds what it is given to the file `told`, a line each, and its environment to `environment`.
fn told_setup(issuer: &Issuer) -> Setup {
    let mut setup = Setup::new(issuer);
    let folder = setup.folder().path().display();
    let script = format!("cat /proc/$$/environ >{folder}/environment; cat >>{folder}/told");
    let command = setup.executable("notify", &script);
    setup.set("DEPLOYER_NOTIFY_COMMAND", command);
    setup
}

fn told(setup: &Setup) -> Vec<Value> {
    let text = fs::read_to_string(setup.folder().join("told")).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a result"))
        .collect()
}

/// Waits for so many notices.
#[track_caller]
fn wait_told(setup: &Setup, count: usize) -> Vec<Value> {
    wait_until("the notices", SOON, || told(setup).len() >= count);
    told(setup)
}

fn listed(setup: &Setup) -> Vec<Value> {
    let runs = setup.run(&["runs", "--json"]);
    let runs: Value = serde_json::from_slice(&runs.stdout).expect("the list of runs");
    runs["runs"].as_array().expect("runs").clone()
}

#[test]
fn the_result_of_each_run_is_given_to_the_operators_command() {
    let issuer = Issuer::start();
    let mut setup = told_setup(&issuer);
    let bad = setup.folder().join("bad").display().to_string();
    setup.command_script(&format!("test ! -e {bad}"));
    // docker is told of it, and nobody else.
    setup
        .set("HOME", "/nonexistent/home")
        .set("DOCKER_CONFIG", "/nonexistent/docker");
    let deployer = setup.start();
    let body = r#"{"version":"1.2.3","sha":"abc1234"}"#;
    let answer = deployer.client().post("/deploy", &issuer.mint(AUDIENCE), body);
    answer.assert_ok();
    let first = wait_told(&deployer, 1);
    assert_eq!(first, listed(&deployer), "what is told is what `/runs` lists");
    assert_eq!(first[0]["run_id"], answer.outcome()["run_id"]);
    assert_eq!(first[0]["origin"]["actor"], "octocat");
    let environment = fs::read_to_string(deployer.folder().join("environment")).expect("it was told");
    let mut names: Vec<&str> = environment
        .split_terminator('\0')
        .filter_map(|pair| Some(pair.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    let own = [
        "DEPLOYER_ENDPOINT",
        "DEPLOYER_RUN_ID",
        "DEPLOYER_STATUS",
        "HOME",
        "PATH",
    ];
    assert_eq!(names, own, "{environment}");
    for pair in [
        "DEPLOYER_ENDPOINT=deploy",
        "DEPLOYER_STATUS=ok",
        "HOME=/nonexistent/home",
    ] {
        assert!(environment.contains(pair), "{environment}");
    }

    deployer.folder().write("bad", "");
    let failed = deployer.run(&["deploy", "1.2.4"]);
    assert_eq!(failed.status.code(), Some(1));
    let second = wait_told(&deployer, 2).remove(1);
    assert_eq!(
        (&second["status"], &second["version"]),
        (&"fail".into(), &"1.2.4".into())
    );
    assert!(second["error"].is_string());
    let environment = fs::read_to_string(deployer.folder().join("environment")).expect("it was told");
    assert!(environment.contains("DEPLOYER_STATUS=fail"), "{environment}");
}

#[test]
fn a_dry_run_is_not_told_of() {
    let setup = told_setup(&Issuer::start());
    assert!(setup.run(&["deploy", "1.2.3", "--dry-run"]).status.success());
    assert!(setup.run(&["deploy", "1.2.4"]).status.success());
    assert_eq!(wait_told(&setup, 1)[0]["version"], "1.2.4");
    assert!(!came_true(Duration::from_secs(1), || told(&setup).len() > 1));
}

#[test]
fn a_notice_that_hangs_holds_neither_the_last_line_nor_the_next_turn() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let mark = setup.folder().join("mark").display().to_string();
    let command = setup.executable("notify", &format!("exec 3>>{mark}; echo >&3; exec sleep 300"));
    setup.set("DEPLOYER_NOTIFY_COMMAND", command);
    let deployer = setup.start();
    let begun = Instant::now();
    for version in ["1.2.3", "1.2.4", "1.2.5"] {
        let body = format!("{{\"version\":\"{version}\"}}");
        let answer = deployer.client().post("/deploy", &issuer.mint(AUDIENCE), &body);
        answer.assert_ok();
    }
    // Each notice is given so long.
    assert!(
        begun.elapsed() < 2 * NOTICE_DEADLINE,
        "three runs took {:?}",
        begun.elapsed()
    );
    wait_until("all are told of at one time", SOON, || {
        fs::read_to_string(&mark).unwrap_or_default().lines().count() == 3
    });
}

#[test]
fn a_notice_that_fails_is_logged_and_changes_nothing() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let command = setup.executable("notify", "exit 3");
    setup.set("DEPLOYER_NOTIFY_COMMAND", &command);
    let deployer = setup.start();
    let post = |version: &str| {
        let body = format!("{{\"version\":\"{version}\"}}");
        let answer = deployer.client().post("/deploy", &issuer.mint(AUDIENCE), &body);
        answer.assert_ok();
    };
    post("1.2.3");
    wait_until("the failure is logged", SOON, || {
        let log = deployer.log();
        log.contains(&format!("the notice by {}", command.display()))
            && log.contains("ended with exit status 3")
    });
    fs::remove_file(&command).expect("taking the command away");
    post("1.2.4");
    wait_until("a command that is gone is logged", SOON, || {
        deployer.log().contains("was not started")
    });
}

#[test]
fn a_run_that_was_found_interrupted_is_told_of_once() {
    let mut setup = told_setup(&Issuer::start());
    setup.command_script("sleep 300");
    let deploy = Running::start(
        &mut setup.command(&["deploy", "1.2.3"]),
        &setup.folder().join("deploy"),
    );
    let mut ticket = None;
    wait_until("the run is at work", SOON, || {
        let queue = fs::read_dir(setup.runtime().join("queue")).into_iter().flatten();
        ticket = queue.flatten().map(|entry| entry.path()).next();
        let notes = ticket.as_ref().and_then(|ticket| fs::read_to_string(ticket).ok());
        notes.is_some_and(|notes| notes.contains("started"))
    });
    let notes = fs::read_to_string(ticket.expect("a ticket")).expect("its notes");
    let holder: Value = serde_json::from_str(notes.lines().next().expect("a holder")).expect("JSON");
    let pid = holder["holder"]["pid"].as_i64().expect("a process id") as i32;
    drop(deploy);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it lives");
    // It lives until the kernel has let go of its ticket.
    wait_until("it is completed", SOON, || {
        assert!(setup.run(&["recover"]).status.success());
        listed(&setup).len() == 1
    });
    assert!(text(&setup.run(&["recover"]).stdout).contains("no run is dead"));
    let notice = &wait_told(&setup, 1)[0];
    assert_eq!(
        (&notice["status"], &notice["interrupted"]),
        (&"fail".into(), &true.into())
    );
    assert!(!came_true(Duration::from_secs(1), || told(&setup).len() > 1));
}

/// The words that only the file beside a script may hold.
const SECRET: &str = "tk_canary_4c1d";

/// What a server was sent, and the command lines of all processes at that moment.
struct Sent {
    path: String,
    authorization: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
    command_lines: String,
}

impl Sent {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A server that answers `status`; its URL, and what comes.
fn server(status: u16) -> (String, Receiver<Sent>) {
    let (listener, url) = web::listen(0);
    let (sender, receiver) = channel();
    web::serve(listener, move |request| {
        let sent = Sent {
            path: request.path().to_owned(),
            authorization: request.authorization.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            command_lines: command_lines(),
        };
        // A test that has ended does not listen any more.
        let _ = sender.send(sent);
        (status, "{}".into())
    });
    (url, receiver)
}

fn command_lines() -> String {
    let processes = fs::read_dir("/proc").expect("reading /proc").flatten();
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines.map(|line| text(&line).replace('\0', " ") + "\n").collect()
}

/// Puts a script of `contrib/notify` into the folder, as an operator would; `change` is made to its text.
fn installed(setup: &mut Setup, name: &str, change: impl Fn(String) -> String) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("contrib/notify")
        .join(name);
    let script = change(fs::read_to_string(&source).expect("a script of ours"));
    let script = script
        .strip_prefix("#!/bin/sh\n")
        .expect("a POSIX script")
        .to_owned();
    let place = setup.executable(name, &script);
    setup.set("DEPLOYER_NOTIFY_COMMAND", &place);
    place
}

fn configured(script: &Path, url: &str) {
    let conf = PathBuf::from(format!("{}.conf", script.display()));
    let text = format!("url = \"{url}\"\nheader = \"Authorization: Bearer {SECRET}\"\n");
    fs::write(&conf, text).expect("writing a file");
    fs::set_permissions(&conf, Permissions::from_mode(0o600)).expect("setting a mode");
}

#[track_caller]
fn received(receiver: &Receiver<Sent>) -> Sent {
    receiver.recv_timeout(SOON).expect("the server is sent something")
}

/// A command whose failure puts quotes, a backslash and a word that looks like a member into the error.
const SPITEFUL: &str = r#"printf '%s\n' 'said "no\way", "error":"other"'; exit 7"#;

#[test]
fn a_webhook_is_sent_the_result_and_its_secret_stands_in_no_command_line() {
    let mut setup = Setup::new(&Issuer::start());
    let (url, receiver) = server(200);
    let script = installed(&mut setup, "webhook.sh", |text| text);
    configured(&script, &format!("{url}/hook"));
    setup.command_script(SPITEFUL);
    assert_eq!(setup.run(&["deploy", "1.2.3"]).status.code(), Some(1));
    let sent = received(&receiver);
    assert_eq!(sent.path, "/hook");
    assert_eq!(sent.authorization, Some(format!("Bearer {SECRET}")));
    assert_eq!(sent.header("content-type"), "application/json");
    let document: Value = serde_json::from_str(&sent.body).expect("JSON");
    assert_eq!(document, listed(&setup)[0]);
    assert!(sent.command_lines.contains("curl ") && !sent.command_lines.contains(SECRET));
}

#[test]
fn ntfy_is_sent_a_title_and_the_error() {
    let mut setup = Setup::new(&Issuer::start());
    let (url, receiver) = server(200);
    let script = installed(&mut setup, "ntfy.sh", |text| text);
    configured(&script, &format!("{url}/topic"));
    assert!(setup.run(&["deploy", "1.2.3"]).status.success());
    let sent = received(&receiver);
    assert!(
        sent.header("title").starts_with("deploy 1.2.3: ok ("),
        "{}",
        sent.header("title")
    );
    assert_eq!(
        (sent.header("priority"), sent.header("tags")),
        ("default", "white_check_mark")
    );
    assert_eq!(sent.authorization, Some(format!("Bearer {SECRET}")));
    assert!(sent.command_lines.contains("curl ") && !sent.command_lines.contains(SECRET));

    setup.command_script(SPITEFUL);
    assert_eq!(setup.run(&["deploy", "1.2.4"]).status.code(), Some(1));
    let sent = received(&receiver);
    assert!(
        sent.header("title").starts_with("deploy 1.2.4: fail ("),
        "{}",
        sent.header("title")
    );
    assert_eq!(sent.header("priority"), "high");
    let run = listed(&setup)[0]["run_id"].as_str().expect("a run id").to_owned();
    assert!(sent.body.starts_with(&format!("run {run} ")), "{}", sent.body);
    assert!(
        sent.body.trim_end().ends_with("said 'no|way', 'error':'other'"),
        "{}",
        sent.body
    );
}

#[test]
fn a_server_that_refuses_is_logged_without_the_secret() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let (url, receiver) = server(403);
    let script = installed(&mut setup, "webhook.sh", |text| text);
    configured(&script, &format!("{url}/hook/{SECRET}"));
    let deployer = setup.start();
    let token = issuer.mint(AUDIENCE);
    let answer = deployer
        .client()
        .post("/deploy", &token, r#"{"version":"1.2.3"}"#);
    answer.assert_ok();
    assert_eq!(received(&receiver).path, format!("/hook/{SECRET}"));
    wait_until("the refusal is logged", SOON, || {
        deployer.log().contains("ended with exit status")
    });
    assert!(!deployer.log().contains(SECRET), "{}", deployer.log());
}

#[test]
fn unraid_is_told_one_at_a_time_and_without_quotes() {
    let mut setup = Setup::new(&Issuer::start());
    let calls = setup.folder().join("calls");
    let lines = "printf '%s\\n' \"$(date +%s%N)\" \"$@\" end >>";
    let notify = setup.executable("unraid-notify", &format!("{lines}{}", calls.display()));
    let lock = setup.folder().join("lock");
    installed(&mut setup, "unraid.sh", |text| {
        let text = text.replace(
            "/usr/local/emhttp/webGui/scripts/notify",
            &notify.display().to_string(),
        );
        text.replace("/run/engram-deployer-notice.lock", &lock.display().to_string())
    });
    assert!(setup.run(&["deploy", "1.2.3"]).status.success());
    setup.command_script(SPITEFUL);
    assert_eq!(setup.run(&["deploy", "1.2.4"]).status.code(), Some(1));
    let calls = || fs::read_to_string(&calls).unwrap_or_default();
    wait_until("both are told of", SOON, || {
        calls().matches("\nend\n").count() == 2
    });
    let calls = calls();
    let calls: Vec<Vec<&str>> = calls
        .split_terminator("end\n")
        .map(|call| call.lines().collect())
        .collect();
    let time = |call: &[&str]| call[0].parse::<u64>().expect("a time");
    assert!(time(&calls[1]) - time(&calls[0]) >= 1_000_000_000, "{calls:?}");
    assert_eq!(
        calls[0][1..5],
        ["-e", "engram-deployer", "-s", "deploy 1.2.3: ok"]
    );
    assert_eq!(calls[0].last(), Some(&"normal"));
    assert_eq!(calls[1][4], "deploy 1.2.4: fail");
    assert!(
        calls[1][6].ends_with("said 'no|way', 'error':'other'"),
        "{calls:?}"
    );
    assert_eq!(calls[1].last(), Some(&"alert"));
}

#[test]
fn check_looks_at_the_command() {
    let mut setup = told_setup(&Issuer::start());
    let check = |setup: &Setup| text(&setup.run(&["check"]).stdout);
    assert!(check(&setup).contains("ok     notices: "), "{}", check(&setup));
    let command = setup.folder().join("notify");
    fs::set_permissions(&command, Permissions::from_mode(0o777)).expect("setting a mode");
    assert!(check(&setup).contains("ERROR  notices: "), "{}", check(&setup));
    setup.set("DEPLOYER_NOTIFY_COMMAND", "/nonexistent/notify");
    assert!(
        check(&setup).contains("ERROR  notices: /nonexistent/notify cannot be executed"),
        "{}",
        check(&setup)
    );
}
