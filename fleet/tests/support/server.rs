//! nats-server, with the sample configuration unless a test is about another.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use homelab_deploy::nats::Seed;

use super::{Folder, Process, Ran, free_port, ours, seed, wait_until};

const SAMPLE: &str = include_str!("../../contrib/nats/sample.conf");

/// Keys of the sample's users, and more hosts.
pub struct Keys {
    pub test_host: Seed,
    pub dns: Seed,
    pub test_deployer: Seed,
    pub admin: Seed,
}

pub struct Server {
    pub folder: Folder,
    pub port: u16,
    pub keys: Keys,
    process: Process,
    scheme: &'static str,
}

fn program() -> String {
    std::env::var("FLEET_NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned())
}

fn spawn(folder: &Folder) -> Process {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.path().join("server.log")).unwrap();
    let child = Command::new(program())
        .arg("-c")
        .arg(folder.path().join("server.conf"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|why| panic!("{}: {why}: run fleet/tests/run.sh, which installs it", program()));
    Process(child)
}

pub fn fill(text: &str, keys: &Keys) -> String {
    [
        ("U_TESTHOST1", &keys.test_host),
        ("U_DNS1", &keys.dns),
        ("U_TEST_DEPLOYER", &keys.test_deployer),
        ("U_ADMIN_DEPLOYER", &keys.admin),
    ]
    .iter()
    .fold(text.to_owned(), |text, (name, seed)| text.replace(name, &seed.public_key()))
}

impl Server {
    pub fn start() -> Server {
        Server::with("")
    }

    /// The sample, and more lines outside its `authorization`.
    pub fn with(more: &str) -> Server {
        Server::of(SAMPLE, more, "nats")
    }

    pub fn of(config: &str, more: &str, scheme: &'static str) -> Server {
        let keys = Keys { test_host: seed(), dns: seed(), test_deployer: seed(), admin: seed() };
        let (folder, port) = (Folder::new(), free_port());
        let listen = format!("listen: 127.0.0.1:{port}\n");
        folder.write("server.conf", &format!("{listen}{more}\n{}", fill(config, &keys)));
        let process = spawn(&folder);
        let server = Server { folder, port, keys, process, scheme };
        server.seed_file("testhost1", &server.keys.test_host);
        server.seed_file("dns1", &server.keys.dns);
        server.seed_file("test-deployer", &server.keys.test_deployer);
        server.seed_file("admin", &server.keys.admin);
        server.wait();
        server
    }

    fn wait(&self) {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        wait_until("the server listens", || std::net::TcpStream::connect(address).is_ok());
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    pub fn seed_file(&self, name: &str, seed: &Seed) -> PathBuf {
        let path = self.folder.write(name, seed.reveal());
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn seed_path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Servers of one user for every host of a tier: for tests with many hosts.
    pub fn many_hosts() -> Server {
        let wide = SAMPLE.replace("\"deploy.test.testhost1\", \"deploy.test.all\"", "\"deploy.test.*\"");
        assert_ne!(wide, SAMPLE);
        Server::of(&wide, "", "nats")
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    pub fn restart(&mut self) {
        self.kill();
        self.again();
    }

    pub fn again(&mut self) {
        self.process = spawn(&self.folder);
        self.wait();
    }

    pub fn pid(&self) -> i32 {
        self.process.pid()
    }

    pub fn reload(&self) {
        self.process.signal(nix::sys::signal::Signal::SIGHUP);
    }

    pub fn config(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.conf")).unwrap()
    }

    /// `deploy` and other commands of a deployer, by the name of its seed's file.
    pub fn command(&self, key: &str, arguments: &[&str]) -> Ran {
        let begin = Instant::now();
        Ran::of(&self.prepared(key, arguments).output().unwrap(), begin)
    }

    pub fn prepared(&self, key: &str, arguments: &[&str]) -> Command {
        let mut command = ours(arguments);
        command.args(["--nats-url", &self.url(), "--nkey-file", &self.seed_path(key)]);
        command
    }

    pub fn deploy(&self, key: &str, target: &str, more: &[&str]) -> Ran {
        self.command(key, &[&["deploy", target, "--json"], more].concat())
    }
}

impl Server {
    /// A command with any key's file.
    pub fn command_with(&self, key: &str, arguments: &[&str]) -> Ran {
        let begin = Instant::now();
        let mut command = ours(arguments);
        Ran::of(&command.args(["--nats-url", &self.url(), "--nkey-file", key]).output().unwrap(), begin)
    }
}
