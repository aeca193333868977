//! A host whose process 1 is systemd, with the daemon as `contrib/install.sh` puts it there: see `systemd/boot.sh`.

use super::curl::Client;
use super::deployer;
use super::folder::Folder;
use super::oidc::Issuer;
use super::process::{Running, installed, text};
use super::world::{World, children_of};
use std::fmt::Write;
use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

/// Where the settings are.
pub const SETTINGS: &str = "/etc/engram-deployer/env";
/// What a deploy runs, unless a test says otherwise.
pub const COMMAND: &str = "/usr/local/bin/deploy-it";
/// The daemon's unit.
pub const SERVICE: &str = "engram-deployer.service";
/// The unit that listens.
pub const SOCKET: &str = "engram-deployer.socket";

/// A host that is switched on. What is on its disk outlives [`Booted::power_cut`], nothing else does.
pub struct Booted {
    machine: Running,
    world: World,
    folder: Folder,
    port: u16,
}

impl Deref for Booted {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Booted {
    /// One without the daemon.
    #[track_caller]
    pub fn start() -> Booted {
        let folder = Folder::new("booted");
        let (machine, world) = switch_on(folder.path());
        Booted {
            machine,
            world,
            folder,
            port: super::free_port(),
        }
    }

    /// One with the daemon, settings that work, and a deploy that runs these lines. Its socket listens, and nothing of the
    /// daemon runs.
    #[track_caller]
    pub fn with_deployer(issuer: &Issuer, deploy: &str) -> Booted {
        let host = Booted::start();
        host.install(&[]);
        host.configure(issuer, &[]);
        host.script(COMMAND, deploy);
        host.must(&["systemctl", "start", SOCKET]);
        host
    }

    /// Installs it as an operator would; what the installer said.
    #[track_caller]
    pub fn install(&self, more: &[&str]) -> String {
        let installer = [
            "sh",
            "/repository/contrib/install.sh",
            "--binary",
            "/program",
            "localhost",
            "127.0.0.1",
        ];
        let output = self.run(&[&installer, more].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}");
        said
    }

    /// Settings that work, these over them, and a port of the test's own.
    #[track_caller]
    pub fn configure(&self, issuer: &Issuer, more: &[(&str, &str)]) {
        let mut settings = deployer::usual(issuer);
        let places = [
            ("DEPLOYER_CERT_FILE", "/etc/engram-deployer/cert.pem"),
            ("DEPLOYER_KEY_FILE", "/etc/engram-deployer/key.pem"),
            ("DEPLOYER_COMMAND_PATH", COMMAND),
        ];
        let all = places.iter().chain(more);
        settings.extend(all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let lines = settings.iter().fold(String::new(), |mut lines, (name, value)| {
            let _ = writeln!(lines, "{name}={value}");
            lines
        });
        self.write(SETTINGS, lines);
        let listen = format!("[Socket]\nListenStream=\nListenStream=127.0.0.1:{}\n", self.port);
        self.drop_in(SOCKET, "port.conf", &listen);
    }

    /// Writes a drop-in of a unit's, and has systemd read it.
    #[track_caller]
    pub fn drop_in(&self, unit: &str, name: &str, content: &str) {
        self.write(&format!("/etc/systemd/system/{unit}.d/{name}"), content);
        self.must(&["systemctl", "daemon-reload"]);
    }

    /// A property of a unit's, as systemd sees it now.
    #[track_caller]
    pub fn property(&self, unit: &str, name: &str) -> String {
        let said = self.must(&["systemctl", "show", "--value", "--property", name, unit]);
        said.trim().to_owned()
    }

    /// Sends a signal to a process, by its number on the host.
    #[track_caller]
    pub fn signal(&self, name: &str, pid: &str) {
        self.must(&["sh", "-c", &format!("kill -{name} {pid}")]);
    }

    /// What a unit logged, with the level of each line as the journal has it.
    #[track_caller]
    pub fn journal(&self, unit: &str, more: &[&str]) -> String {
        self.must(&[&["journalctl", "--no-pager", "-o", "cat", "-u", unit], more].concat())
    }

    /// curl for it, by the certificate that the installer made.
    pub fn client(&self) -> Client {
        let ca = self
            .folder
            .write("cert.pem", self.read("/etc/engram-deployer/cert.pem"));
        Client {
            url: format!("https://127.0.0.1:{}", self.port),
            ca,
        }
    }

    /// Every process at once, without a word to any; then the host is switched on again.
    #[track_caller]
    pub fn power_cut(&mut self) {
        self.switch_off();
        (self.machine, self.world) = switch_on(self.folder.path());
    }

    fn switch_off(&mut self) {
        self.world.kill();
        super::came_true(Duration::from_secs(10), || self.machine.ended());
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = self.run(&["journalctl", "--no-pager", "-o", "short-monotonic", "-n", "200"]);
            eprintln!("---- journal of the host\n{}", text(&said.stdout));
        }
        self.switch_off();
    }
}

#[track_caller]
fn switch_on(folder: &Path) -> (Running, World) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let log = folder.join("boot.log");
    // A test process that is killed drops nothing: then the kernel ends the host.
    let mut command = installed("setpriv", "util-linux");
    command
        .args(["--pdeathsig", "KILL", "unshare"])
        .args(["--mount", "--propagation", "private", "sh"])
        .arg(repository.join("tests/support/systemd/boot.sh"))
        .arg(folder)
        .arg(repository)
        .arg(env!("CARGO_BIN_EXE_engram-deployer"));
    let mut machine = Running::start(&mut command, &log);
    let mut world = World {
        pid: 0,
        spaces: &["--mount", "--pid", "--cgroup", "--uts", "--ipc"],
    };
    super::wait_until("systemd is process 1", Duration::from_secs(20), || {
        let said = || fs::read_to_string(&log).unwrap_or_default();
        assert!(!machine.ended(), "no host: {}", said());
        let first = children_of(machine.pid())
            .into_iter()
            .flat_map(children_of)
            .next();
        world.pid = first.unwrap_or_default();
        fs::read_to_string(format!("/proc/{}/comm", world.pid)).is_ok_and(|name| name == "systemd\n")
            && world.has("/run/systemd/private")
    });
    let state = text(&world.run(&["systemctl", "is-system-running", "--wait"]).stdout);
    let failed = || text(&world.run(&["systemctl", "--failed", "--no-pager"]).stdout);
    assert_eq!(state, "running\n", "{}", failed());
    (machine, world)
}
