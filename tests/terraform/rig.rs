//! The rig is what it says: state and locks are in the bucket, the slow provider behaves as the worst of the real ones.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::folder::Folder;
use crate::support::process::{output_of, run, text};
use crate::support::terraform::bucket::{Bucket, resources};
use crate::support::terraform::notes::Notes;
use crate::support::terraform::provider::SlowProvider;
use crate::support::terraform::repository::Repository;
use crate::support::terraform::site::KEY;
use crate::support::terraform::{at_work, by_hand, text as hcl};
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(30);

/// An apply by hand in the background, in a process group of its own, its output in a file.
fn start_apply(root: &Path, provider: &SlowProvider) -> Child {
    let log = File::create(root.join("log")).expect("a log");
    let mut command = by_hand(root, &["apply", "-auto-approve", "-input=false", "-no-color"]);
    command.env("TF_CLI_CONFIG_FILE", provider.cli_config());
    let errors = log.try_clone().expect("a second descriptor");
    let streams = command.stdin(Stdio::null()).stdout(log).stderr(errors);
    streams.process_group(0).spawn().expect("starting terraform")
}

/// A folder that is ready for an apply of a thing that takes `seconds`, between two that take none.
fn prepared(bucket: &Bucket, provider: &SlowProvider, seconds: u32) -> Folder {
    let folder = Folder::new("by-hand");
    let things = hcl::slow_things(&[("first", 0), ("slow", seconds), ("last", 0)]);
    folder.write("main.tf", bucket.backend(KEY) + &things);
    folder.write(".terraform.lock.hcl", provider.lock_file());
    let mut init = by_hand(folder.path(), &["init", "-input=false", "-lockfile=readonly"]);
    run(init.env("TF_CLI_CONFIG_FILE", provider.cli_config()));
    folder
}

#[test]
fn an_apply_by_hand_leaves_its_state_in_the_bucket_and_no_lock() {
    let bucket = Bucket::start();
    let folder = Folder::new("by-hand");
    folder.write("main.tf", bucket.backend(KEY) + &hcl::chain(&["a", "b"]));
    run(&mut by_hand(folder.path(), &["init", "-input=false"]));
    assert_eq!(bucket.keys(), Vec::<String>::new());
    run(&mut by_hand(
        folder.path(),
        &["apply", "-auto-approve", "-input=false"],
    ));
    assert_eq!(bucket.keys(), [KEY]);
    assert_eq!(resources(&bucket.state(KEY).expect("a state")), ["a", "b"]);
    assert_eq!(bucket.lock(KEY), None);
}

#[test]
fn an_apply_that_is_killed_leaves_the_lock_and_nothing_of_its_state() {
    let (bucket, provider) = (Bucket::start(), SlowProvider::new());
    let folder = prepared(&bucket, &provider, 4);
    let mut apply = start_apply(folder.path(), &provider);
    wait_until("the slow thing is being made", SOON, || {
        provider.has_noted("create-begin slow")
    });
    let lock = bucket.lock(KEY).expect("a lock while it works");
    assert_eq!(lock["Operation"], "OperationTypeApply", "{lock}");
    at_work::signal(apply.id() as i32, Signal::SIGKILL);
    apply.wait().expect("waiting for terraform");
    assert_eq!(bucket.lock(KEY), Some(lock.clone()), "it is left");
    assert_eq!(bucket.state(KEY), None, "not even what was finished");
    wait_until("an orphan makes it all the same", SOON, || {
        provider.has_noted("create-end slow")
    });
    let mut again = by_hand(
        folder.path(),
        &["plan", "-input=false", "-no-color", "-lock-timeout=0s"],
    );
    let output = output_of(again.env("TF_CLI_CONFIG_FILE", provider.cli_config()), b"");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("Error acquiring the state lock") && said.contains(lock["ID"].as_str().expect("an id")),
        "{said}"
    );
}

#[test]
fn an_apply_that_is_interrupted_once_finishes_what_it_makes_and_unlocks() {
    let (bucket, provider) = (Bucket::start(), SlowProvider::new());
    let folder = prepared(&bucket, &provider, 3);
    let mut apply = start_apply(folder.path(), &provider);
    wait_until("the slow thing is being made", SOON, || {
        provider.has_noted("create-begin slow")
    });
    // To the group: the provider must ignore it.
    let group = nix::unistd::Pid::from_raw(apply.id() as i32);
    nix::sys::signal::killpg(group, Signal::SIGINT).expect("its group");
    let status = apply.wait().expect("waiting for terraform");
    assert_eq!(status.code(), Some(1));
    assert!(provider.has_noted("create-end slow"));
    assert!(!provider.has_noted("create-begin last"));
    let state = bucket.state(KEY).expect("a state");
    assert_eq!(resources(&state), ["first", "slow"]);
    assert_eq!(bucket.lock(KEY), None);
}

#[test]
fn a_bucket_that_is_paused_answers_again_when_resumed_and_never_once_ended() {
    let mut bucket = Bucket::start();
    bucket.put("a", "{\"b\":1}");
    bucket.pause();
    let url = bucket.backend("");
    let url = url
        .split('"')
        .find(|part| part.starts_with("http"))
        .expect("a URL")
        .to_owned();
    let answers = || {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-m", "1", &url]);
        curl.status().expect("curl").success()
    };
    assert!(!answers());
    bucket.resume();
    assert!(answers());
    assert_eq!(bucket.state("a").expect("an object")["b"], 1);
    bucket.remove("a");
    assert_eq!(bucket.get("a"), None);
    bucket.end();
    assert!(!answers());
}

#[test]
fn a_repository_gives_any_commit_by_its_id_also_one_that_is_not_merged() {
    let repository = Repository::new();
    let first = repository.commit(&[("main.tf", "# one\n")]);
    let proposed = repository.propose(&[("main.tf", "# two\n"), ("deep/er.tf", "# three\n")]);
    assert_eq!(repository.head(), first);
    let folder = Folder::new("fetched");
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new(crate::support::terraform::git());
        let output = command.arg("-C").arg(folder.path()).args(arguments).output();
        output.expect("git").status.success()
    };
    assert!(git(&["init", "-q"]));
    assert!(git(&[
        "fetch",
        "-q",
        "--depth",
        "1",
        &repository.url(),
        &proposed
    ]));
    assert!(git(&["checkout", "-q", &proposed]));
    assert!(folder.join("deep/er.tf").exists());
    assert_ne!(repository.merge(), proposed);
}

/// What `terraform plan` prints of a configuration with its state in a file.
#[track_caller]
fn planned(body: &str) -> String {
    let folder = Folder::new("pieces");
    folder.write("main.tf", hcl::local_backend(&folder.join("state")) + body);
    run(&mut by_hand(folder.path(), &["init", "-input=false"]));
    run(&mut by_hand(
        folder.path(),
        &["plan", "-input=false", "-no-color"],
    ))
}

#[test]
fn the_pieces_of_configurations_are_what_terraform_takes() {
    let all = hcl::chain(&["a", "b"])
        + &hcl::thing("c", "input")
        + &hcl::making("d", "echo \"$HOME\" 'two words' \\", "a")
        + &hcl::output("shown", "a value")
        + &hcl::sensitive("hidden", "another value");
    let said = planned(&all);
    assert!(
        said.contains("Plan: 4 to add, 0 to change, 0 to destroy."),
        "{said}"
    );
    assert!(
        said.contains("a value") && !said.contains("another value"),
        "{said}"
    );
    let said = planned(&hcl::lines(3000));
    assert_eq!(said.lines().filter(|line| line.contains("\"line ")).count(), 3000);
    let began = Instant::now();
    planned(&hcl::waiting(&hcl::sleeper(), 2));
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[test]
fn what_tools_are_given_is_noted_before_they_work() {
    let notes = Notes::new();
    let output = std::process::Command::new(notes.git())
        .args(["--version", "two words"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("CANARY", "yes")
        .output();
    let said = text(&output.expect("git").stdout);
    assert!(said.starts_with("git version"), "{said}");
    let noted = notes.of("git");
    assert_eq!(noted.len(), 1, "{noted:?}");
    for line in [
        "argument --version\n",
        "argument two words\n",
        "variable CANARY=yes\n",
    ] {
        assert!(noted[0].contains(line), "{noted:?}");
    }
    assert_eq!(notes.of("terraform"), Vec::<String>::new());
}
