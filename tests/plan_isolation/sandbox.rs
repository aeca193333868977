//! A tool in a sandbox, started as a run starts it, and the secrets that it looks for.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use engram_deployer::jail::{JailRequest, MountSpec, Mounts, SandboxSpec};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::support::folder::{Folder, install};
use crate::support::unique;

/// A user of nobody else's.
pub const USER: u32 = 65523;

/// Folders of a host, with secrets that everyone may read by their modes: what keeps them secret is the sandbox alone.
pub struct Scene {
    /// Where a plan works; it is the user's, and seen at [`Scene::seen`].
    pub real: PathBuf,
    pub seen: PathBuf,
    /// Beneath a folder of programs, which plans see: what is in it must be hidden.
    pub among_programs: PathBuf,
    /// Files with the canary in them.
    pub secrets: Vec<PathBuf>,
    /// What nobody may read.
    pub canary: String,
    folder: Folder,
}

impl Scene {
    pub fn new() -> Scene {
        assert!(
            nix::unistd::geteuid().is_root(),
            "a sandbox can be made by root alone: run these tests as root"
        );
        let folder = Folder::new("isolation");
        let among_programs = Path::new("/opt").join(folder.path().file_name().unwrap());
        let (real, seen) = (folder.join("plans/work"), folder.join("state/tf/work"));
        let mut scene = Scene {
            secrets: Vec::new(),
            canary: unique("canary"),
            real,
            seen,
            among_programs,
            folder,
        };
        let ours = [
            "state/jti",
            "state/jwks.json",
            "runs/1/grant.json",
            "runtime/turn",
            "tls.key",
            "app.pem",
            "env",
        ];
        for name in ours {
            let path = scene.folder.join(name);
            scene.secret(&path);
            scene.secret(&scene.among_programs.join("ours").join(name));
        }
        scene.secret(&scene.among_programs.join("single.key"));
        fs::create_dir_all(&scene.real).unwrap();
        chown(&scene.real, Some(USER), Some(USER)).unwrap();
        scene
    }

    fn secret(&mut self, path: &Path) {
        self.file(path, &format!("{}\n", self.canary));
        self.secrets.push(path.to_owned());
    }

    /// A file that everyone may read and execute.
    pub fn file(&self, path: &Path, content: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = self.folder.join("text");
        fs::write(&text, content).unwrap();
        install(&text, path);
        fs::remove_file(text).unwrap();
    }

    /// The mounts of a plan.
    pub fn mounts(&self) -> Mounts {
        Mounts {
            shown: vec![MountSpec {
                real: self.real.clone(),
                at: self.seen.clone(),
                writable: true,
            }],
            hidden: ["ours", "single.key", "missing"]
                .map(|name| self.among_programs.join(name))
                .into(),
        }
    }

    /// A shell with `script` in the sandbox of a plan.
    pub fn plan(&self, script: &str) -> JailRequest {
        let mut order = shell(script);
        order.sandbox.mounts = Some(self.mounts());
        order.sandbox.directory = self.seen.clone();
        order
    }

    /// A shell script that prints every secret it can read, and does not find itself.
    pub fn search(&self) -> String {
        let paths = self.secrets.iter().map(|path| path.display().to_string());
        format!(
            "cat {} /proc/[0-9]*/environ 2>/dev/null; \
             grep -rhs 'canar[y]' {} /tmp /var /run /home /root /mnt /boot /srv /dev/shm",
            paths.collect::<Vec<_>>().join(" "),
            self.among_programs.display(),
        )
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.among_programs);
    }
}

/// A shell with `script`, as the user and without a sandbox.
pub fn shell(script: &str) -> JailRequest {
    JailRequest {
        sandbox: SandboxSpec {
            account: Some(USER.to_string()),
            groups: Vec::new(),
            mounts: None,
            directory: "/".into(),
        },
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
        keeps: Vec::new(),
    }
}

/// A role that was started; its group is killed when it is dropped.
pub struct Started {
    child: Child,
    said: std::io::PipeReader,
}

/// How a role ended, and all that was said.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub said: String,
}

/// The role as a program; its order is still to come.
pub fn role() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_engram-deployer"));
    command.arg("jail").env_clear().process_group(0);
    command
}

/// Starts the role as a run does: the order on standard input, one pipe for both outputs.
pub fn start(order: &JailRequest) -> Started {
    start_by(role(), order)
}

/// The same by another program than the role itself.
pub fn start_by(mut command: Command, order: &JailRequest) -> Started {
    let (reader, writer) = std::io::pipe().unwrap();
    command
        .stdin(Stdio::piped())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(order).unwrap()).unwrap();
    Started { child, said: reader }
}

impl Started {
    /// The process id of the role, and of its group.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32)
    }

    /// One line of what is said.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.said.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Sends the role a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Sends its group a signal.
    pub fn signal_group(&self, signal: Signal) {
        killpg(self.pid(), signal).unwrap();
    }

    /// Waits for its end; 128 and the signal where that was one.
    pub fn end(mut self) -> Ended {
        let mut said = Vec::new();
        self.said.read_to_end(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        let code = status.code().or_else(|| Some(128 + status.signal()?));
        Ended {
            code: code.unwrap(),
            said: String::from_utf8_lossy(&said).into_owned(),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs a role to its end.
pub fn run(order: &JailRequest) -> Ended {
    start(order).end()
}

/// The processes of the host that have `word` in their command line.
pub fn processes_with(word: &str) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let with = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .split('\0')
            .any(|part| part == word)
    };
    let found = processes.filter(with);
    found
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
        .collect()
}

/// Whether there are any.
pub fn lives(word: &str) -> bool {
    !processes_with(word).is_empty()
}
