//! [durability] What a power cut must not undo is on disk before anything rests on it, and nothing waits for the disk that
//! need not: each such wait is a part of what a caller waits for.
//!
//! A trace tells: every call that makes something, writes it or waits for the disk, in one order, where none begins before
//! the one in front of it has ended. A call more or less, or in another place, is another list.

#[cfg(feature = "failpoints")]
mod power_cut;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use crate::rollback::Pair;
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::images::Image;
use crate::support::oidc::Issuer;
use crate::support::process::installed;
use crate::support::wait_until;

/// A deploy by an executable, from its admission on: the grant before the token, the token before the run, the journal
/// before the change, the result before the last line. Six waits, and two after the caller was told.
const DEPLOY: [&str; 19] = [
    "make run",
    "make run/.result",
    "write run/grant.json",
    "wait run/grant.json",
    "wait run",
    "wait runs",
    "write state/jti",
    "wait state/jti",
    "start the run",
    "write state/journal",
    "wait state/journal",
    "start the command",
    "write run/.result",
    "wait run/.result",
    "last line",
    "write run/.result.json.engram.tmp",
    "write state/last/.deploy.json.engram.tmp",
    "wait state/last/.deploy.json.engram.tmp",
    "wait state/last",
];

/// What docker is called with that changes something.
const CHANGES: [&str; 9] = [
    "create", "kill", "rename", "rm", "rmi", "start", "stop", "tag", "update",
];

/// A system call.
#[derive(Debug)]
struct Call {
    name: String,
    arguments: String,
    begun: usize,
    ended: usize,
}

/// Has `setup` start its program under strace; where the trace is.
fn traced(setup: &mut Setup) -> PathBuf {
    installed("strace", "strace");
    let trace = setup.folder().join("calls");
    let script = format!(
        "case $1 in init) ;; *) set -- strace -D -f -qq -y -s 200 -o {} -e trace=/sync,/^p?write,openat,/mkdir,execve {} \"$@\"\n\
         exec \"$@\" ;; esac\nexec {1} \"$@\"",
        trace.display(),
        env!("CARGO_BIN_EXE_engram-deployer"),
    );
    let wrapper = setup.executable("traced", &script);
    setup.use_program(&wrapper);
    trace
}

/// The calls of a trace, in the order in which they began.
fn calls(trace: &Path) -> Vec<Call> {
    let text = fs::read_to_string(trace).expect("a trace");
    let (mut calls, mut open) = (Vec::<Call>::new(), HashMap::new());
    for (at, line) in text.lines().enumerate() {
        let Some((process, said)) = line.split_once(' ') else {
            continue;
        };
        let said = said.trim_start();
        if said.starts_with("<... ") {
            let begun: usize = open.remove(process).expect("a call that goes on");
            calls[begun].ended = at;
        } else if let Some((name, arguments)) = said.split_once('(') {
            let unfinished = said.ends_with("<unfinished ...>");
            if unfinished {
                open.insert(process.to_owned(), calls.len());
            }
            calls.push(Call {
                name: name.to_owned(),
                arguments: arguments.to_owned(),
                begun: at,
                ended: if unfinished { usize::MAX } else { at },
            });
        }
    }
    calls
}

/// What a call is to the run `id`, if it is anything.
fn step(call: &Call, deployer: &Setup, id: &str) -> Option<String> {
    let arguments = &call.arguments;
    let between = |from: char, to: char| {
        let (_, rest) = arguments.split_once(from)?;
        rest.split_once(to).map(|(path, _)| path.to_owned())
    };
    let run = deployer.runs().join(id);
    let place = |path: &str| {
        let known = [
            (&run, "run"),
            (&deployer.runs(), "runs"),
            (&deployer.state(), "state"),
        ];
        let (at, word) = known
            .into_iter()
            .find_map(|(folder, word)| Some((Path::new(path).strip_prefix(folder).ok()?.to_owned(), word)))?;
        // Without the process id that is in a temporary name.
        let parts = at
            .to_str()?
            .split('.')
            .filter(|part| part.parse::<u32>().is_err());
        let at = parts.collect::<Vec<_>>().join(".");
        Some(format!("{word}/{at}").trim_end_matches('/').to_owned())
    };
    let name = call.name.as_str();
    match name {
        _ if name.contains("sync") => {
            // Of the whole machine, or of something that is not ours: told as it stands.
            let waited = between('<', '>').and_then(|path| place(&path));
            Some(format!(
                "wait {}",
                waited.unwrap_or(format!("{name}({arguments}"))
            ))
        }
        "write" if arguments.contains("<pipe:") => {
            let outcome = arguments.contains(r#""{\"status\""#) && arguments.contains(id);
            outcome.then(|| "told".to_owned())
        }
        "write" | "pwrite64" => match place(&between('<', '>')?)?.as_str() {
            "run/log.ndjson" => arguments
                .contains(r#""{\"status\""#)
                .then(|| "last line".to_owned()),
            place => Some(format!("write {place}")),
        },
        "mkdir" | "mkdirat" => Some(format!("make {}", place(&between('"', '"')?)?)),
        "openat" if arguments.contains("O_CREAT|O_EXCL") => {
            Some(format!("make {}", place(&between('"', '"')?)?))
        }
        "execve" if arguments.contains(r#""engram-deployer", "run""#) => Some("start the run".to_owned()),
        "execve" if arguments.contains(r#"["docker", "#) => {
            let (_, words) = arguments.split_once(r#"["docker", ""#)?;
            let (word, _) = words.split_once('"')?;
            CHANGES.contains(&word).then(|| format!("docker {word}"))
        }
        "execve" if arguments.contains("/bin/true") => Some("start the command".to_owned()),
        _ => None,
    }
}

/// What the trace says of the run `id` from the step `first` on; fails where a step begins within another one.
#[track_caller]
fn steps(trace: &Path, deployer: &Setup, id: &str, first: &str) -> Vec<String> {
    let (mut steps, mut ended) = (Vec::<String>::new(), 0);
    for call in calls(trace) {
        let Some(step) = step(&call, deployer, id) else {
            continue;
        };
        if steps.is_empty() && step != first {
            continue;
        }
        assert!(
            steps.is_empty() || call.begun > ended,
            "`{step}` begins within `{}`",
            steps[steps.len() - 1]
        );
        ended = call.ended;
        steps.push(step);
    }
    steps
}

fn wait_for_the_end(deployer: &Deployer) {
    let queue = deployer.runtime().join("queue");
    wait_until("the run is over", Duration::from_secs(10), || {
        fs::read_dir(&queue).is_ok_and(|mut tickets| tickets.next().is_none())
    });
}

#[test]
fn what_a_deploy_rests_on_is_on_disk_first_and_it_waits_for_no_more_than_that() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let trace = traced(&mut setup);
    let deployer = setup.start();
    // The first one fetches the keys, too.
    let answers = [(); 2].map(|()| {
        let body = r#"{"version":"1.2.3"}"#;
        let answer = deployer.client().post("/deploy", &issuer.mint(AUDIENCE), body);
        wait_for_the_end(&deployer);
        answer.outcome()
    });
    let id = answers[1]["run_id"].as_str().expect("a run id");
    assert_eq!(answers[1]["status"], "ok", "{answers:?}");
    assert_eq!(steps(&trace, &deployer, id, DEPLOY[0]), DEPLOY);
}

#[cfg(feature = "failpoints")]
#[test]
fn whoever_tells_the_result_of_a_killed_run_waits_for_the_disk_first() {
    use crate::support::process::{output_of, text};

    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    assert!(setup.run(&["init"]).status.success());
    let trace = traced(&mut setup);
    let deploy = output_of(
        setup
            .command(&["deploy", "1.2.3"])
            .env("DEPLOYER_FAILPOINT", "result-written"),
        b"",
    );
    let said = text(&deploy.stdout);
    let outcome: serde_json::Value =
        serde_json::from_str(said.lines().last().expect("an outcome")).expect("JSON");
    let id = outcome["run_id"].as_str().expect("a run id");
    // Its follower, in the place of the run.
    let followed = [
        "write run/.result",
        "wait run/.result",
        "wait run/.result",
        "wait run",
        "told",
    ];
    assert_eq!(steps(&trace, &setup, id, followed[0]), followed);
    assert!(setup.run(&["recover"]).status.success());
    // Before the journal is emptied, and before the last line.
    let completed = [
        "wait run/.result",
        "wait run",
        "wait run/.result",
        "wait run",
        "last line",
        "write run/.result.json.engram.tmp",
        "write state/last/.deploy.json.engram.tmp",
        "wait state/last/.deploy.json.engram.tmp",
        "wait state/last",
    ];
    assert_eq!(steps(&trace, &setup, id, completed[0]), completed);
}

#[test]
fn with_docker_nothing_is_changed_that_is_not_in_the_journal_on_disk() {
    let mut trace = PathBuf::new();
    let pair = Pair::new("docker", |setup| trace = traced(setup));
    Image::of("2.1.0").push(&pair.host.registry.image());
    let outcome = pair
        .host
        .start_deploy(json!({"version": "2.1.0"}))
        .finish()
        .outcome();
    assert_eq!(outcome["status"], "ok", "{outcome}");
    let id = outcome["run_id"].as_str().expect("a run id");
    let deployer = &pair.host.deployer;
    wait_for_the_end(deployer);
    let steps = steps(&trace, deployer, id, DEPLOY[0]);
    let admitted = steps.iter().position(|step| step == "start the run");
    let recorded = steps.iter().position(|step| step == "write run/.result");
    let (admitted, recorded) = (admitted.expect("a run"), recorded.expect("a result"));
    assert_eq!(steps[..=admitted], DEPLOY[..=8]);
    assert_eq!(steps[recorded..], DEPLOY[12..]);
    let between: Vec<&str> = steps[admitted + 1..recorded].iter().map(String::as_str).collect();
    let entry = ["write state/journal", "wait state/journal"];
    let healthy = [
        "write state/.healthy.json.engram.tmp",
        "wait state/.healthy.json.engram.tmp",
        "wait state",
    ];
    let container = [
        "docker create",
        "docker rename",
        "docker rename",
        "docker update",
        "docker stop",
        "docker start",
    ];
    // The journal is made by the first run of all. Its first entry says whose it is, its last one that nothing goes back;
    // then the version is written down as healthy, before the containers before it go.
    let expected = [
        &["wait state/.journal.engram.tmp", "wait state"][..],
        &entry,
        &entry,
        &["docker tag"],
        &entry,
        &container,
        &entry,
        &container,
        &entry,
        &healthy,
        &["docker rm", "docker rm"],
    ];
    assert_eq!(between, expected.concat());
}
