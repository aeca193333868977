//! A real front role without a session: the test says the session's part over the link.

use super::certificate::Certificate;
use super::curl::Client;
use super::folder::Folder;
use super::tls_client::TlsClient;
use engram_deployer::link::{Caller, Decoder, FromFront, Head, Request, Settings, ToFront, encode};
use engram_deployer::os::child::{Child, Command, Exit};
use engram_deployer::os::descriptor;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A user of no program, as the daemon's own default is.
pub const UID: u32 = 65521;

/// A front and this test's end of its link.
pub struct Front {
    /// Its certificate and its public folder, `public`, are in it.
    pub folder: Folder,
    /// What its clients trust.
    pub certificate: Certificate,
    child: Child,
    link: Option<UnixStream>,
    decoder: Decoder,
    listener: TcpListener,
}

impl Front {
    /// A front that is ready, with the endpoints `deploy` and `tf-plan`, and no public file.
    pub fn ready() -> Front {
        let mut front = Front::started();
        let frame = front.hear();
        assert_eq!(frame, Some(FromFront::Ready));
        front
    }

    /// One that has its settings.
    pub fn started() -> Front {
        let folder = Folder::new("front");
        let certificate = Certificate::create(&folder, "tls");
        let public = folder.join("public");
        fs::create_dir_all(&public).expect("making the public folder");
        let settings = settings(&certificate.cert, &certificate.key, &public);
        Front::with(folder, certificate, &settings)
    }

    /// One with these settings.
    pub fn with(folder: Folder, certificate: Certificate, settings: &Settings) -> Front {
        let (link, theirs) = UnixStream::pair().expect("a link");
        let told = serde_json::to_vec(settings).expect("settings");
        let told = descriptor::memory_file(&told).expect("a file in memory");
        let child = Command::tool(Path::new(env!("CARGO_BIN_EXE_engram-deployer")))
            .argument("front")
            .descriptor(0, told)
            .descriptor(descriptor::FIRST, theirs)
            .spawn()
            .expect("starting a front");
        link.set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a read timeout");
        let listener = TcpListener::bind("127.0.0.1:0").expect("binding a port of loopback");
        Front {
            folder,
            certificate,
            child,
            link: Some(link),
            decoder: Decoder::default(),
            listener,
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a listener's address")
    }

    /// A client that has connected, its connection handed over.
    pub fn connected(&mut self) -> TlsClient {
        let client = TlsClient::connect(self.address(), &self.certificate.cert);
        self.hand_over(true);
        client
    }

    /// curl's view.
    pub fn curl(&self) -> Client {
        Client {
            url: format!("https://localhost:{}", self.address().port()),
            ca: self.certificate.cert.clone(),
        }
    }

    /// Accepts the next connection and hands it over.
    pub fn hand_over(&mut self, open_paths: bool) {
        let (connection, _) = self.listener.accept().expect("accepting");
        let frame = ToFront::Connection(Caller {
            request_id: "0123abcd".into(),
            open_paths,
        });
        let bytes = encode(&frame).expect("a frame");
        let link = self.link.as_mut().expect("a link");
        let sent = descriptor::send(&*link, &bytes, connection.as_fd()).expect("handing the connection over");
        link.write_all(&bytes[sent..]).expect("the rest of the frame");
    }

    /// Says a frame.
    #[track_caller]
    pub fn say(&mut self, frame: &ToFront) {
        let bytes = encode(frame).expect("a frame");
        self.link
            .as_mut()
            .expect("a link")
            .write_all(&bytes)
            .expect("writing to the link");
    }

    /// Writes to the link; `false` when the front has closed it.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.link.as_mut().expect("a link").write_all(bytes).is_ok()
    }

    /// Begins a stream.
    pub fn begin(&mut self) {
        let headers = vec![("Run-Id".to_string(), "20260102T030405Z-0123abcd".to_string())];
        self.say(&ToFront::Head(Head {
            status: 200,
            headers,
            sentence: None,
        }));
    }

    /// Says a line.
    pub fn line(&mut self, line: &str) {
        self.say(&ToFront::Line(line.to_string()));
    }

    /// The next frame; `None` when the front has closed the link.
    pub fn hear(&mut self) -> Option<FromFront> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.frame().expect("a frame of a front") {
                return Some(frame);
            }
            match self.link.as_mut().expect("a link").read(&mut buffer) {
                Ok(length @ 1..) => self.decoder.push(&buffer[..length]),
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the front said nothing: {error}"),
            }
        }
    }

    /// The request that it relays.
    #[track_caller]
    pub fn request(&mut self) -> Request {
        match self.hear() {
            Some(FromFront::Request(request)) => request,
            other => panic!("not a request: {other:?}"),
        }
    }

    /// What it says until it closes the link.
    pub fn last_words(&mut self) -> Vec<FromFront> {
        std::iter::from_fn(|| self.hear()).collect()
    }

    /// Closes the link, as a session does that ends.
    pub fn hang_up(&mut self) {
        self.link = None;
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// How it ended, once it has.
    #[track_caller]
    pub fn wait(&mut self) -> Exit {
        let mut exit = None;
        super::wait_until("the front ends", Duration::from_secs(5), || {
            exit = self.child.try_wait().expect("waiting for the front");
            exit.is_some()
        });
        exit.expect("it has ended")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.link = None;
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.signal(nix::sys::signal::Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Settings of a front for these files.
pub fn settings(cert: &Path, key: &Path, public: &Path) -> Settings {
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_string();
    Settings {
        cert_file: text(cert),
        key_file: text(key),
        public_dir: text(public),
        uid: UID,
        gid: UID,
        endpoints: vec!["deploy".into(), "tf-plan".into()],
        modules: vec!["default".into()],
    }
}
