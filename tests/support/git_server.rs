//! Repositories over smart HTTP, as a forge serves them: `git http-backend` behind a small server on loopback.
//!
//! It can want a token, send its callers elsewhere, and forget the newer protocol, as older servers do. It notes every
//! request. Shared by the unit tests in `src/` and the promises in `tests/`, so it uses nothing of either.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What a server does with its callers.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// The `Authorization` header that it wants, whole.
    pub wants: Option<String>,
    /// Where it sends everybody, without a slash at the end.
    pub redirects_to: Option<String>,
    /// Answers every request with this status.
    pub fails_with: Option<u16>,
    /// Speaks the first protocol alone, in which only what a reference names is given.
    pub is_old: bool,
    /// Lets each of its callers wait so long before it answers.
    pub waits: Duration,
    /// Lets each of its callers wait until this is so, or a minute.
    pub until: Option<Arc<AtomicBool>>,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `POST`.
    pub method: String,
    /// With its query.
    pub target: String,
    /// Its `Authorization` header.
    pub authorization: Option<String>,
}

/// A running server. Its threads end with the process.
#[derive(Clone)]
pub struct GitServer {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    manners: Arc<Mutex<Manners>>,
}

impl GitServer {
    /// Serves every repository in `folder`.
    pub fn start(folder: &Path, manners: Manners) -> GitServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listening on loopback");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = GitServer {
            url,
            seen: Arc::default(),
            manners: Arc::new(Mutex::new(manners)),
        };
        let (serving, folder) = (server.clone(), folder.to_owned());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serving, folder) = (serving.clone(), folder.clone());
                // A caller that has gone is its own affair.
                thread::spawn(move || serving.answer(&stream, &folder));
            }
        });
        server
    }

    /// Without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("a list").clone()
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, manners: Manners) {
        *self.manners.lock().expect("manners") = manners;
    }

    fn answer(&self, stream: &TcpStream, folder: &Path) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(stream);
        let Some(request) = Request::read(&mut reader)? else {
            return Ok(());
        };
        let seen = Seen {
            method: request.method.clone(),
            target: request.target.clone(),
            authorization: request.header("authorization").map(str::to_owned),
        };
        self.seen.lock().expect("a list").push(seen);
        let manners = self.manners.lock().expect("manners").clone();
        thread::sleep(manners.waits);
        let began = Instant::now();
        while manners
            .until
            .as_ref()
            .is_some_and(|so| !so.load(Ordering::Relaxed))
            && began.elapsed() < Duration::from_secs(60)
        {
            thread::sleep(Duration::from_millis(5));
        }
        let short = |status: &str, more: &str| {
            let mut stream = stream;
            write!(
                stream,
                "HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
        };
        if let Some(status) = manners.fails_with {
            return short(&format!("{status} as told"), "");
        }
        if let Some(elsewhere) = &manners.redirects_to {
            return short(
                "302 Found",
                &format!("Location: {elsewhere}{}\r\n", request.target),
            );
        }
        if manners.wants.is_some() && manners.wants.as_deref() != request.header("authorization") {
            return short("401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n");
        }
        backend(stream, &request, folder, manners.is_old)
    }
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
        let mut lines = Vec::new();
        loop {
            let line = line(reader)?;
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let Some((first, rest)) = lines.split_first() else {
            return Ok(None);
        };
        let words: Vec<&str> = first.split(' ').collect();
        let [method, target, _] = words[..] else {
            return Ok(None);
        };
        let headers = rest.iter().filter_map(|line| line.split_once(':'));
        let mut request = Request {
            method: method.into(),
            target: target.into(),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        request.body = match request.header("transfer-encoding") {
            Some("chunked") => chunked(reader)?,
            _ => {
                let length = request
                    .header("content-length")
                    .and_then(|text| text.parse().ok());
                let mut body = Vec::new();
                reader.take(length.unwrap_or(0)).read_to_end(&mut body)?;
                body
            }
        };
        Ok(Some(request))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn chunked(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = u64::from_str_radix(&line(reader)?, 16).map_err(io::Error::other)?;
        reader.by_ref().take(size).read_to_end(&mut body)?;
        line(reader)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

/// git-http-backend(1) as a CGI program; what it says goes on as it comes.
fn backend(mut stream: &TcpStream, request: &Request, folder: &Path, is_old: bool) -> io::Result<()> {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let mut command = git(folder);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", &request.method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("CONTENT_LENGTH", request.body.len().to_string());
    for (header, variable) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ] {
        if let Some(value) = request
            .header(header)
            .filter(|_| !(is_old && header == "git-protocol"))
        {
            command.env(variable, value);
        }
    }
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::null()).spawn()?;
    let mut input = child.stdin.take().expect("standard input is piped");
    let body = request.body.clone();
    let feeding = thread::spawn(move || input.write_all(&body));
    let mut output = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let (mut status, mut headers) = ("200 OK".to_owned(), String::new());
    loop {
        let line = line(&mut output)?;
        match line.strip_prefix("Status: ") {
            _ if line.is_empty() => break,
            Some(told) => status = told.to_owned(),
            None => headers += &format!("{line}\r\n"),
        }
    }
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n")?;
    io::copy(&mut output, &mut stream)?;
    let _ = feeding.join();
    child.wait().map(drop)
}

/// git in `folder`, with nobody's settings and with a fixed author.
pub fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).current_dir(folder);
    for (name, value) in [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@example.com"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@example.com"),
    ] {
        command.env(name, value);
    }
    command
}

/// A repository that is served: bare, beneath a folder of its own.
pub struct Repository {
    folder: PathBuf,
}

impl Repository {
    /// An empty repository `name` in `folder`.
    pub fn create(folder: &Path, name: &str) -> Repository {
        std::fs::create_dir_all(folder).expect("making a folder");
        let repository = Repository {
            folder: folder.join(name),
        };
        run(git(folder)
            .args([
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                "--template=",
            ])
            .arg(name));
        repository.run(&["config", "uploadpack.allowFilter", "true"]);
        repository
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Runs git in it; what it says.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        run(git(&self.folder).args(arguments))
    }

    /// Commits these files on top of `branch`, replacing what it had; the commit's id. A mode of `120000` is a link to
    /// the content, `160000` a submodule at the commit that the content is.
    #[track_caller]
    pub fn commit(&self, branch: &str, files: &[(&str, &str, &str)]) -> String {
        let mut told =
            format!("commit refs/heads/{branch}\ncommitter a <a@example.com> 1700000000 +0000\ndata 1\nx\n");
        if self.has(branch) {
            told += &format!("from refs/heads/{branch}^0\n");
        }
        told += "deleteall\n";
        for (mode, path, content) in files {
            told += &match *mode {
                "160000" => format!("M 160000 {content} {path}\n"),
                mode => format!("M {mode} inline {path}\ndata {}\n{content}\n", content.len()),
            };
        }
        self.import(told.as_bytes());
        self.tip(branch)
    }

    /// What git-fast-import(1) makes of `told`.
    #[track_caller]
    pub fn import(&self, told: &[u8]) {
        let mut command = git(&self.folder);
        command
            .args(["fast-import", "--quiet", "--force"])
            .stdin(Stdio::piped());
        let mut child = command.spawn().expect("starting git");
        child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(told)
            .expect("git reads");
        assert!(child.wait().expect("git ends").success(), "git fast-import");
    }

    /// The commit of a branch.
    #[track_caller]
    pub fn tip(&self, branch: &str) -> String {
        self.run(&["rev-parse", branch]).trim().to_owned()
    }

    fn has(&self, branch: &str) -> bool {
        let name = format!("refs/heads/{branch}");
        let shown = git(&self.folder).args(["show-ref", "--quiet", &name]).status();
        shown.is_ok_and(|status| status.success())
    }
}

/// Runs a program to its end; its standard output.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .expect("git is not installed: apt-get install git");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
