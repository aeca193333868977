//! A server on loopback that answers each request with the next reply of a script, and remembers what it was asked.
//!
//! It stands in for the daemon where a test needs one that misbehaves on purpose; it checks nothing itself.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What the server does for one request, in order. Without [`Reply::cut`] at its end the connection is closed properly.
#[derive(Clone, Default)]
pub struct Reply(Vec<Act>);

#[derive(Clone)]
enum Act {
    Send(String),
    Pause(Duration),
    Cut,
}

impl Reply {
    /// A head, and a body whose length is known.
    pub fn plain(status: &str, headers: &str, body: &str) -> Self {
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Self(vec![Act::Send(head + body)])
    }

    /// The head of a chunked stream.
    pub fn stream(run_id: &str) -> Self {
        let named = if run_id.is_empty() {
            String::new()
        } else {
            format!("Run-Id: {run_id}\r\n")
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n{named}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        );
        Self(vec![Act::Send(head)])
    }

    /// The head of a stream that ends where the connection ends.
    pub fn close_delimited(run_id: &str) -> Self {
        Self(vec![Act::Send(format!(
            "HTTP/1.1 200 OK\r\nRun-Id: {run_id}\r\nConnection: close\r\n\r\n"
        ))])
    }

    /// No answer at all.
    pub fn none() -> Self {
        Self(vec![Act::Cut])
    }

    /// One line as one chunk.
    pub fn line(self, line: &str) -> Self {
        let data = format!("{line}\n");
        self.raw(&format!("{:x}\r\n{data}\r\n", data.len()))
    }

    /// A chunk without a newline at its end.
    pub fn torn(self, part: &str) -> Self {
        self.raw(&format!("{:x}\r\n{part}\r\n", part.len()))
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &str) -> Self {
        self.0.push(Act::Send(bytes.to_owned()));
        self
    }

    /// Silence.
    pub fn pause(mut self, time: Duration) -> Self {
        self.0.push(Act::Pause(time));
        self
    }

    /// The end of a chunked stream.
    pub fn end(self) -> Self {
        self.raw("0\r\n\r\n")
    }

    /// The connection breaks here.
    pub fn cut(mut self) -> Self {
        self.0.push(Act::Cut);
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `POST /deploy`
    pub what: String,
    pub authorization: String,
    pub body: String,
}

/// A key and a certificate for 127.0.0.1, made when the test runs.
pub struct Identity {
    pub certificate: String,
    pub pin: String,
    key: String,
}

impl Identity {
    pub fn new(folder: &Path) -> Self {
        let (key, cert) = (folder.join("key.pem"), folder.join("cert.pem"));
        openssl(&format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=scripted \
             -addext subjectAltName=IP:127.0.0.1 -keyout {} -out {}",
            key.display(),
            cert.display()
        ));
        let pin = openssl(&format!(
            "openssl x509 -in {} -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
            cert.display()
        ));
        let text = |path| std::fs::read_to_string(path).expect("openssl has written it");
        Self {
            certificate: text(cert),
            pin: format!("sha256//{}", pin.trim()),
            key: text(key),
        }
    }

    fn config(&self) -> Arc<ServerConfig> {
        let chain =
            CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<Result<Vec<_>, _>>();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(chain.expect("certificates"), key);
        Arc::new(config.expect("key and certificate fit"))
    }
}

fn openssl(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().expect("sh");
    assert!(
        output.status.success(),
        "{line}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("base64")
}

/// The server. It ends when it is dropped.
pub struct Server {
    pub port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Over TLS as `identity`, or in plain HTTP. The last reply is repeated for ever.
    pub fn start(identity: Option<&Identity>, script: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let play = Arc::new(Play {
            config: identity.map(Identity::config),
            script,
            asked: asked.clone(),
            stop: stop.clone(),
        });
        let thread = std::thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if play.stop.load(Ordering::SeqCst) {
                    return;
                }
                // One thread a connection: the client must be able to leave one that is silent.
                let play = play.clone();
                std::thread::spawn(move || play.serve(connection));
            }
        });
        Self {
            port,
            asked,
            stop,
            thread: Some(thread),
        }
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What the threads of a server share.
struct Play {
    config: Option<Arc<ServerConfig>>,
    script: Vec<Reply>,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
}

impl Play {
    fn serve(&self, socket: TcpStream) -> std::io::Result<()> {
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        let Some(config) = self.config.clone() else {
            return self.answer(socket).map(drop);
        };
        let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
        let Some(mut stream) = self.answer(StreamOwned::new(connection, socket))? else {
            return Ok(());
        };
        stream.conn.send_close_notify();
        stream.flush()
    }

    /// Reads one request and plays its reply; `None` when that ends with a broken connection.
    fn answer<S: Read + Write>(&self, mut stream: S) -> std::io::Result<Option<S>> {
        let request = read_request(&mut stream)?;
        for act in self.reply_to(request).0 {
            match act {
                Act::Send(bytes) => stream.write_all(bytes.as_bytes()).and_then(|()| stream.flush())?,
                Act::Pause(time) => self.pause(time),
                Act::Cut => return Ok(None),
            }
        }
        Ok(Some(stream))
    }

    fn reply_to(&self, request: Asked) -> Reply {
        let mut asked = self.asked.lock().expect("no panic");
        asked.push(request);
        self.script
            .get(asked.len() - 1)
            .or(self.script.last())
            .cloned()
            .unwrap_or_default()
    }

    fn pause(&self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time && !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read_request(stream: &mut impl Read) -> std::io::Result<Asked> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let header = |name: &str| {
                head.lines()
                    .find_map(|l| l.strip_prefix(name))
                    .unwrap_or_default()
                    .trim()
                    .to_owned()
            };
            if body.len() >= header("Content-Length:").parse().unwrap_or(0) {
                let what = head
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .trim_end_matches(" HTTP/1.1")
                    .to_owned();
                return Ok(Asked {
                    what,
                    authorization: header("Authorization:"),
                    body: body.to_owned(),
                });
            }
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}
