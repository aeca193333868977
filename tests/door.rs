//! [door] `serve` keeps one warm session waiting, whatever happens to it, to its files and to its settings.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::certificate::Certificate;
use crate::support::curl::Client;
use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::folder::{Folder, install};
use crate::support::oidc::Issuer;
use crate::support::roles::{Role, roles_below};
use crate::support::wait_until;

const SOON: Duration = Duration::from_secs(10);

fn deployer() -> Deployer {
    Setup::new(&Issuer::start()).start()
}

fn warm_session(deployer: &Deployer) -> Role {
    let mut sessions = Vec::new();
    wait_until("one warm session with its front", SOON, || {
        sessions = roles_below(deployer.pid(), "session");
        sessions.len() == 1 && roles_below(sessions[0].pid, "front").len() == 1
    });
    sessions.remove(0)
}

fn is_healthy(client: &Client) -> bool {
    client.get("/healthz").status == 200
}

#[test]
fn a_killed_warm_session_and_a_killed_front_are_replaced() {
    let deployer = deployer();
    for role in ["session", "front"] {
        let session = warm_session(&deployer);
        let victim = if role == "session" {
            session.pid
        } else {
            roles_below(session.pid, role)[0].pid
        };
        kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
        wait_until("another one", SOON, || warm_session(&deployer).pid != session.pid);
        assert!(is_healthy(&deployer.client()), "after a killed {role}");
    }
}

#[test]
fn sessions_that_cannot_become_ready_are_started_ever_more_slowly_and_logged_once() {
    let deployer = deployer();
    let session = warm_session(&deployer);
    let key = deployer.certificate().key.clone();
    let good = fs::read(&key).unwrap();
    // The change of the file makes a new session, which fails; the old one stays in use.
    fs::write(&key, "not a key").unwrap();
    wait_until("the complaint", SOON, || {
        deployer.log().contains("the old ones stay in use")
    });
    assert!(is_healthy(&deployer.client()), "the old session answers");
    // Its successor cannot be made any more.
    let before = starts(&deployer);
    wait_until("it is tried again", SOON, || starts(&deployer) >= before + 2);
    sleep(Duration::from_secs(3));
    let started = starts(&deployer) - before;
    assert!(
        started <= 9,
        "{started} starts in 3 s: pauses of 0.1, 0.2, 0.4, 0.8, 1.6 s"
    );
    let said = deployer.log().matches("ended without a connection").count();
    assert_eq!(said, 1, "{}", deployer.log());
    fs::write(&key, good).unwrap();
    wait_until("the good key is in use", SOON, || is_healthy(&deployer.client()));
    assert!(
        !roles_below(deployer.pid(), "session")
            .iter()
            .any(|role| role.pid == session.pid)
    );
}

/// Fronts that failed to start, by their complaint in the log.
fn starts(deployer: &Deployer) -> usize {
    deployer.log().matches("no private key in").count()
}

#[test]
fn a_new_certificate_is_served_without_a_signal_and_without_a_refused_connection() {
    let deployer = deployer();
    let folder = Folder::new("renewed");
    let renewed = Certificate::create(&folder, "renewed");
    warm_session(&deployer);
    // The key first: for a moment the two do not fit, and the old session must bear that.
    fs::copy(&renewed.key, &deployer.certificate().key).unwrap();
    assert!(is_healthy(&deployer.client()) || is_healthy(&with(&deployer, &renewed)));
    let served = deployer.certificate().cert.clone();
    let old = Client {
        ca: folder.write("old.pem", fs::read(&served).unwrap()),
        ..deployer.client()
    };
    fs::copy(&renewed.cert, &served).unwrap();
    wait_until("the renewed certificate", SOON, || {
        is_healthy(&with(&deployer, &renewed))
    });
    assert_eq!(
        old.get("/healthz").exit,
        Some(60),
        "the old certificate is not served any more"
    );
}

#[test]
fn a_certificate_that_was_taken_away_is_missed_until_it_is_back() {
    let deployer = deployer();
    let cert = deployer.certificate().cert.clone();
    let client = deployer.client();
    let client = Client {
        ca: deployer.folder().write("kept.pem", fs::read(&cert).unwrap()),
        ..client
    };
    warm_session(&deployer);
    let away = deployer.folder().join("away.pem");
    fs::rename(&cert, &away).unwrap();
    assert!(is_healthy(&client), "the warm session has it");
    wait_until("the complaint", SOON, || {
        deployer.log().contains("ended without a connection")
    });
    fs::rename(&away, &cert).unwrap();
    wait_until("it is back", SOON, || is_healthy(&client));
}

fn with(deployer: &Deployer, certificate: &Certificate) -> Client {
    Client {
        ca: certificate.cert.clone(),
        ..deployer.client()
    }
}

#[test]
fn sighup_takes_new_settings_from_the_file_and_keeps_the_old_ones_when_they_are_wrong() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let file = setup.use_env_file();
    let deployer = setup.start();
    let good = fs::read_to_string(&file).unwrap();
    let post = || {
        deployer
            .client()
            .post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.2.3"}"#)
    };
    assert_eq!(post().status, 200);

    fs::write(&file, format!("{good}DEPLOYER_QUEUE_MAX=many\n")).unwrap();
    wait_until("the complaint", SOON, || {
        deployer
            .log()
            .contains("the old settings stay in use: DEPLOYER_QUEUE_MAX")
    });
    assert_eq!(post().status, 200);

    fs::write(&file, good.replace("127.0.0.1,::1", "127.0.0.7")).unwrap();
    wait_until("the new list of sources", SOON, || post().status == 403);
    deployer.signal(Signal::SIGHUP);
    wait_until("a reload without a change", SOON, || {
        deployer.log().contains("SIGHUP: making a new session")
    });
    assert_eq!(post().status, 403);
}

#[test]
fn what_only_a_restart_takes_up_is_said_at_a_reload() {
    let mut setup = Setup::new(&Issuer::start());
    let file = setup.use_env_file();
    let deployer = setup.start();
    let good = fs::read_to_string(&file).unwrap();
    let said = |sentence: &str| wait_until(sentence, SOON, || deployer.log().contains(sentence));
    let address = format!("127.0.0.1:{}", deployer.port());
    fs::write(&file, good.replace(&address, "127.0.0.1:1")).unwrap();
    said("DEPLOYER_ADDR is 127.0.0.1:1 now: a restart will take it up");
    said("the new settings are in use");
    assert!(is_healthy(&deployer.client()));
    let state = deployer.state().display().to_string();
    fs::write(&file, good.replace(&state, "/nowhere")).unwrap();
    said(
        "the old settings stay in use: DEPLOYER_STATE_DIR, DEPLOYER_RUNS_DIR or DEPLOYER_RUNTIME_DIR changed",
    );
    assert!(is_healthy(&deployer.client()));
    assert!(!Path::new("/nowhere").exists());
}

#[test]
fn a_reload_minds_what_a_start_minds() {
    use std::os::unix::fs::PermissionsExt;
    let mut setup = Setup::new(&Issuer::start());
    let file = setup.use_env_file();
    let deployer = setup.start();
    let good = fs::read_to_string(&file).unwrap();
    let said = |sentence: &str| wait_until(sentence, SOON, || deployer.log().contains(sentence));
    fs::write(&file, format!("{good}DEPLOYER_ALOWED_IPS=::1\n")).unwrap();
    said("did you mean DEPLOYER_ALLOWED_IPS?");
    said("the new settings are in use");
    let password = deployer.folder().write("password", "of everybody");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let login = format!(
        "DEPLOYER_PULL=on\nDEPLOYER_IMAGE=ghcr.io/x/y\nDEPLOYER_REGISTRY_USERNAME=x\nDEPLOYER_REGISTRY_PASSWORD_FILE={}\n",
        password.display()
    );
    fs::write(&file, good.replace("DEPLOYER_PULL=off\n", &login)).unwrap();
    said("the old settings stay in use: ");
    said(&format!("{}: others may", password.display()));
}

#[test]
fn a_key_that_everyone_can_read_is_served_and_said_at_the_start_and_at_each_reload() {
    use std::os::unix::fs::PermissionsExt;
    let setup = Setup::new(&Issuer::start());
    let key = setup.certificate().key.clone();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let deployer = setup.start();
    let said = || {
        let sentence = format!("{}: everyone can read it (mode 0644)", key.display());
        deployer.log().matches(&sentence).count()
    };
    assert!(is_healthy(&deployer.client()) && is_healthy(&deployer.client()));
    assert_eq!(said(), 1, "{}", deployer.log());
    deployer.signal(Signal::SIGHUP);
    wait_until("it is said again", SOON, || said() == 2);
}

#[test]
fn settings_that_were_taken_away_and_linked_back_are_noticed() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let file = setup.use_env_file();
    let deployer = setup.start();
    let good = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    wait_until("the complaint", SOON, || {
        deployer.log().contains("the old settings stay in use")
    });
    let other = deployer
        .folder()
        .write("other.env", good.replace("127.0.0.1,::1", "127.0.0.7"));
    std::os::unix::fs::symlink(other, &file).unwrap();
    wait_until("the new list of sources", SOON, || {
        let token = issuer.mint(AUDIENCE);
        let answer = deployer
            .client()
            .post("/deploy", &token, r#"{"version":"1.2.3"}"#);
        answer.status == 403
    });
}

#[test]
fn an_upgrade_of_the_executable_does_not_disturb_the_one_that_runs() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let program = setup.folder().join("engram-deployer");
    install(env!("CARGO_BIN_EXE_engram-deployer"), &program);
    setup.use_program(&program);
    let deployer = setup.start();
    assert!(is_healthy(&deployer.client()));
    fs::remove_file(&program).unwrap();
    fs::write(&program, "another file altogether").unwrap();
    for _ in 0..3 {
        let answer = deployer
            .client()
            .post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.2.3"}"#);
        assert_eq!(answer.outcome()["status"], "ok");
    }
}

#[test]
fn both_address_families_are_served_on_one_port() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let port = crate::support::free_port();
    setup.set("DEPLOYER_ADDR", format!(":{port}"));
    let deployer = setup.start();
    let client = |host: &str| Client {
        url: format!("https://{host}:{port}"),
        ..deployer.client()
    };
    assert!(is_healthy(&client("127.0.0.1")));
    // A v4 caller of a dual-stack socket is v4 to the lists: 127.0.0.1 is allowed to deploy.
    let answer = client("127.0.0.1").post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.2.3"}"#);
    assert_eq!(answer.status, 200);
    if Path::new("/proc/net/if_inet6").exists() {
        let answer = client("localhost").start("/healthz", &["-6"]).finish();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[test]
fn without_root_the_roles_start_as_they_are_and_it_is_said_once() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    setup.run_as(65_500);
    let deployer = setup.start();
    let answer = deployer
        .client()
        .post("/deploy", &issuer.mint(AUDIENCE), r#"{"version":"1.2.3"}"#);
    assert_eq!(answer.outcome()["status"], "ok", "{answer:?}");
    assert_eq!(
        deployer.log().matches("not root").count(),
        1,
        "{}",
        deployer.log()
    );
}

#[test]
fn fifty_connections_at_once_are_all_answered() {
    let deployer = deployer();
    let started = Instant::now();
    let client = deployer.client();
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| assert!(is_healthy(&client)));
        }
    });
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn the_command_without_settings_says_all_that_is_missing_at_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_engram-deployer"))
        .arg("serve")
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    for name in [
        "CERT_FILE",
        "KEY_FILE",
        "REPOSITORY",
        "WORKFLOW_REF",
        "ALLOWED_IPS",
    ] {
        assert!(said.contains(&format!("DEPLOYER_{name}")), "{said}");
    }
    assert_eq!(output.status.code(), Some(3));
}
