//! A scratch root like an Unraid server, with the plugin's package: see `unraid/root.sh` for what is like it.

use super::curl::Client;
use super::deployer;
use super::folder::Folder;
use super::oidc::Issuer;
use super::process::{Running, installed, output_of, run, text};
use super::roles::Role;
use super::world::World;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

/// The plugin's folder on the flash.
pub const HOME: &str = "/boot/config/plugins/engram-deployer";
/// The plugin's folder where Unraid looks.
pub const PLUGIN: &str = "/usr/local/emhttp/plugins/engram-deployer";
/// What Unraid installs at boot.
pub const PLG: &str = "/boot/config/plugins/engram-deployer.plg";
/// What starts the daemon.
pub const RC: &str = "/etc/rc.d/rc.engram-deployer";
/// The version that is installed first, and the next one.
pub const VERSIONS: [&str; 2] = ["2026.01.31", "2026.02.01"];

/// A server that is switched on. Its flash outlives [`Server::reboot`], nothing else does.
pub struct Server {
    _first: Running,
    world: World,
    folder: Folder,
    port: u16,
}

/// The package of a version and the `.plg` that installs it, built once, with the program that was built for the tests.
pub fn package(version: &str) -> (PathBuf, PathBuf) {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        let folder = folder_for_packages();
        // Without what a debugger wants it fits on a small flash, and is packed in a second.
        let program = folder.join("engram-deployer");
        run(installed("objcopy", "binutils")
            .args(["--strip-debug", env!("CARGO_BIN_EXE_engram-deployer")])
            .arg(&program));
        for version in VERSIONS {
            build(version, &program, &folder.join(version));
        }
        folder
    });
    let folder = folder.join(version);
    let package = folder.join(format!("engram-deployer-{version}-x86_64-1.txz"));
    (package, folder.join("engram-deployer.plg"))
}

/// This process's own. Nothing runs at its end that could remove it, so those of earlier ones go now.
fn folder_for_packages() -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix("package-");
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = all.join(format!("package-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder for packages");
    folder
}

/// Runs `package/build.sh`.
#[track_caller]
pub fn build(version: &str, program: &Path, output: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("package/build.sh");
    let mut command = Command::new(script);
    command.arg(version).arg("--binary").arg(program);
    run(command.arg("--output").arg(output));
}

impl Deref for Server {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Server {
    /// One with an empty flash.
    pub fn start() -> Server {
        let folder = Folder::new("server");
        let (first, world) = switch_on(folder.path());
        Server {
            _first: first,
            world,
            folder,
            port: super::free_port(),
        }
    }

    /// One with the first version of the plugin, installed as a user would.
    pub fn with_plugin() -> Server {
        let server = Server::start();
        let installed = server.install(VERSIONS[0]);
        assert!(installed.status.success(), "{}", text(&installed.stdout));
        server
    }

    /// Everything but the flash is made anew.
    pub fn reboot(&mut self) {
        // What holds files there would keep the flash from being written to its end. Nobody sees another one's end, as when
        // the power is cut.
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for pid in self.processes() {
                if pid != self.world.pid && !is_file_system(pid) {
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
        }
        let boot = self.folder.join("root/boot");
        super::wait_until("the flash is unmounted", Duration::from_secs(10), || {
            let unmounted = output_of(self.within("umount").arg(&boot), b"");
            unmounted.status.success() || text(&unmounted.stderr).contains("not mounted")
        });
        // Such a program writes to the image until its end.
        super::wait_until("nothing has the flash", Duration::from_secs(10), || {
            !self.processes().into_iter().any(is_file_system)
        });
        self.end_everything();
        fs::remove_file(self.folder.join("ready")).expect("the sign of a complete root");
        (self._first, self.world) = switch_on(self.folder.path());
    }

    /// Has the plugin manager install a version, from the network.
    #[track_caller]
    pub fn install(&self, version: &str) -> Output {
        let plg = self.offer(version);
        self.run(&["plugin", "install", &plg])
    }

    /// The same, also when it is not newer than what is there.
    #[track_caller]
    pub fn install_again(&self, version: &str) -> Output {
        let plg = self.offer(version);
        self.run(&["plugin", "install", &plg, "forced"])
    }

    /// Docker is up, as far as the plugin can tell.
    #[track_caller]
    pub fn docker_is_up(&self) {
        self.write("/var/local/emhttp/var.ini", "fsState=\"Started\"\n");
        let socket = "import socket; socket.socket(socket.AF_UNIX).bind('/var/run/docker.sock')";
        self.must(&["python3", "-c", socket]);
    }

    /// Puts a version on the network, until the next boot; where its `.plg` is.
    #[track_caller]
    fn offer(&self, version: &str) -> String {
        let (package, plg) = package(version);
        let name = package
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        self.write(
            &format!("/tmp/network/{name}"),
            fs::read(&package).expect("the package"),
        );
        let place = "/tmp/plugins/engram-deployer.plg";
        self.write(place, fs::read(&plg).expect("the .plg"));
        place.into()
    }

    /// Has the plugin manager install what is on the flash, as Unraid does at boot.
    #[track_caller]
    pub fn boot(&self) -> Output {
        self.run(&["plugin", "install", PLG])
    }

    /// The daemon's process, by the pid file.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        let file = self.read("/run/engram-deployer.pid");
        let pid = file.split_whitespace().next().and_then(|pid| pid.parse().ok());
        pid.unwrap_or_else(|| panic!("the pid file says {file:?}"))
    }

    /// The processes that are `serve`. A child of one, until it becomes something else, does not count.
    pub fn daemons(&self) -> Vec<i32> {
        let named = |pid: &i32| {
            fs::read_link(format!("/proc/{pid}/exe"))
                .is_ok_and(|file| file.to_string_lossy().contains("/sbin/engram-deployer"))
        };
        let serving = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|words| words.split(|byte| *byte == 0).nth(1) == Some(b"serve"))
        };
        let found: Vec<i32> = self
            .processes()
            .into_iter()
            .filter(named)
            .filter(serving)
            .collect();
        let parent = |pid: i32| Role::read(pid).and_then(|role| role.field("PPid").parse().ok());
        let is_first = |pid: &i32| parent(*pid).is_some_and(|parent: i32| !found.contains(&parent));
        found.iter().copied().filter(is_first).collect()
    }

    /// What was logged.
    pub fn syslog(&self) -> String {
        fs::read(self.path("/var/log/syslog"))
            .map(|bytes| text(&bytes))
            .unwrap_or_default()
    }

    /// Settings that work, added to those of the plugin; a deploy runs these lines.
    pub fn configure(&self, issuer: &Issuer, deploy: &str) {
        self.add_settings(issuer);
        self.script("/usr/local/bin/deploy-it", deploy);
        self.must(&["engram-deployer", "init"]);
    }

    /// The settings alone.
    pub fn add_settings(&self, issuer: &Issuer) {
        let mut settings = deployer::usual(issuer);
        settings.insert("DEPLOYER_ADDR".into(), format!("127.0.0.1:{}", self.port));
        settings.insert("DEPLOYER_COMMAND_PATH".into(), "/usr/local/bin/deploy-it".into());
        let lines = settings
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\"\n"));
        let file = format!("{HOME}/engram-deployer.cfg");
        self.write(&file, self.read(&file) + &lines.collect::<String>());
    }

    /// curl for it, by the certificate that it made itself.
    pub fn client(&self) -> Client {
        let ca = self
            .folder
            .write("cert.pem", self.read(&format!("{HOME}/cert.pem")));
        Client {
            url: format!("https://127.0.0.1:{}", self.port),
            ca,
        }
    }

    /// Waits until the daemon answers.
    #[track_caller]
    pub fn wait_until_it_answers(&self) {
        let client = self.client();
        super::wait_until("the daemon answers", Duration::from_secs(10), || {
            client.get("/healthz").status == 200
        });
    }

    /// What was written to the server's root, but for /run, /tmp, /boot and logs: type, mode and path of each.
    pub fn written(&self) -> Vec<String> {
        let upper = self.folder.join("ram/upper");
        let found = run(self
            .within("find")
            .arg(upper)
            .args(["-mindepth", "1", "-printf", "%y %m /%P\n"]));
        let mut found: Vec<String> = found.lines().map(str::to_owned).collect();
        found.sort();
        found
    }

    /// A command of this machine, among the server's mounts.
    fn within(&self, program: &str) -> Command {
        let mut command = installed("nsenter", "util-linux");
        command
            .arg(format!("--mount=/proc/{}/ns/mnt", self.world.pid))
            .arg(program);
        command
    }

    fn end_everything(&self) {
        super::came_true(Duration::from_secs(5), || {
            let left = self.processes();
            for pid in left.iter().filter(|pid| **pid != self.world.pid) {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            left.len() <= 1
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- syslog of the server\n{}", self.syslog());
        }
        self.end_everything();
    }
}

fn is_file_system(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("mount.exfat"))
}

fn switch_on(folder: &Path) -> (Running, World) {
    let log = folder.join("server.log");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/unraid/root.sh");
    let mut command = installed("unshare", "util-linux");
    command
        .args(["--mount", "--propagation", "private", "sh"])
        .arg(script)
        .arg(folder);
    let mut first = Running::start(command.args(["sleep", "infinity"]), &log);
    let said = || fs::read_to_string(&log).unwrap_or_default();
    super::wait_until("a scratch root", Duration::from_secs(20), || {
        assert!(!first.ended(), "no scratch root: {}", said());
        folder.join("ready").exists()
            && fs::read_to_string(format!("/proc/{}/comm", first.pid())).is_ok_and(|name| name == "sleep\n")
    });
    let world = World {
        pid: first.pid(),
        spaces: &["--mount"],
    };
    (first, world)
}
