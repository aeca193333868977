//! Registries on loopback: Debian's, and one that only refuses.

use super::docker::{docker, try_docker};
use super::folder::Folder;
use super::process::{Running, installed};
use super::web;
use serde_json::json;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

/// Who a locked registry lets in.
pub const USER: &str = "robot";

/// The password of [`USER`]. It stands in no other place of the repository, so it can be looked for.
pub const PASSWORD: &str = "canary-Qm7ZtW2vK9";

/// That password as `htpasswd -B` writes it.
const HTPASSWD: &str = "robot:$2y$05$uYpXnLr0sE3aB5cD7fG9hO6Q8jP0PCV7rlHuUEGa2vGvjv.aYq.5K\n";

/// Debian's `docker-registry` with a storage of its own. Docker takes loopback without TLS.
pub struct Registry {
    server: Running,
    port: u16,
    folder: Folder,
}

impl Registry {
    /// An empty one.
    pub fn start() -> Registry {
        for _ in 0..5 {
            if let Some(registry) = Registry::try_start() {
                return registry;
            }
        }
        panic!("docker-registry does not start, five ports tried");
    }

    /// `None` when somebody else had the port first.
    fn try_start() -> Option<Registry> {
        let folder = Folder::new("registry");
        let port = super::free_port();
        let storage = folder.join("storage");
        let config = folder.write(
            "config.yml",
            format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
                storage.display()
            ),
        );
        let mut command = installed("docker-registry", "docker-registry");
        let mut server = Running::start(command.arg("serve").arg(config), &folder.join("log"));
        let up = super::came_true(super::PATIENCE, || {
            server.ended() || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        (up && !server.ended()).then_some(Registry { server, port, folder })
    }

    /// The repository of the application in it: what `DEPLOYER_IMAGE` is.
    pub fn image(&self) -> String {
        format!("127.0.0.1:{}/engram", self.port)
    }

    /// Asks for a name and a password from now on: [`USER`] and [`PASSWORD`].
    #[track_caller]
    pub fn lock(&mut self) {
        let known = self.folder.write("htpasswd", HTPASSWD);
        let config = self.folder.join("config.yml");
        let open = std::fs::read_to_string(&config).expect("the registry's configuration");
        let asking = format!(
            "{open}auth: {{htpasswd: {{realm: tests, path: {}}}}}\n",
            known.display()
        );
        std::fs::write(&config, asking).expect("writing the registry's configuration");
        self.stop();
        let mut command = installed("docker-registry", "docker-registry");
        self.server = Running::start(command.arg("serve").arg(config), &self.folder.join("log"));
        super::wait_until("the locked registry listens", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Loses all that was pushed, and goes on.
    #[track_caller]
    pub fn lose_everything(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.folder.join("storage")).expect("the registry's storage");
        let config = self.folder.join("config.yml");
        let mut command = installed("docker-registry", "docker-registry");
        self.server = Running::start(command.arg("serve").arg(config), &self.folder.join("log"));
        super::wait_until("the registry listens again", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Answers every pull with the status that `status` holds, from now on.
    pub fn refuse(&mut self, status: Arc<AtomicU16>) {
        self.stop();
        refuse(web::listen(self.port).0, status);
    }

    /// Goes away, as for an outage; pulls are refused from now on.
    pub fn stop(&mut self) {
        self.server.stop();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let filter = format!("reference={}", self.image());
        let images = docker(&[
            "images",
            "--filter",
            &filter,
            "--format",
            "{{.Repository}}:{{.Tag}}",
        ]);
        for image in images.lines() {
            try_docker(&["image", "rm", "-f", image]);
        }
    }
}

/// A registry that answers every pull with one status, in the registry's own form; the image that can be asked of it.
pub fn refusing(status: u16) -> String {
    let (listener, url) = web::listen(0);
    refuse(listener, Arc::new(status.into()));
    format!("{}/engram", url.trim_start_matches("http://"))
}

fn refuse(listener: TcpListener, status: Arc<AtomicU16>) {
    web::serve(listener, move |request| {
        let status = status.load(Ordering::Relaxed);
        let (code, message) = match status {
            401 => ("UNAUTHORIZED", "authentication required"),
            403 => ("DENIED", "denied"),
            404 => ("MANIFEST_UNKNOWN", "manifest unknown"),
            429 => ("TOOMANYREQUESTS", "You have reached your pull rate limit."),
            _ => ("UNKNOWN", "as told"),
        };
        let body = json!({ "errors": [{ "code": code, "message": message }] }).to_string();
        match request.path() {
            "/v2/" => (200, "{}".into()),
            _ => (status, body),
        }
    });
}
