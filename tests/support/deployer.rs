//! The daemon itself, as an operator would start it, in folders of its own.

use super::certificate::Certificate;
use super::curl::Client;
use super::folder::Folder;
use super::oidc::Issuer;
use super::process::{self, Running, installed, output_of, run, text};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The audience of `/deploy`.
pub const AUDIENCE: &str = "engram-deploy";

/// Settings that work but for their places and the address: this issuer, GitHub's pins, callers on loopback, and a deploy
/// that runs `/bin/true`.
pub fn usual(issuer: &Issuer) -> BTreeMap<String, String> {
    let settings = [
        ("DEPLOYER_JWKS_URL", issuer.jwks_url()),
        ("DEPLOYER_ISSUER", issuer.name().to_string()),
        ("DEPLOYER_REPOSITORY", "engram-app/engram".into()),
        (
            "DEPLOYER_WORKFLOW_REF",
            "engram-app/engram/.github/workflows/deploy.yml@refs/heads/main".into(),
        ),
        ("DEPLOYER_ALLOWED_IPS", "127.0.0.1,::1".into()),
        ("DEPLOYER_LOG", "debug".into()),
        ("DEPLOYER_BACKEND", "command".into()),
        ("DEPLOYER_COMMAND_PATH", "/bin/true".into()),
        ("DEPLOYER_PULL", "off".into()),
        ("DEPLOYER_CONTAINERS", "engram".into()),
        ("DEPLOYER_HEALTH_POLL_INTERVAL", "200ms".into()),
        ("DEPLOYER_HEALTH_MAX_WAIT", "10s".into()),
        ("DEPLOYER_HEALTH_STEADY", "10ms".into()),
    ];
    settings.map(|(name, value)| (name.to_string(), value)).into()
}

/// The settings of one deployer, and its folders: everything but the running daemon.
pub struct Setup {
    folder: Folder,
    settings: BTreeMap<String, String>,
    env_file: Option<PathBuf>,
    no_settings: PathBuf,
    program: PathBuf,
    user: Option<u32>,
    port: u16,
    port_is_ours: bool,
    certificate: Certificate,
}

impl Setup {
    /// [`usual`] settings, in a folder of their own.
    pub fn new(issuer: &Issuer) -> Setup {
        let folder = Folder::new("deployer");
        let certificate = Certificate::create(&folder, "tls");
        let no_settings = folder.write("empty.env", "");
        let mut setup = Setup {
            folder,
            settings: BTreeMap::new(),
            env_file: None,
            no_settings,
            program: env!("CARGO_BIN_EXE_engram-deployer").into(),
            user: None,
            port: 0,
            port_is_ours: true,
            certificate,
        };
        setup.settings = usual(issuer);
        let places = [
            ("DEPLOYER_CERT_FILE", setup.certificate.cert.clone()),
            ("DEPLOYER_KEY_FILE", setup.certificate.key.clone()),
            ("DEPLOYER_STATE_DIR", setup.folder.join("state")),
            ("DEPLOYER_RUNS_DIR", setup.folder.join("runs")),
            ("DEPLOYER_RUNTIME_DIR", setup.folder.join("runtime")),
        ];
        for (name, place) in places {
            setup.set(name, place);
        }
        setup.choose_port();
        setup
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: impl AsRef<Path>) -> &mut Setup {
        if name == "DEPLOYER_ADDR" {
            let address = value.as_ref().display().to_string();
            let port = address.rsplit(':').next().and_then(|port| port.parse().ok());
            self.port = port.expect("an address with a port");
            self.port_is_ours = false;
        }
        self.settings
            .insert(name.into(), value.as_ref().display().to_string());
        self
    }

    /// Puts the settings into a file, which the commands are told of instead; where it is.
    pub fn use_env_file(&mut self) -> PathBuf {
        let lines: String = self
            .settings
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        let file = self.folder.write("settings.env", lines);
        self.env_file = Some(file.clone());
        file
    }

    /// A file without settings: a command that is told of it reads none of the machine's.
    pub fn no_settings(&self) -> &Path {
        &self.no_settings
    }

    /// Runs this executable instead of the one that was built.
    pub fn use_program(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// Runs everything as this user, who gets the folder.
    pub fn run_as(&mut self, user: u32) {
        run(Command::new("chown")
            .arg("-R")
            .arg(user.to_string())
            .arg(self.folder.path()));
        self.user = Some(user);
    }

    /// What a variable is set to.
    #[track_caller]
    pub fn setting(&self, name: &str) -> &str {
        &self.settings[name]
    }

    /// Takes a variable away.
    pub fn unset(&mut self, name: &str) -> &mut Setup {
        self.settings.remove(name);
        self
    }

    /// The deploy runs this shell text (backend `command`), with what the contract gives it.
    pub fn command_script(&mut self, script: &str) -> &mut Setup {
        let path = self.executable("command", script);
        self.set("DEPLOYER_BACKEND", "command")
            .set("DEPLOYER_COMMAND_PATH", path)
    }

    /// Writes a shell script into the folder; where it is.
    pub fn executable(&self, name: &str, script: &str) -> PathBuf {
        self.folder.program(name, format!("#!/bin/sh\n{script}\n"))
    }

    /// The folder that holds everything of this deployer.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.place("DEPLOYER_STATE_DIR")
    }

    /// The run folders.
    pub fn runs(&self) -> PathBuf {
        self.place("DEPLOYER_RUNS_DIR")
    }

    /// The runtime folder.
    pub fn runtime(&self) -> PathBuf {
        self.place("DEPLOYER_RUNTIME_DIR")
    }

    /// The files that everyone may read.
    pub fn public(&self) -> PathBuf {
        self.runtime().join("public")
    }

    /// Its certificate and key.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// What it listens on, unless `DEPLOYER_ADDR` was set.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// curl for it.
    pub fn client(&self) -> Client {
        Client {
            url: format!("https://127.0.0.1:{}", self.port),
            ca: self.certificate.cert.clone(),
        }
    }

    /// A command of `engram-deployer` with these settings and nothing else in its environment but `PATH`. It reads no file
    /// of the machine's: a command that is told of none reads /etc/engram-deployer/env.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear();
        let reads_a_file = !arguments.contains(&"--env-file") && !matches!(arguments, [] | ["serve", ..]);
        match &self.env_file {
            Some(file) => {
                command.arg("--env-file").arg(file);
            }
            None => {
                command.envs(&self.settings);
                if reads_a_file {
                    command.arg("--env-file").arg(&self.no_settings);
                }
            }
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let kept = ["PATH", "DOCKER_HOST"]
            .into_iter()
            .filter_map(|name| Some((name, std::env::var_os(name)?)));
        command.envs(kept);
        command
    }

    /// The same as a line that a shell runs, on a terminal; its environment is that of [`Setup::command`].
    pub fn on_a_terminal(&self, line: &str) -> Command {
        let program = self.program.display();
        let line = format!("{program} {line} --env-file {}", self.no_settings.display());
        let mut script = installed("script", "bsdutils");
        script.args(["-qec", &line, "/dev/null"]).env_clear();
        for (name, value) in self.command(&[]).get_envs() {
            script.env(name, value.expect("only set variables"));
        }
        script.env("SHELL", "/bin/sh");
        script
    }

    /// Runs a command of `engram-deployer` to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Output {
        output_of(&mut self.command(arguments), b"")
    }

    /// What the daemon logged so far.
    pub fn log(&self) -> String {
        text(&fs::read(self.log_file()).unwrap_or_default())
    }

    /// Starts `engram-deployer serve` and waits until it listens. It is a first installation: tokens from before the
    /// start are good, as `init` says.
    #[track_caller]
    pub fn start(self) -> Deployer {
        let init = self.run(&["init"]);
        assert!(init.status.success(), "init: {}", text(&init.stderr));
        self.start_without_init()
    }

    /// Starts `engram-deployer serve`, which makes a replay memory of its own where there is none.
    #[track_caller]
    pub fn start_without_init(mut self) -> Deployer {
        for _ in 0..5 {
            if let Some(daemon) = self.try_start() {
                return Deployer {
                    daemon: Some(daemon),
                    setup: self,
                };
            }
            assert!(
                self.port_is_ours && self.log().contains("in use"),
                "serve ended at once: {}",
                self.log()
            );
            self.choose_port();
        }
        panic!("no free port in five attempts: {}", self.log());
    }

    /// `None` when it ended before it listened.
    #[track_caller]
    fn try_start(&self) -> Option<Running> {
        let mut daemon = Running::start(&mut self.command(&["serve"]), &self.log_file());
        let up = super::came_true(super::PATIENCE, || daemon.ended() || listens(self.port));
        assert!(up, "serve does not listen: {}", self.log());
        (!daemon.ended()).then_some(daemon)
    }

    fn choose_port(&mut self) {
        self.port = super::free_port();
        self.settings
            .insert("DEPLOYER_ADDR".into(), format!("127.0.0.1:{}", self.port));
    }

    fn place(&self, name: &str) -> PathBuf {
        PathBuf::from(&self.settings[name])
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("deployer.log")
    }
}

impl Drop for Setup {
    /// Sessions and runs outlive `serve` on purpose, so they are found by the folder that they work in.
    fn drop(&mut self) {
        process::clear(self.folder.path());
        if std::thread::panicking() {
            eprintln!("---- log of the deployer\n{}", self.log());
        }
    }
}

/// A running daemon. It is also its [`Setup`].
pub struct Deployer {
    daemon: Option<Running>,
    setup: Setup,
}

impl Deref for Deployer {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Deployer {
    /// The process id of `serve`.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.daemon.as_ref().expect("serve was ended by the test").pid()
    }

    /// Sends `serve` a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.daemon
            .as_ref()
            .expect("serve was ended by the test")
            .signal(signal);
    }

    /// Ends `serve` as its operator would.
    #[track_caller]
    pub fn stop(&mut self) {
        self.daemon.take().expect("serve was ended by the test").stop();
    }

    /// Ends `serve` as a power failure would.
    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Starts `serve` again, after [`Deployer::stop`] or [`Deployer::kill`], at the same port.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.daemon = self.setup.try_start();
        assert!(self.daemon.is_some(), "serve ended at once: {}", self.log());
    }

    /// The last finished deploy, as everyone may read it.
    #[track_caller]
    pub fn status(&self) -> Option<Value> {
        let answer = self.client().get("/status");
        (answer.status == 200).then(|| answer.events().remove(0))
    }
}

impl Deployer {
    /// What runs, what waits, and what ran.
    #[track_caller]
    pub fn runs_document(&self) -> Value {
        let answer = self.client().get("/runs");
        serde_json::from_str(&answer.body()).unwrap_or_else(|error| panic!("/runs: {error}: {answer:?}"))
    }
}

/// Whether some process listens on this port, without connecting: a connection would use up a warm session.
pub fn listens(port: u16) -> bool {
    const LISTEN: &str = "0A";
    let address = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        let text = fs::read_to_string(table).unwrap_or_default();
        text.lines().skip(1).any(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|local| local.ends_with(&address)) && words.nth(1) == Some(LISTEN)
        })
    })
}
