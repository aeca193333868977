//! The programs that start the daemon on a host: systemd's socket activation, inetd, xinetd. The real ones.
//!
//! inetd's world has a `/dev/log` of the test's own, a `/run` of its own and, where it is asked for, settings at their usual
//! place: a mount namespace, which ends with its last process.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::deployer::Setup;
use super::folder::Folder;
use super::process::{Running, installed, text};

/// How the daemon is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// systemd, `Accept=no`.
    SystemdListening,
    /// systemd, `Accept=yes`.
    SystemdConnected,
    /// systemd, `Accept=no` with `StandardInput=socket`.
    SystemdInputListening,
    /// systemd, `Accept=yes` with `StandardInput=socket`.
    SystemdInputConnected,
    /// OpenBSD's inetd, as Debian has it.
    InetdWait,
    /// The same.
    InetdNowait,
    /// xinetd, `wait = yes`.
    XinetdWait,
    /// xinetd, `wait = no`.
    XinetdNowait,
}

/// All of them.
pub const KINDS: [Kind; 8] = [
    Kind::SystemdListening,
    Kind::SystemdConnected,
    Kind::SystemdInputListening,
    Kind::SystemdInputConnected,
    Kind::InetdWait,
    Kind::InetdNowait,
    Kind::XinetdWait,
    Kind::XinetdNowait,
];

/// Where the daemon finds its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file that its line names.
    Named,
    /// In `/etc/engram-deployer/env`.
    Usual,
}

impl Kind {
    /// Whether one `serve` has the listening socket, and not a process each connection.
    pub fn is_listening(self) -> bool {
        use Kind::{InetdWait, SystemdInputListening, SystemdListening, XinetdWait};
        matches!(
            self,
            SystemdListening | SystemdInputListening | InetdWait | XinetdWait
        )
    }

    /// Whether the launcher's end is that of the processes it has started: systemd-socket-activate asks the kernel for that
    /// (PR_SET_PDEATHSIG), systemd does not.
    pub fn takes_sessions_along(self) -> bool {
        matches!(self, Kind::SystemdConnected | Kind::SystemdInputConnected)
    }

    /// Whether standard error is what everybody connects to.
    pub fn is_inetd(self) -> bool {
        use Kind::{InetdNowait, InetdWait, XinetdNowait, XinetdWait};
        matches!(self, InetdWait | InetdNowait | XinetdWait | XinetdNowait)
    }
}

/// A launcher at work.
pub struct Launcher {
    kind: Kind,
    running: Running,
    port: u16,
    log: PathBuf,
    syslog: Arc<Mutex<String>>,
    /// Not in the setup's: what is found there is the daemon's.
    _folder: Folder,
}

/// Starts a launcher that starts the daemon, with a file of `setup`'s settings, for connections to its port.
#[track_caller]
pub fn launch(kind: Kind, setup: &mut Setup) -> Launcher {
    launch_with(kind, setup, Place::Named)
}

/// The same with the settings at another place.
#[track_caller]
pub fn launch_with(kind: Kind, setup: &mut Setup, place: Place) -> Launcher {
    let env_file = setup.use_env_file();
    let folder = Folder::new("launcher");
    let syslog = syslog_at(&folder.join("syslog"));
    let line = match place {
        Place::Named => vec![
            "serve".to_owned(),
            "--env-file".into(),
            env_file.display().to_string(),
        ],
        Place::Usual => vec!["serve".to_owned()],
    };
    let mut command = match kind.is_inetd() {
        true => in_a_world_of_its_own(&inetd(kind, setup, &folder, &line), &folder, place, &env_file),
        false => socket_activate(kind, setup, &line),
    };
    let log = folder.join("launcher.log");
    let mut running = Running::start(&mut command, &log);
    let up = || running.ended() || super::deployer::listens(setup.port());
    let up = super::came_true(super::PATIENCE, up);
    let said = text(&fs::read(&log).unwrap_or_default());
    assert!(up && !running.ended(), "{kind:?} does not listen: {said}");
    Launcher {
        kind,
        running,
        port: setup.port(),
        log,
        syslog,
        _folder: folder,
    }
}

impl Launcher {
    /// The launcher's process id; with systemd's listening socket, the daemon's after the first connection.
    pub fn pid(&self) -> i32 {
        self.running.pid()
    }

    /// What stood on the daemon's standard error so far, and what came to syslog.
    pub fn log(&self) -> String {
        let said = text(&fs::read(&self.log).unwrap_or_default());
        said + "\n" + &self.syslog.lock().expect("a syslog")
    }

    /// The same, once all of `parts` are in it.
    #[track_caller]
    pub fn log_with(&self, parts: &[&str]) -> String {
        let all = || parts.iter().all(|part| self.log().contains(part));
        super::wait_until(&format!("{parts:?} in the log"), Duration::from_secs(15), all);
        self.log()
    }

    /// Kills the launcher, and the daemon where it is one process for all connections. Sessions and runs are left alone.
    pub fn kill(mut self) {
        let mut victims = match self.kind.is_listening() {
            true => children_of(self.pid()),
            false => Vec::new(),
        };
        victims.retain(|pid| is_serve(*pid));
        victims.push(self.pid());
        for pid in victims {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        // The warm session as well, which sees that nobody wants it any more.
        let gone = || self.running.ended() && !super::deployer::listens(self.port);
        super::wait_until("a killed launcher leaves the port", Duration::from_secs(10), gone);
    }

    /// Kills the launcher alone.
    pub fn kill_alone(&mut self) {
        self.running.signal(Signal::SIGKILL);
        super::wait_until("a killed launcher is gone", Duration::from_secs(10), || {
            self.running.ended()
        });
    }

    /// The daemon that has the listening socket.
    pub fn serve_pid(&self) -> Option<i32> {
        let children = children_of(self.pid());
        let mut candidates = children.into_iter().chain([self.pid()]);
        candidates.find(|pid| is_serve(*pid))
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- {:?} and the daemon said\n{}", self.kind, self.log());
        }
    }
}

/// A syslog daemon: a line a datagram. Its thread ends with the process.
fn syslog_at(place: &Path) -> Arc<Mutex<String>> {
    let socket = UnixDatagram::bind(place).expect("a syslog of our own");
    let lines = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&lines);
    thread::spawn(move || {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count) = socket.recv(&mut bytes) {
            let line = format!("{}\n", text(&bytes[..count]));
            kept.lock().expect("a syslog").push_str(&line);
        }
    });
    lines
}

fn is_serve(pid: i32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.starts_with(b"engram-deployer\0serve\0") || line.starts_with(program().as_bytes())
}

fn children_of(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_engram-deployer")
}

fn socket_activate(kind: Kind, setup: &Setup, line: &[String]) -> Command {
    let mut command = installed("systemd-socket-activate", "systemd");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.args(["-l", &format!("127.0.0.1:{}", setup.port())]);
    if !kind.is_listening() {
        command.arg("--accept");
    }
    if matches!(kind, Kind::SystemdInputListening | Kind::SystemdInputConnected) {
        command.arg("--inetd");
    }
    command.arg(program()).args(line);
    command
}

/// The program and its arguments. What it reads is `contrib/inetd`, with the test's own port, program and settings.
fn inetd(kind: Kind, setup: &Setup, folder: &Folder, line: &[String]) -> Vec<String> {
    let shipped = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("contrib/inetd")
            .join(name);
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let words = [
            "8443",
            "/usr/local/sbin/engram-deployer",
            "serve --env-file /etc/engram-deployer/env",
        ];
        let ours = [setup.port().to_string(), program().to_owned(), line.join(" ")];
        words.iter().zip(ours).fold(text, |text, (word, ours)| {
            assert!(text.contains(word), "{name} does not say {word}");
            text.replace(word, &ours)
        })
    };
    if matches!(kind, Kind::InetdWait | Kind::InetdNowait) {
        let _ = installed("inetd", "openbsd-inetd");
        let text = shipped("engram-deployer.inetd");
        let wait = if kind.is_listening() { " wait " } else { " nowait" };
        let mut lines = text
            .lines()
            .filter(|line| line.contains("stream") && line.contains(wait));
        let line = lines.next().expect("a line of that kind").trim_start_matches('#');
        let file = folder.write("inetd.conf", format!("{line}\n"));
        return vec!["/usr/sbin/inetd".into(), "-i".into(), file.display().to_string()];
    }
    let mut text = shipped("engram-deployer.xinetd");
    if !kind.is_listening() {
        let alone = text.replace("wait            = yes", "wait            = no");
        assert_ne!(alone, text, "the file says how it is changed to `nowait`");
        text = alone;
    }
    let file = folder
        .write("xinetd.conf", format!("defaults\n{{\n}}\n{text}"))
        .display()
        .to_string();
    let pid_file = folder.join("xinetd.pid").display().to_string();
    let arguments = ["-dontfork", "-f", &file, "-pidfile", &pid_file].map(str::to_owned);
    [xinetd()].into_iter().chain(arguments).collect()
}

/// Debian's package cannot be installed beside openbsd-inetd, so `tests/run.sh` unpacks it.
fn xinetd() -> String {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/parts/xinetd/usr/sbin/xinetd");
    let found = std::env::var_os("ENGRAM_TEST_XINETD").map_or(unpacked, PathBuf::from);
    assert!(
        found.is_file(),
        "{} is not there: start the tests by tests/run.sh, which unpacks Debian's xinetd",
        found.display()
    );
    found.display().to_string()
}

fn in_a_world_of_its_own(inner: &[String], folder: &Folder, place: Place, env_file: &Path) -> Command {
    let etc = match place {
        Place::Named => "",
        Place::Usual => {
            "cp -a /etc etc && mkdir -p etc/engram-deployer && cp \"$2\" etc/engram-deployer/env && mount --bind etc /etc &&"
        }
    };
    let script = format!(
        "cd \"$1\" && mkdir dev && mount -t tmpfs dev dev && cp -a /dev/null /dev/zero /dev/random /dev/urandom dev/ && \
         ln -s \"$1/syslog\" dev/log && {etc} mount --move dev /dev && mount -t tmpfs run /run && cd / && shift 2 && \
         exec \"$@\""
    );
    let mut command = installed("unshare", "util-linux");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"])
        .arg(folder.path())
        .arg(env_file)
        .args(inner);
    command
}
