//! The application that the tests deploy: one static program, the whole content of its image.
//!
//! It answers `/api/health` with its version, and misbehaves on request, because most of what a deploy tool has to get
//! right happens when the new version does. Built by plain `rustc`, so std only.
//!
//! | variable  | meaning                                                     |
//! |-----------|-------------------------------------------------------------|
//! | `VERSION` | the version it answers with (set in the image)              |
//! | `PORT`    | where it listens; 8000                                      |
//! | `BEHAVE`  | misbehaviours, comma-separated: see [`Behaviour::parse`]    |
//! | `ROLE`    | who this is; `BEHAVE=ROLE:...` is meant for that one alone  |
//!
//! `app healthcheck` asks a running one and exits 0 or 1: Docker's HEALTHCHECK.

use std::env;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::exit;
use std::thread::{sleep, spawn};
use std::time::Duration;

/// Everything that may be wrong with a version, all off by default.
#[derive(Default)]
struct Behaviour {
    exit: Option<i32>,
    crash_after: Option<Duration>,
    slow_start: Duration,
    silent: bool,
    flaky: u32,
    status: Option<u16>,
    claim: Option<String>,
    unhealthy: bool,
    stubborn: bool,
}

impl Behaviour {
    /// - `exit=CODE`: at once, before listening
    /// - `crash-after=MS`: exit 3 after so many milliseconds
    /// - `slow-start=MS`: listen only after so many milliseconds
    /// - `silent`: take connections and never answer
    /// - `flaky=N`: answer 503 to the first N requests
    /// - `status=CODE`: answer every request with it
    /// - `claim=VERSION`: say so instead of the true version
    /// - `unhealthy`: `app healthcheck` fails, whatever is served
    /// - `stubborn`: ignore TERM, so that stopping takes all the time it is given
    fn parse(text: &str) -> Behaviour {
        let mut behaviour = Behaviour::default();
        let text = match text.split_once(':') {
            Some((role, rest)) if env::var("ROLE").is_ok_and(|own| own == role) => rest,
            Some(_) => return behaviour,
            None => text,
        };
        for word in text.split(',').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "exit" => behaviour.exit = Some(number(value)),
                "crash-after" => behaviour.crash_after = Some(Duration::from_millis(number(value))),
                "slow-start" => behaviour.slow_start = Duration::from_millis(number(value)),
                "silent" => behaviour.silent = true,
                "flaky" => behaviour.flaky = number(value),
                "status" => behaviour.status = Some(number(value)),
                "claim" => behaviour.claim = Some(value.to_string()),
                "unhealthy" => behaviour.unhealthy = true,
                "stubborn" => behaviour.stubborn = true,
                _ => fail(&format!("BEHAVE has an unknown word: {word}")),
            }
        }
        behaviour
    }
}

fn main() {
    let behaviour = Behaviour::parse(&env::var("BEHAVE").unwrap_or_default());
    let port = number(&env::var("PORT").unwrap_or_else(|_| "8000".into()));
    if env::args().nth(1).as_deref() == Some("healthcheck") {
        exit(if !behaviour.unhealthy && answers_200(port) {
            0
        } else {
            1
        });
    }
    if !behaviour.stubborn {
        exit_on_term();
    }
    let version = env::var("VERSION").unwrap_or_else(|_| "0.0.0".into());
    if let Some(code) = behaviour.exit {
        println!("engram {version}: cannot start, exit {code}");
        exit(code);
    }
    if let Some(after) = behaviour.crash_after {
        spawn(move || {
            sleep(after);
            println!("engram: crashed");
            exit(3);
        });
    }
    sleep(behaviour.slow_start);
    serve(&version, port, behaviour);
}

fn serve(version: &str, port: u16, mut behaviour: Behaviour) {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .unwrap_or_else(|error| fail(&format!("cannot listen on port {port}: {error}")));
    println!("engram {version}: listening on port {port}");
    let mut silenced = Vec::new();
    for stream in listener.incoming().flatten() {
        if behaviour.silent {
            silenced.push(stream);
        } else if let Err(error) = answer(stream, version, &mut behaviour) {
            println!("engram {version}: a request failed: {error}");
        }
    }
}

fn answer(mut stream: TcpStream, version: &str, behaviour: &mut Behaviour) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let head = read_head(&mut stream)?;
    let said = behaviour.claim.as_deref().unwrap_or(version);
    let healthy = format!("{{\"status\":\"ok\",\"version\":\"{said}\"}}");
    let (status, body) = if behaviour.flaky > 0 {
        behaviour.flaky -= 1;
        (503, "not yet\n".to_string())
    } else if let Some(status) = behaviour.status {
        (status, "as told\n".to_string())
    } else if head.starts_with("GET /api/health ") {
        (200, healthy)
    } else {
        (404, "no such page\n".to_string())
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} engram\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Reads up to the empty line: closing with unread bytes would reset the connection under the answer.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") && head.len() < 16 * 1024 {
        match stream.read(&mut piece)? {
            0 => break,
            read => head.extend_from_slice(&piece[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn answers_200(port: u16) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    };
    ask().unwrap_or(false)
}

/// The kernel ignores TERM for a container's first process unless it has a handler, and std has no way to set one.
fn exit_on_term() {
    unsafe extern "C" {
        fn signal(signal: i32, handler: extern "C" fn(i32)) -> usize;
        fn _exit(code: i32) -> !;
    }
    extern "C" fn leave(_: i32) {
        unsafe { _exit(0) }
    }
    const SIGTERM: i32 = 15;
    unsafe { signal(SIGTERM, leave) };
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse()
        .unwrap_or_else(|_| fail(&format!("not a number that fits: {text:?}")))
}

fn fail(message: &str) -> ! {
    eprintln!("engram: {message}");
    exit(2);
}
