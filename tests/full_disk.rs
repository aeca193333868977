//! [full_disk] A full disk refuses, or fails and says so; nothing is granted without a record, and nothing is lost that
//! was there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::deployer::{AUDIENCE, Deployer, Setup};
use crate::support::oidc::Issuer;
use crate::support::process::run;
use crate::support::wait_until;

const BODY: &str = r#"{"version":"1.2.3"}"#;

/// A small file system of its own; unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(place: &Path) -> Small {
        fs::create_dir_all(place).unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs"])
            .arg(place));
        Small(place.to_owned())
    }

    /// Takes all the room that is left, in ever smaller pieces.
    fn fill(&self) {
        for size in [64 * 1024, 4096, 512] {
            for number in 0..600 {
                let file = self.0.join(format!("filler-{size}-{number}"));
                if fs::write(&file, vec![0; size]).is_err() {
                    let _ = fs::remove_file(&file);
                    break;
                }
            }
        }
    }

    fn make_room(&self) {
        for entry in fs::read_dir(&self.0).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("filler-") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn post(deployer: &Deployer, issuer: &Issuer) -> (u16, String) {
    let answer = deployer.client().post("/deploy", &issuer.mint(AUDIENCE), BODY);
    let last = answer
        .lines
        .last()
        .map(|(_, line)| line.clone())
        .unwrap_or_default();
    (answer.status, last)
}

#[test]
fn without_room_for_the_replay_memory_nothing_is_admitted_and_no_token_is_spent() {
    let issuer = Issuer::start();
    let setup = Setup::new(&issuer);
    let state = Small::mount(&setup.state());
    let deployer = setup.start();
    assert_eq!(post(&deployer, &issuer).0, 200);
    // It tidies up after its last line: what it frees then would be room again.
    let queue = deployer.runtime().join("queue");
    wait_until("the run is over", Duration::from_secs(10), || {
        fs::read_dir(&queue)
            .unwrap()
            .flatten()
            .all(|entry| entry.file_name() == "lock")
    });
    state.fill();
    // The last block of the memory has room for a few more; those are admitted, and fail before they change anything.
    let refused = (0..60).find_map(|_| {
        let token = issuer.mint(AUDIENCE);
        let answer = deployer.client().post("/deploy", &token, BODY);
        if answer.status == 200 {
            // One that still found room for all it had to write down is as good as any.
            let outcome = answer.outcome();
            let said = outcome["error"].as_str().unwrap_or_default();
            let honest = said.contains("nothing was changed, because the journal could not be written");
            assert!(outcome["status"] == "ok" || honest, "{outcome}");
            return None;
        }
        assert_eq!(
            (answer.status, answer.body().as_str()),
            (503, "the replay memory cannot be used"),
            "{answer:?}"
        );
        Some(token)
    });
    let token = refused.expect("a full memory refuses");
    assert_eq!(deployer.client().get("/healthz").status, 200);
    state.make_room();
    assert_eq!(
        deployer.client().post("/deploy", &token, BODY).outcome()["status"],
        "ok"
    );
}

#[test]
fn without_room_for_a_run_folder_nothing_is_admitted() {
    let issuer = Issuer::start();
    let setup = Setup::new(&issuer);
    let runs = Small::mount(&setup.runs());
    let deployer = setup.start();
    runs.fill();
    assert_eq!(
        post(&deployer, &issuer),
        (503, "the run could not be prepared".to_owned())
    );
    runs.make_room();
    assert_eq!(post(&deployer, &issuer).0, 200);
}

#[test]
fn a_run_whose_disk_fills_up_still_ends_recorded_once_there_is_room() {
    let issuer = Issuer::start();
    let mut setup = Setup::new(&issuer);
    let runs = Small::mount(&setup.runs());
    let full = setup.folder().join("full");
    let go = setup.folder().join("go");
    setup.command_script(&format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.05; done; echo after",
        full.display(),
        go.display()
    ));
    let deployer = setup.start();
    let mut call = deployer
        .client()
        .start_post("/deploy", &issuer.mint(AUDIENCE), BODY);
    call.wait_for("\"update\"");
    wait_until("the command is at work", Duration::from_secs(10), || {
        full.exists()
    });
    runs.fill();
    fs::write(&go, "").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    runs.make_room();
    let answer = call.finish();
    let outcome = answer.outcome();
    assert_eq!(
        outcome["status"], "ok",
        "what was asked for is live, whatever the disk says"
    );
    // The next run records it before its own work.
    assert_eq!(post(&deployer, &issuer).0, 200);
    let runs = deployer.runs_document();
    let recorded = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .find(|run| run["run_id"] == outcome["run_id"]);
    assert_eq!(recorded.expect("a record")["status"], "ok", "{runs}");
}
