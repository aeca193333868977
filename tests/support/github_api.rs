//! The part of GitHub's API that an app's token comes from, on loopback.
//!
//! It checks what GitHub checks: the signature of the app's own token, its claims against its own clock, the headers, the
//! body. Its refusals have the statuses, headers and bodies of the real ones. Every token that it gave, and took back, is
//! noted.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use serde_json::{Value, json};

/// The app that it knows.
pub const APP: &str = "1234567";

/// Its one installation.
pub const INSTALLATION: &str = "7654321";

/// The one repository of that.
pub const REPOSITORY: &str = "infra";

/// A running API. Its threads end with the process.
#[derive(Clone)]
pub struct GithubApi {
    url: String,
    state: Arc<Mutex<State>>,
}

/// What it refuses beyond what it checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// Nothing.
    #[default]
    Good,
    /// The app's installation is suspended.
    Suspended,
    /// The app has no permission to read contents.
    WithoutPermission,
    /// The hour's requests are used up.
    PrimaryLimit,
    /// Too many at once.
    SecondaryLimit,
    /// The whole service is in trouble.
    Broken,
}

struct State {
    pair: KeyPair,
    port: u16,
    mood: Mood,
    /// Its clock is so many seconds ahead.
    ahead: i64,
    given: Vec<String>,
    revoked: Vec<String>,
    calls: Vec<String>,
    /// What the app called itself by.
    app_tokens: Vec<String>,
}

impl GithubApi {
    /// An API that knows [`APP`] by this key, PKCS#8 in PEM.
    pub fn start(pem: &str) -> GithubApi {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listening on loopback");
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body).expect("a PEM body is base64");
        let address = listener.local_addr().expect("an address");
        let state = State {
            port: address.port(),
            pair: KeyPair::from_pkcs8(&der).expect("an RSA key"),
            mood: Mood::Good,
            ahead: 0,
            given: Vec::new(),
            revoked: Vec::new(),
            calls: Vec::new(),
            app_tokens: Vec::new(),
        };
        let api = GithubApi {
            url: format!("http://{address}"),
            state: Arc::new(Mutex::new(state)),
        };
        let server = api.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                // A caller that has gone is its own affair.
                thread::spawn(move || server.serve(&stream));
            }
        });
        api
    }

    /// For `DEPLOYER_GITHUB_API_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Refuses this from now on.
    pub fn is(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Sets its clock ahead of ours by so many seconds.
    pub fn is_ahead(&self, seconds: i64) {
        self.state().ahead = seconds;
    }

    /// Every token that it gave.
    pub fn given(&self) -> Vec<String> {
        self.state().given.clone()
    }

    /// Every token that was taken back.
    pub fn revoked(&self) -> Vec<String> {
        self.state().revoked.clone()
    }

    /// The token that it gives next.
    pub fn next(&self) -> String {
        self.state().next()
    }

    /// Every token that the app has signed for itself.
    pub fn app_tokens(&self) -> Vec<String> {
        self.state().app_tokens.clone()
    }

    /// Every request, as `METHOD PATH`.
    pub fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let Some(call) = Call::read(stream)? else {
            return Ok(());
        };
        let mut state = self.state();
        state.calls.push(format!("{} {}", call.method, call.path));
        let (status, more, body) = state.answer(&call);
        let date = http_date(state.now());
        drop(state);
        let body = match status {
            204 => String::new(),
            _ => body.to_string(),
        };
        let mut out = stream;
        write!(
            out,
            "HTTP/1.1 {status} as told\r\nDate: {date}\r\n{more}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

type Told = (u16, String, Value);

fn refusal(status: u16, message: &str) -> Told {
    let documentation = "https://docs.github.com/rest";
    let body =
        json!({ "message": message, "documentation_url": documentation, "status": status.to_string() });
    (status, String::new(), body)
}

impl State {
    fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        now.as_secs() as i64 + self.ahead
    }

    fn answer(&mut self, call: &Call) -> Told {
        let limited = |mut told: Told, header: &str| {
            told.1 = format!("{header}\r\n");
            told
        };
        match self.mood {
            Mood::PrimaryLimit => {
                return limited(
                    refusal(403, "API rate limit exceeded"),
                    "X-RateLimit-Remaining: 0",
                );
            }
            Mood::SecondaryLimit => return limited(refusal(429, "Slow down"), "Retry-After: 42"),
            Mood::Broken => return refusal(502, "Server Error"),
            _ => {}
        }
        let wanted = [
            ("accept", "application/vnd.github+json"),
            ("x-github-api-version", "2022-11-28"),
        ];
        if call.header("user-agent").is_none()
            || wanted
                .iter()
                .any(|(name, value)| call.header(name) != Some(value))
        {
            return refusal(403, "Request forbidden by administrative rules.");
        }
        let bearer = call
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        match (call.method.as_str(), call.path.as_str()) {
            ("POST", path) => {
                self.app_tokens.extend(bearer.map(str::to_owned));
                let id = path
                    .strip_prefix("/app/installations/")
                    .and_then(|rest| rest.strip_suffix("/access_tokens"));
                match (self.app_of(bearer), id) {
                    (Err(told), _) => told,
                    (Ok(()), Some(INSTALLATION)) => self.give(&call.body),
                    (Ok(()), _) => refusal(404, "Not Found"),
                }
            }
            ("DELETE", "/installation/token") => match bearer {
                Some(token) if self.given.iter().any(|given| given == token) => {
                    self.revoked.push(token.to_owned());
                    (204, String::new(), Value::Null)
                }
                _ => refusal(401, "Bad credentials"),
            },
            _ => refusal(404, "Not Found"),
        }
    }

    /// As long as the real ones, and another one for each server and each time.
    fn next(&self) -> String {
        let (a, b) = ("a".repeat(200), "b".repeat(280));
        format!("ghs_{APP}_{}{a}.{b}.x-_{}", self.port, self.given.len())
    }

    /// Whether `token` is the app's own, and good now.
    fn app_of(&self, token: Option<&str>) -> Result<(), Told> {
        let undecodable = || refusal(401, "A JSON web token could not be decoded");
        let parts: Vec<&str> = token.unwrap_or_default().split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(undecodable());
        };
        let read = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        };
        let (header_read, read) = (read(header), read(claims).ok_or_else(undecodable)?);
        let public: PublicKeyComponents<Vec<u8>> = self.pair.public().into();
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| undecodable())?;
        let signed = format!("{header}.{claims}");
        let holds = public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature);
        // GitHub looks the app up first: there is no key to try without it.
        if read["iss"] != APP {
            return Err(refusal(404, "Integration not found"));
        }
        if holds.is_err() || header_read.is_none_or(|header| header["alg"] != "RS256") {
            return Err(undecodable());
        }
        let (now, iat, exp) = (self.now(), read["iat"].as_i64(), read["exp"].as_i64());
        match (iat, exp) {
            (Some(iat), _) if iat > now => Err(refusal(401, "'Issued at' claim ('iat') must be in the past")),
            (_, Some(exp)) if exp > now + 600 => Err(refusal(
                401,
                "'Expiration time' claim ('exp') is too far in the future",
            )),
            (Some(_), Some(exp)) if exp > now => Ok(()),
            _ => Err(refusal(
                401,
                "'Expiration time' claim ('exp') must be in the future",
            )),
        }
    }

    fn give(&mut self, body: &[u8]) -> Told {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        match self.mood {
            Mood::Suspended => return refusal(403, "This installation has been suspended"),
            Mood::WithoutPermission => {
                return refusal(
                    422,
                    "The permissions requested are not granted to this installation.",
                );
            }
            _ => {}
        }
        if asked != json!({ "repositories": [REPOSITORY], "permissions": { "contents": "read" } }) {
            return refusal(
                422,
                "There is at least one repository that does not exist or is not accessible to the parent installation.",
            );
        }
        let token = self.next();
        self.given.push(token.clone());
        let body = json!({
            "token": token, "expires_at": "2030-01-02T03:04:05Z", "permissions": { "contents": "read", "metadata": "read" },
            "repository_selection": "selected", "repositories": [{ "name": REPOSITORY }],
        });
        (201, String::new(), body)
    }
}

struct Call {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    fn read(stream: &TcpStream) -> io::Result<Option<Call>> {
        let mut reader = BufReader::new(stream);
        let mut head = Vec::new();
        for line in reader.by_ref().lines() {
            match line? {
                line if line.is_empty() => break,
                line => head.push(line),
            }
        }
        let words: Vec<String> = head
            .first()
            .map(|line| line.split(' ').map(Into::into).collect())
            .unwrap_or_default();
        let [method, path, _] = &words[..] else {
            return Ok(None);
        };
        let pairs = head.iter().skip(1).filter_map(|line| line.split_once(':'));
        let mut call = Call {
            method: method.clone(),
            path: path.clone(),
            headers: pairs
                .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
        };
        let length = call
            .header("content-length")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        reader.take(length).read_to_end(&mut call.body)?;
        Ok(Some(call))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// As date(1) writes it for HTTP.
fn http_date(seconds: i64) -> String {
    let mut command = std::process::Command::new("date");
    let output = command
        .env("LC_ALL", "C")
        .args(["-u", &format!("--date=@{seconds}"), "+%a, %d %b %Y %H:%M:%S GMT"])
        .output()
        .expect("date is installed");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
