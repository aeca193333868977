//! A world for one test: network, mounts and processes of its own, and in it a dockerd with a small disk, which the test
//! may fill and kill.
//!
//! A dockerd beside another one is safe only in a network of its own: it would take the other's bridge and rules.

use super::folder::Folder;
use super::process::{installed, text};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the inner test finds its folder.
const INSIDE: &str = "ENGRAM_TEST_WORLD";

/// The room on the engine's disk.
const SIZE: &str = "size=96m";

/// Runs the test called `test` again, in a world of its own, and there `body` with the engine. What `body` prints comes
/// out when it fails; lines that begin with `|` do in any case.
#[track_caller]
pub fn in_a_world(test: &str, body: impl FnOnce(&mut Engine)) {
    match std::env::var_os(INSIDE) {
        Some(folder) => body(&mut Engine::start(folder.into())),
        None => outside(test),
    }
}

#[track_caller]
fn outside(test: &str) {
    let folder = Folder::new("world");
    let data = folder.join("data");
    // Its own temporary folder too: what makes names unique out here, the process id, is the same in every world.
    let temporary = folder.join("tmp");
    for made in [&data, &temporary] {
        fs::create_dir(made).expect("a folder for the engine");
    }
    installed("ip", "iproute2");
    // The shell stays, so that the first process of the world takes in those that lose their parent.
    let script = format!("ip link set lo up && mount -t tmpfs -o {SIZE} tmpfs \"$0\" && \"$@\"; exit $?");
    let mut unshare = installed("unshare", "util-linux");
    unshare.args([
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    unshare.args(["sh", "-c", &script]).arg(&data);
    unshare.arg(std::env::current_exe().expect("this test program"));
    unshare.args([test, "--exact", "--nocapture", "--include-ignored"]);
    unshare.env(INSIDE, folder.path()).env("TMPDIR", temporary);
    unshare.env(
        "DOCKER_HOST",
        format!("unix://{}", socket(folder.path()).display()),
    );
    let output = unshare.stdin(Stdio::null()).output().expect("starting unshare");
    let said = text(&output.stdout) + &text(&output.stderr);
    for line in said.lines().filter(|line| line.starts_with('|')) {
        // Past the test harness, which shows nothing of a test that succeeds.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
    }
    assert!(said.contains("running 1 test"), "there is no test {test}: {said}");
    assert!(output.status.success(), "in a world of its own: {said}");
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("docker.sock")
}

/// A dockerd in a world of its own. Everything in there ends with the test.
pub struct Engine {
    folder: PathBuf,
    dockerd: Option<Child>,
}

impl Engine {
    fn start(folder: PathBuf) -> Engine {
        let mut engine = Engine {
            folder,
            dockerd: None,
        };
        engine.start_again();
        engine
    }

    /// Starts it, after [`Engine::kill`], and waits until it answers.
    #[track_caller]
    pub fn start_again(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("dockerd.log"))
            .expect("a log for dockerd");
        // One that was killed leaves it behind, and the next one would believe it.
        let _ = fs::remove_file(self.folder.join("pid"));
        let mut dockerd = installed("dockerd", "docker.io");
        for (option, name) in [
            ("--data-root", "data"),
            ("--exec-root", "exec"),
            ("--pidfile", "pid"),
        ] {
            dockerd.arg(option).arg(self.folder.join(name));
        }
        dockerd
            .arg("-H")
            .arg(format!("unix://{}", socket(&self.folder).display()));
        let errors = log.try_clone().expect("a second descriptor of a log");
        let child = dockerd.stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
        self.dockerd = Some(child.expect("starting dockerd"));
        super::wait_until("the engine answers", Duration::from_secs(60), || {
            let mut version = Command::new("docker");
            version.args(["version", "--format", "{{.Server.Version}}"]);
            version.output().is_ok_and(|output| output.status.success())
        });
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut dockerd) = self.dockerd.take() {
            let _ = dockerd.kill();
            let _ = dockerd.wait();
        }
    }

    /// Takes all room on its disk but `left` MiB.
    pub fn fill(&self, left: usize) {
        let piece = vec![0; 1024 * 1024];
        let name = |number: usize| self.folder.join(format!("data/filler-{number}"));
        let full = (0..4096).find(|number| fs::write(name(*number), &piece).is_err());
        let full = full.expect("a small disk");
        for number in full.saturating_sub(left)..=full {
            let _ = fs::remove_file(name(number));
        }
    }

    /// Gives back what [`Engine::fill`] took.
    pub fn make_room(&self) {
        for entry in fs::read_dir(self.folder.join("data"))
            .expect("the engine's disk")
            .flatten()
        {
            if entry.file_name().to_string_lossy().starts_with("filler-") {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
