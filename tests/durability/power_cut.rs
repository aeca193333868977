//! The power fails: what had been given to the disk by then is looked at as the host would at its next start.
//!
//! The disk is a file. A copy of it has all that was waited for, and of the rest what the kernel happened to write: what a
//! disk without a cache of its own would have. ext2 stands for those without a journal, where a name that was not waited
//! for is not there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use engram_deployer::os::lock;

use crate::support::curl::Answer;
use crate::support::deployer::{AUDIENCE, Setup};
use crate::support::oidc::Issuer;
use crate::support::process::{installed, output_of, run, text};
use crate::support::wait_until;

const SYSTEMS: [&str; 2] = ["ext2", "ext4"];

/// A file that is a disk, and where it is mounted; unmounted when dropped.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    fn new(setup: &mut Setup, system: &str) -> Disk {
        let image = setup.folder().join("disk");
        fs::File::create(&image)
            .and_then(|file| file.set_len(16 << 20))
            .expect("an image");
        run(installed(&format!("mkfs.{system}"), "e2fsprogs")
            .args(["-q", "-F"])
            .arg(&image));
        let disk = Disk::mount(image);
        setup.set("DEPLOYER_STATE_DIR", disk.at.join("state"));
        setup.set("DEPLOYER_RUNS_DIR", disk.at.join("runs"));
        disk
    }

    fn mount(image: PathBuf) -> Disk {
        let at = beside(&image, "mounted");
        fs::create_dir(&at).expect("a folder to mount at");
        run(Command::new("mount").args(["-o", "loop"]).args([&image, &at]));
        Disk { image, at }
    }

    /// What is left of it when the power fails now, checked as at the start of a host.
    fn cut(&self) -> Disk {
        let image = beside(&self.image, "cut");
        fs::copy(&self.image, &image).expect("a copy of the disk");
        let check = installed("e2fsck", "e2fsprogs")
            .args(["-f", "-y"])
            .arg(&image)
            .output()
            .expect("e2fsck");
        assert!(check.status.code() < Some(4), "{}", text(&check.stdout));
        Disk::mount(image)
    }

    /// A command of the daemon on this disk, after a restart of the host.
    fn run(&self, setup: &Setup, arguments: &[&str]) -> String {
        let mut command = setup.command(arguments);
        for (name, place) in [("STATE", "state"), ("RUNS", "runs")] {
            command.env(format!("DEPLOYER_{name}_DIR"), self.at.join(place));
        }
        command.env("DEPLOYER_RUNTIME_DIR", beside(&self.image, "runtime"));
        let output = output_of(&mut command, b"");
        text(&output.stdout) + &text(&output.stderr)
    }

    fn status(&self, setup: &Setup) -> Value {
        let said = self.run(setup, &["status", "--json"]);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

fn beside(path: &Path, word: &str) -> PathBuf {
    PathBuf::from(format!("{}-{word}", path.display()))
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// Deploys until the run dies at `place`, with nobody there who would see that; the run's id.
fn die(setup: &Setup, place: &str) -> String {
    let mut deploy = setup
        .command(&["deploy", "1.2.3"])
        .env("DEPLOYER_FAILPOINT", place)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a deploy");
    let mut line = String::new();
    BufReader::new(deploy.stdout.take().expect("its output"))
        .read_line(&mut line)
        .expect("its first line");
    deploy
        .kill()
        .and_then(|()| deploy.wait())
        .expect("the end of a follower");
    let first: Value = serde_json::from_str(&line).expect("an event");
    let id = first["run_id"].as_str().expect("a run id").to_owned();
    let mut tickets = fs::read_dir(setup.runtime().join("queue"))
        .expect("the queue")
        .flatten();
    let ticket = tickets
        .find(|ticket| ticket.path().to_string_lossy().ends_with(&id))
        .expect("a ticket");
    wait_until("the run has died", Duration::from_secs(10), || {
        !lock::is_held(&ticket.path()).expect("a ticket")
    });
    id
}

#[test]
fn a_result_that_was_about_to_be_told_is_the_status_after_a_power_cut() {
    for system in SYSTEMS {
        let issuer = Issuer::start();
        let mut setup = Setup::new(&issuer);
        let disk = Disk::new(&mut setup, system);
        setup.command_script("sleep 0.5");
        assert!(setup.run(&["init"]).status.success());
        let id = die(&setup, "published");
        let cut = disk.cut();
        assert_eq!(cut.run(&setup, &["recover"]), "no run is dead\n", "{system}");
        let status = cut.status(&setup);
        assert_eq!(status["run_id"], id.as_str(), "{system}: {status}");
        assert_eq!(status["status"], "ok", "{system}: {status}");
    }
}

#[test]
fn a_run_that_was_at_work_when_the_power_failed_is_found_with_its_grant_token_and_journal() {
    for system in SYSTEMS {
        let issuer = Issuer::start();
        let mut setup = Setup::new(&issuer);
        let disk = Disk::new(&mut setup, system);
        let go = setup.folder().join("go");
        setup.command_script(&format!("while [ ! -e {} ]; do sleep 0.05; done", go.display()));
        let deployer = setup.start();
        let body = r#"{"version":"1.2.3"}"#;
        let mut call = deployer
            .client()
            .start_post("/deploy", &issuer.mint(AUDIENCE), body);
        call.wait_for("\"update\"");
        let cut = disk.cut();
        fs::write(&go, "").unwrap();
        let outcome = call.finish().outcome();
        let id = outcome["run_id"].as_str().expect("a run id");
        let read = |path: &str| text(&fs::read(cut.at.join(path)).unwrap_or_default());
        assert!(read("state/jti").contains(id), "{system}: the token is used");
        assert!(
            read("state/journal").contains(id),
            "{system}: the change is known"
        );
        cut.run(&deployer, &["recover"]);
        let status = cut.status(&deployer);
        assert_eq!(status["run_id"], id, "{system}: {status}");
        assert_eq!(status["interrupted"], true, "{system}: {status}");
        let error = status["error"].as_str().expect("an error");
        assert!(
            error.starts_with("interrupted while it was changing something"),
            "{error}"
        );
        assert_eq!(cut.run(&deployer, &["recover"]), "no run is dead\n", "{system}");
    }
}

/// Calls by which a session changes something outside of itself.
const CHANGES: [&str; 10] = [
    "mkdir",
    "rename",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "unlink",
    "clone",
    "clone3",
];

/// A session for one connection, killed as it begins its call number `$KILL_AT` of the kind `$KILL_IN`.
fn killed_sessions(setup: &mut Setup) {
    installed("strace", "strace");
    let program = env!("CARGO_BIN_EXE_engram-deployer");
    let script = format!(
        "case $1 in serve) exec strace -qqq -o /dev/null -e trace=$KILL_IN \\\n\
         -e inject=$KILL_IN:signal=KILL:when=$KILL_AT {program} \"$@\" ;; esac\nexec {program} \"$@\""
    );
    let wrapper = setup.executable("killed", &script);
    setup.use_program(&wrapper);
}

/// What such a session answers; its status is 0 when it was killed before it did.
fn answer(setup: &Setup, listener: &TcpListener, token: &str, call: &str, kill_at: u32) -> Answer {
    let call_name = call;
    let call = setup
        .client()
        .start_post("/deploy", token, r#"{"version":"1.2.3"}"#);
    let (stream, _) = listener.accept().expect("a connection");
    let mut session = setup
        .command(&["serve"])
        .env("KILL_IN", call_name)
        .env("KILL_AT", kill_at.to_string())
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a session");
    let answer = call.finish();
    session.wait().expect("the end of a session");
    answer
}

/// Every run has a record and its token is spent, and every spent token has a run; how many there are.
#[track_caller]
fn tokens_and_runs(disk: &Disk, what: &str) -> usize {
    let memory = fs::read(disk.at.join("state/jti")).expect("the replay memory");
    let mut spent: Vec<String> = memory[128..]
        .chunks(128)
        .map(|record| text(&record[49..74]))
        .collect();
    let mut runs: Vec<String> = fs::read_dir(disk.at.join("runs"))
        .expect("the runs")
        .map(|entry| entry.expect("a run").file_name().into_string().expect("a name"))
        .collect();
    spent.sort();
    runs.sort();
    assert_eq!(spent, runs, "{what}");
    for run in &runs {
        let result = |name: &str| disk.at.join("runs").join(run).join(name).exists();
        assert!(
            result("result.json") || result(".result"),
            "{what}: {run} has no record"
        );
    }
    runs.len()
}

#[test]
fn between_any_two_calls_of_an_admission_a_kill_or_a_power_cut_lets_no_token_work_twice() {
    let issuer = Issuer::start();
    let mut killed = 0;
    for call in CHANGES {
        killed += (1..)
            .take_while(|kill_at| is_killed_and_harmless(&issuer, call, *kill_at))
            .count();
    }
    println!("killed and cut at {killed} calls");
    assert!(killed > 14, "only {killed} calls were seen");
}

/// False when the session came to its end before it made so many calls of that kind.
fn is_killed_and_harmless(issuer: &Issuer, call: &str, kill_at: u32) -> bool {
    let what = format!("killed at {call} {kill_at}");
    let mut setup = Setup::new(issuer);
    let disk = Disk::new(&mut setup, "ext4");
    let done = setup.folder().join("done");
    setup.command_script(&format!("echo once >> {}", done.display()));
    assert!(setup.run(&["init"]).status.success());
    // The keys are fetched before: a fetch that was killed is tried again a minute later.
    let other = issuer.mint(AUDIENCE);
    let checked = output_of(&mut setup.command(&["check-token"]), other.as_bytes());
    assert!(checked.status.success(), "{}", text(&checked.stdout));
    killed_sessions(&mut setup);
    let listener = TcpListener::bind(("127.0.0.1", setup.port())).expect("a port");
    let token = issuer.mint(AUDIENCE);
    let first = answer(&setup, &listener, &token, call, kill_at);
    let cut = disk.cut();
    cut.run(&setup, &["recover"]);
    assert!(tokens_and_runs(&cut, &format!("the power was cut, {what}")) <= 1);
    drop(cut);
    // The host goes on, and the caller tries again.
    let second = answer(&setup, &listener, &token, call, u32::from(u16::MAX));
    assert!(matches!(second.status, 200 | 401), "{what}: {second:?}");
    assert!(setup.run(&["recover"]).status.success());
    // A run that was started before its session was killed is at work.
    let queue = setup.runtime().join("queue");
    wait_until("no run is left", Duration::from_secs(10), || {
        fs::read_dir(&queue).is_ok_and(|mut tickets| tickets.next().is_none())
    });
    assert_eq!(tokens_and_runs(&disk, &what), 1);
    let times = fs::read_to_string(&done).unwrap_or_default().lines().count();
    assert!(times <= 1, "{what}: it ran {times} times");
    let was_killed = !first.body().contains("\"status\":\"ok\"");
    if !was_killed {
        assert_eq!((second.status, times), (401, 1), "{what}");
    }
    was_killed
}
