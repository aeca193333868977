//! Registries on loopback: Debian's, and one that only refuses.

use super::docker::{docker, try_docker};
use super::folder::Folder;
use super::process::{Running, installed};
use super::web;
use serde_json::json;
use std::net::TcpStream;
use std::time::Duration;

/// Debian's `docker-registry` with a storage of its own. Docker takes loopback without TLS.
pub struct Registry {
    server: Running,
    port: u16,
    _folder: Folder,
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
        let up = super::came_true(Duration::from_secs(10), || {
            server.ended() || TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        (up && !server.ended()).then_some(Registry {
            server,
            port,
            _folder: folder,
        })
    }

    /// The repository of the application in it: what `DEPLOYER_IMAGE` is.
    pub fn image(&self) -> String {
        format!("127.0.0.1:{}/engram", self.port)
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
    let (code, message) = match status {
        401 => ("UNAUTHORIZED", "authentication required"),
        403 => ("DENIED", "denied"),
        404 => ("MANIFEST_UNKNOWN", "manifest unknown"),
        429 => ("TOOMANYREQUESTS", "You have reached your pull rate limit."),
        _ => ("UNKNOWN", "as told"),
    };
    let body = json!({ "errors": [{ "code": code, "message": message }] }).to_string();
    web::serve(listener, move |request| match request.path() {
        "/v2/" => (200, "{}".into()),
        _ => (status, body.clone()),
    });
    format!("{}/engram", url.trim_start_matches("http://"))
}
