//! [canary] The registry's password is in one file, and during a pull in one other; nobody else ever sees it.
//!
//! It is looked for in everything that a deploy leaves and says, in what its children were given, and, all the while, in
//! the arguments and the environment of every process of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::curl::Answer;
use crate::support::deployer::Setup;
use crate::support::docker::inspect;
use crate::support::folder::files_below;
use crate::support::host::{BACKENDS, Host};
use crate::support::oidc::Issuer;
use crate::support::process::text;
use crate::support::registry::{PASSWORD, USER};
use crate::support::wait_until;

/// The docker client, which notes what it was given before it works.
const NOTING: &str = r#"
{ tr '\0' '\n' </proc/$$/environ; printf '%s\n' "$@"; } >>"$(dirname "$0")/children"
[ "$1" != pull ] || stat -c 'login %a' "$DOCKER_CONFIG" "$DOCKER_CONFIG/config.json" >>"$(dirname "$0")/children"
"#;

/// The password, and name and password as docker's configuration spells them.
fn spellings() -> [Vec<u8>; 2] {
    let pair = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    [PASSWORD.into(), pair.into_bytes()]
}

fn has_secret(bytes: &[u8]) -> bool {
    let holds = |word: &Vec<u8>| bytes.windows(word.len()).any(|window| window == word);
    spellings().iter().any(holds)
}

/// Writes the password file, with this mode, and names it in the settings.
fn log_in(setup: &mut Setup, mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = setup.folder().write("password", format!("{PASSWORD}\n"));
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("the mode of the password file");
    setup.set("DEPLOYER_REGISTRY_USERNAME", USER);
    setup.set("DEPLOYER_REGISTRY_PASSWORD_FILE", &file);
    file
}

/// Puts a docker client into the settings that notes what it is given, does `first`, and then what it was told.
fn note_children(setup: &mut Setup, first: &str) {
    let client = setup.executable("noting-docker", &format!("{NOTING}{first}\nexec docker \"$@\""));
    setup.set("DEPLOYER_DOCKER_PATH", client);
}

/// Everything below `folder` that has the secret in it, but for the file that it is kept in.
fn found_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = files_below(folder, has_secret);
    found.retain(|path| !path.ends_with("password"));
    found
}

/// Looks at every process of this machine until it is asked what it saw.
struct Watch {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    fn start() -> Watch {
        let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (ending, noting) = (Arc::clone(&over), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                noting.lock().expect("a list").extend(processes_with_secret());
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Watch {
            over,
            seen,
            thread: Some(thread),
        }
    }

    fn seen(mut self) -> Vec<String> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("it ends");
        std::mem::take(&mut self.seen.lock().expect("a list"))
    }
}

fn processes_with_secret() -> Vec<String> {
    let processes = fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .map(|entry| entry.path());
    let told = |process: &PathBuf| {
        let parts = ["cmdline", "environ"].into_iter();
        let part = parts.filter(|part| has_secret(&fs::read(process.join(part)).unwrap_or_default()));
        part.map(|part| format!("{}/{part}", process.display()))
            .collect::<Vec<_>>()
    };
    processes.flat_map(|process| told(&process)).collect()
}

/// A host whose registry asks for the password.
fn locked(mut host: Host) -> Host {
    host.registry.lock();
    host
}

fn logins(host: &Host) -> PathBuf {
    host.deployer.runtime().join("login")
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).into_iter().flatten().next().is_none()
}

/// Nothing that this deploy said or left has the secret in it.
#[track_caller]
fn assert_unseen(host: &Host, answer: &Answer, watch: Watch) {
    assert!(!has_secret(answer.body().as_bytes()), "{answer:#?}");
    let client = host.deployer.client();
    for path in ["/status", "/runs"] {
        assert!(!has_secret(client.get(path).body().as_bytes()), "{path}");
    }
    assert_eq!(found_below(host.deployer.folder().path()), Vec::<PathBuf>::new());
    assert_eq!(watch.seen(), Vec::<String>::new());
    assert!(is_empty(&logins(host)), "the login is still there");
}

#[test]
fn a_login_is_there_for_the_pull_alone_and_seen_by_nobody() {
    for host in BACKENDS {
        let host = locked(host(&|setup| {
            log_in(setup, 0o600);
            note_children(setup, "");
        }));
        let watch = Watch::start();
        let answer = host.deploy("2.0.0");
        answer.assert_ok();
        assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
        let noted = fs::read_to_string(host.deployer.folder().join("children")).expect("notes");
        assert_eq!(noted.matches("login 700\nlogin 600\n").count(), 1, "{noted}");
        assert_eq!(
            noted.matches("DOCKER_CONFIG=").count(),
            1,
            "the pull alone gets it: {noted}"
        );
        assert_unseen(&host, &answer, watch);
    }
}

#[test]
fn on_unraid_the_scripts_own_pull_fails_without_a_login_and_harms_nothing() {
    let host = locked(Host::unraid_with(|setup| {
        log_in(setup, 0o600);
    }));
    let reference = format!("{}:2.0.0", host.registry.image());
    // What the script does, with nobody's credentials.
    let pull = Command::new("docker")
        .args(["--config", "/nonexistent", "pull", &reference])
        .output()
        .expect("docker");
    assert!(
        text(&pull.stderr).contains("no basic auth credentials"),
        "{pull:?}"
    );
    host.deploy("2.0.0").assert_ok();
    assert_eq!(host.unraid.as_ref().expect("Unraid's part").calls().len(), 1);
    assert_eq!(
        inspect(&host.name).expect("a container")["Config"]["Image"],
        reference.as_str()
    );
    assert_eq!(host.live_version().as_deref(), Some("2.0.0"));
}

#[test]
fn a_tool_that_prints_the_password_shows_it_to_nobody() {
    let host = locked(Host::docker_with(|setup| {
        log_in(setup, 0o600);
        let leak = r#"if [ "$1" = pull ]; then
            cat "$DOCKER_CONFIG/config.json"; echo
            cat "$(dirname "$0")/password" >&2
            sed 's/^/no space left on device for /' "$(dirname "$0")/password" >&2
            exit 1
        fi"#;
        note_children(setup, leak);
    }));
    let watch = Watch::start();
    let answer = host.deploy("2.0.0");
    let error = answer.assert_failed();
    assert!(error.ends_with("no space left on device for ***"), "{error}");
    assert!(answer.body().contains(r#"{\"auth\":\"***\"}"#), "{answer:#?}");
    assert_unseen(&host, &answer, watch);
}

#[test]
fn a_wrong_password_is_told_as_such_and_leaves_nothing() {
    let host = locked(Host::docker_with(|setup| {
        let file = log_in(setup, 0o600);
        fs::write(file, "another-password").expect("writing the password");
    }));
    let error = host.deploy("2.0.0").assert_failed();
    assert!(
        error.starts_with("pull failed: the registry refused the credentials: "),
        "{error}"
    );
    assert!(is_empty(&logins(&host)));
    assert_eq!(host.live_version().as_deref(), Some("1.0.0"));
}

#[test]
fn the_login_of_a_killed_run_is_swept_by_whoever_finds_it() {
    let host = locked(Host::docker_with(|setup| {
        log_in(setup, 0o600);
        note_children(setup, r#"[ "$1" != pull ] || exec sleep 600"#);
    }));
    let mut call = host.start_deploy(json!({"version": "2.0.0"}));
    let first: Value = serde_json::from_str(&call.wait_for("run_id")).expect("JSON");
    let id = first["run_id"].as_str().expect("a run id");
    wait_until("the pull has its login", Duration::from_secs(20), || {
        logins(&host).join(id).join("config.json").exists()
    });
    kill(Pid::from_raw(pid_of(&host, id)), Signal::SIGKILL).expect("the run lives");
    let recovered = host.deployer.run(&["recover"]);
    assert!(recovered.status.success(), "{recovered:?}");
    wait_until("the login is gone", Duration::from_secs(20), || {
        is_empty(&logins(&host))
    });
    wait_until("the run is recorded", Duration::from_secs(20), || {
        host.deployer
            .status()
            .is_some_and(|status| status["interrupted"] == true)
    });
}

/// The process of a run, as its ticket names it.
fn pid_of(host: &Host, id: &str) -> i32 {
    let queue = fs::read_dir(host.deployer.runtime().join("queue")).expect("the queue");
    let mut tickets = queue.flatten().map(|entry| entry.path());
    let ticket = tickets.find(|path| path.display().to_string().ends_with(id));
    let notes = fs::read_to_string(ticket.expect("a ticket")).expect("its notes");
    let holder: Value = serde_json::from_str(notes.lines().next().expect("a holder")).expect("JSON");
    holder["holder"]["pid"].as_i64().expect("a process id") as i32
}

#[test]
fn a_password_that_others_can_read_refuses_to_start_and_to_deploy() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup.set("DEPLOYER_PULL", "on");
    for mode in [0o644, 0o640, 0o660] {
        let file = log_in(&mut setup, mode);
        let expected = format!("{}: others may", file.display());
        for arguments in [&["serve"][..], &["check"], &["deploy", "2.0.0"]] {
            let output = setup.run(arguments);
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert!(
                !output.status.success() && said.contains(&expected),
                "{arguments:?}: {said}"
            );
            assert!(!has_secret(said.as_bytes()), "{said}");
        }
    }
}
