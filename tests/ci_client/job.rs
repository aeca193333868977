//! A CI job's surroundings: the client in one shell, what it may see, and what came of it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::scripted::{Asked, Identity, Reply, Server};
use crate::support::folder::Folder;

pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/ci/engram-deploy.sh");
pub const RUN: &str = "20260102T030405Z-0123abcd";
pub const OTHER_RUN: &str = "20260102T030400Z-99999999";
pub const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiJnaXZlbiJ9.c2lnbmF0dXJl";
pub const FIRST: &str = r#"{"phase":"queued","message":"its turn","time":"2026-01-02T03:04:05.000Z","run_id":"20260102T030405Z-0123abcd"}"#;
pub const PULL: &str =
    r#"{"phase":"pull","message":"pulling ghcr.io/x/y:0.5.61","time":"2026-01-02T03:04:06.000Z"}"#;
pub const BEAT: &str = r#"{"phase":"heartbeat","message":"at work","time":"2026-01-02T03:04:16.000Z"}"#;
pub const HEALTH: &str = r#"{"phase":"health","message":"app: healthy","time":"2026-01-02T03:04:17.000Z"}"#;
pub const OK: &str = r#"{"status":"ok","version":"0.5.61","started_at":"s","finished_at":"f","duration_ms":9,"run_id":"20260102T030405Z-0123abcd"}"#;
pub const FAIL: &str = r#"{"status":"fail","error":"app: last answer: \"502\"","version":"0.5.61","containers":[{"name":"app","status":"ok"}],"run_id":"20260102T030405Z-0123abcd"}"#;

pub fn whole() -> Reply {
    Reply::stream(RUN)
        .line(FIRST)
        .line(PULL)
        .line(HEALTH)
        .line(OK)
        .end()
}

pub fn cut() -> Reply {
    Reply::stream(RUN)
        .line(FIRST)
        .line(PULL)
        .line(BEAT)
        .torn(r#"{"phase":"hea"#)
        .cut()
}

pub fn refusal(status: &str, sentence: &str) -> Reply {
    Reply::plain(
        status,
        "Content-Type: text/plain\r\nRequest-Id: 4f2a\r\n",
        &format!("{sentence}\n"),
    )
}

pub fn busy(retry_after: u32) -> Reply {
    Reply::plain(
        "503 Service Unavailable",
        &format!("Retry-After: {retry_after}\r\n"),
        "the queue is full\n",
    )
}

pub fn minted(token: &str) -> Reply {
    Reply::plain(
        "200 OK",
        "Content-Type: application/json\r\n",
        &format!("{{\n \"value\": \"{token}\"\n}}"),
    )
}

/// A folder for one test, with a folder for programs in it and one for what is temporary.
pub fn workshop() -> Folder {
    let folder = Folder::new("ci");
    for inside in ["bin", "tmp"] {
        fs::create_dir(folder.join(inside)).expect("a folder");
    }
    folder
}

pub fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Runs `promise` in each shell that is installed, in all at once: most of the time they only wait.
pub fn in_each_shell(promise: impl Fn(&Ci) + Sync) {
    let shells = [&["dash"][..], &["busybox", "sh"], &["bash", "--posix"]];
    let installed: Vec<_> = shells
        .into_iter()
        .filter(|words| found(words[0]).is_some())
        .collect();
    assert!(!installed.is_empty(), "one POSIX shell at least");
    std::thread::scope(|scope| {
        for words in installed {
            let promise = &promise;
            scope.spawn(move || promise(&Ci::new(words)));
        }
    });
}

/// A CI job's surroundings.
pub struct Ci {
    pub shell: &'static [&'static str],
    pub folder: Folder,
    pub identity: Identity,
}

/// What came of a job.
pub struct Done {
    pub status: i32,
    pub out: String,
    pub err: String,
    pub outputs: String,
    pub took: Duration,
}

impl Ci {
    pub fn new(shell: &'static [&'static str]) -> Self {
        let folder = workshop();
        let (bin, real) = (folder.join("bin"), found("curl").expect("curl"));
        // busybox brings every tool itself here, so the client is shown to need no other.
        if shell[0] == "busybox" {
            let done = Command::new("busybox")
                .args(["--install", "-s"])
                .arg(&bin)
                .status();
            assert!(done.expect("busybox").success());
        }
        // A curl that leaves behind what anyone on the machine could have seen of it.
        let seen = folder.join("seen");
        let wrapper = format!(
            "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; tr '\\0' '\\n' </proc/$$/cmdline; /usr/bin/env; }} >>{}\nexec {} \"$@\"\n",
            seen.display(),
            real.display()
        );
        folder.program("bin/curl", wrapper);
        let identity = Identity::new(folder.path());
        Self {
            shell,
            folder,
            identity,
        }
    }

    pub fn server(&self, script: Vec<Reply>) -> Server {
        Server::start(Some(&self.identity), script)
    }

    pub fn job(&self, port: u16) -> Command {
        self.client(port, &["deploy", "--version", "0.5.61"])
    }

    /// The client with these words.
    pub fn client(&self, port: u16, words: &[&str]) -> Command {
        let mut path = self.folder.join("bin").into_os_string();
        if self.shell[0] != "busybox" {
            path.push(":/usr/local/bin:/usr/bin:/bin");
        }
        let _ = fs::remove_file(self.folder.join("outputs"));
        let mut job = Command::new(found(self.shell[0]).expect("the shell"));
        job.args(&self.shell[1..]).arg(SCRIPT).args(words);
        job.env_clear()
            .env("PATH", path)
            .env("TMPDIR", self.folder.join("tmp"))
            .stdin(Stdio::null());
        job.env("DEPLOYER_URL", format!("https://127.0.0.1:{port}"))
            .env("DEPLOYER_PIN", &self.identity.pin);
        job.env("DEPLOYER_TOKEN", TOKEN).env("DEPLOYER_PATIENCE", "3");
        job.env("GITHUB_OUTPUT", self.folder.join("outputs"));
        job
    }

    /// A job that asks `issuer` for its tokens.
    pub fn minting_job(&self, server: &Server, issuer: &Server) -> Command {
        self.minting(self.job(server.port), issuer)
    }

    /// `job`, but with `issuer` in the place of its token.
    pub fn minting(&self, mut job: Command, issuer: &Server) -> Command {
        job.env_remove("DEPLOYER_TOKEN")
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner\"secret");
        job.env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            format!("http://127.0.0.1:{}/idtoken?api-version=2.0", issuer.port),
        );
        job
    }

    pub fn run(&self, job: &mut Command) -> Done {
        let begun = Instant::now();
        let output = job.output().expect("the shell starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let (out, err) = (text(output.stdout), text(output.stderr));
        println!("--- {}\n{out}{err}", self.shell.join(" "));
        let left: Vec<_> = fs::read_dir(self.folder.join("tmp"))
            .expect("the folder")
            .collect();
        assert!(left.is_empty(), "the client leaves nothing behind: {left:?}");
        let outputs = fs::read_to_string(self.folder.join("outputs")).unwrap_or_default();
        Done {
            status: output.status.code().expect("an exit status"),
            out,
            err,
            outputs,
            took: begun.elapsed(),
        }
    }

    /// What anyone on the machine could see of curl.
    pub fn seen(&self) -> String {
        fs::read_to_string(self.folder.join("seen")).unwrap_or_default()
    }
}

pub fn bearers(asked: &[Asked]) -> Vec<&str> {
    asked
        .iter()
        .map(|asked| {
            asked
                .authorization
                .strip_prefix("Bearer ")
                .expect("a bearer token")
        })
        .collect()
}

pub fn paths(asked: &[Asked]) -> Vec<&str> {
    asked.iter().map(|asked| asked.what.as_str()).collect()
}

pub fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}
