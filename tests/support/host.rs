//! A host with everything that one deploy needs: version 1.0.0 runs, version 2.0.0 is in the registry.

use super::curl::{Answer, Call};
use super::deployer::{AUDIENCE, Deployer, Setup};
use super::docker::{Containers, docker};
use super::images::Image;
use super::oidc::Issuer;
use super::registry::Registry;
use super::template::{Unraid, template_text};
use serde_json::{Value, json};
use std::process::Command;

/// The parts, in the order in which they go: the daemon before what it works on.
pub struct Host {
    /// The daemon.
    pub deployer: Deployer,
    /// The container's name.
    pub name: String,
    /// The port of loopback that it publishes.
    pub port: u16,
    /// Unraid's part, where the backend is `unraid`.
    pub unraid: Option<Unraid>,
    /// Who signs.
    pub issuer: Issuer,
    /// Containers with its name, or one derived from it.
    pub containers: Containers,
    /// Where images come from.
    pub registry: Registry,
}

/// How a host is made: with a change to its settings.
pub type Made = fn(&dyn Fn(&mut Setup)) -> Host;

/// A host with settings of the test's own, once for each backend that replaces containers itself.
pub const BACKENDS: [Made; 2] = [
    |change| Host::docker_with(|setup| change(setup)),
    |change| Host::unraid_with(|setup| change(setup)),
];

impl Host {
    /// With backend `docker`.
    pub fn docker() -> Host {
        Host::docker_with(|_| ())
    }

    /// With backend `docker`, and settings of the test's own.
    pub fn docker_with(change: impl FnOnce(&mut Setup)) -> Host {
        Host::build(|setup, name, port, _| {
            let file = format!("containers/{name}.json");
            let declared = setup.folder().write(&file, declaration(port).to_string());
            setup.set("DEPLOYER_BACKEND", "docker");
            setup.set(
                "DEPLOYER_CONTAINER_DIR",
                declared.parent().expect("a file in a folder"),
            );
            change(setup);
            None
        })
    }

    /// With backend `unraid`.
    pub fn unraid() -> Host {
        Host::unraid_with(|_| ())
    }

    /// With backend `unraid`, and settings of the test's own.
    pub fn unraid_with(change: impl FnOnce(&mut Setup)) -> Host {
        Host::build(|setup, name, port, image| {
            let unraid = Unraid::new();
            unraid.template(name, &format!("{image}:1.0.0"), port);
            setup.set("DEPLOYER_BACKEND", "unraid");
            setup.set("DEPLOYER_TEMPLATE_DIR", unraid.templates());
            setup.set("DEPLOYER_UPDATE_CONTAINER_PATH", unraid.update_container());
            change(setup);
            Some(unraid)
        })
    }

    fn build(backend: impl FnOnce(&mut Setup, &str, u16, &str) -> Option<Unraid>) -> Host {
        let live = Live::new();
        let issuer = Issuer::start();
        let mut setup = Setup::new(&issuer);
        setup
            .set("DEPLOYER_PULL", "on")
            .set("DEPLOYER_IMAGE", live.image())
            .set("DEPLOYER_CONTAINERS", live.entry());
        let unraid = backend(&mut setup, &live.name, live.port, &live.image());
        Host {
            deployer: setup.start(),
            name: live.name,
            port: live.port,
            unraid,
            issuer,
            containers: live.containers,
            registry: live.registry,
        }
    }

    /// Sends a signed request for this version, and follows it to its end.
    #[track_caller]
    pub fn deploy(&self, version: &str) -> Answer {
        self.start_deploy(json!({ "version": version })).finish()
    }

    /// Sends a signed request with this body, and does not wait.
    pub fn start_deploy(&self, body: Value) -> Call {
        let token = self.issuer.mint(AUDIENCE);
        self.deployer
            .client()
            .start_post("/deploy", &token, &body.to_string())
    }

    /// What the container's health URL says its version is.
    pub fn live_version(&self) -> Option<String> {
        version_at(self.port)
    }

    /// Pushes a version that misbehaves in the words of `app.rs`.
    pub fn push(&self, version: &str, words: &str) {
        push(&self.registry, version, words);
    }
}

/// What is deployed, without anybody who does it: a container of version 1.0.0, and 2.0.0 in the registry.
pub struct Live {
    /// The container's name.
    pub name: String,
    /// The port of loopback that it publishes.
    pub port: u16,
    /// Containers with its name, or one derived from it.
    pub containers: Containers,
    /// Where images come from.
    pub registry: Registry,
}

impl Live {
    /// With a name and a port of its own.
    pub fn new() -> Live {
        let registry = Registry::start();
        let image = registry.image();
        Image::of("1.0.0").import(&image);
        Image::of("2.0.0").push(&image);
        let (name, port) = (super::unique("app"), super::free_port());
        let containers = Containers::named(&name);
        run_first(&name, port, &format!("{image}:1.0.0"));
        Live {
            name,
            port,
            containers,
            registry,
        }
    }

    /// The image, without tag: `DEPLOYER_IMAGE`.
    pub fn image(&self) -> String {
        self.registry.image()
    }

    /// For `DEPLOYER_CONTAINERS`.
    pub fn entry(&self) -> String {
        format!("{}={}", self.name, health_url(self.port))
    }

    /// Pushes a version that misbehaves in the words of `app.rs`.
    pub fn push(&self, version: &str, words: &str) {
        push(&self.registry, version, words);
    }

    /// What its health URL says its version is.
    pub fn version(&self) -> Option<String> {
        version_at(self.port)
    }
}

/// One more container of a host, after the first in the order of the deploy; it runs version 1.0.0.
pub struct Second {
    /// Its name.
    pub name: String,
    /// The port of loopback that it publishes.
    pub port: u16,
    /// Containers with its name, or one derived from it.
    pub containers: Containers,
}

impl Second {
    /// Adds it to the settings, with a declaration or a template, as the backend wants it.
    pub fn add(setup: &mut Setup) -> Second {
        let (name, port) = (super::unique("second"), super::free_port());
        let containers = Containers::named(&name);
        let first = format!("{}:1.0.0", setup.setting("DEPLOYER_IMAGE"));
        run_first(&name, port, &first);
        let all = format!(
            "{},{name}={}",
            setup.setting("DEPLOYER_CONTAINERS"),
            health_url(port)
        );
        setup.set("DEPLOYER_CONTAINERS", all);
        if setup.setting("DEPLOYER_BACKEND") == "unraid" {
            let folder = std::path::PathBuf::from(setup.setting("DEPLOYER_TEMPLATE_DIR"));
            let text = template_text(&name, &first, port);
            std::fs::write(folder.join(format!("my-{name}.xml")), text).expect("writing a template");
        } else {
            let declared = declaration(port).to_string();
            setup.folder().write(&format!("containers/{name}.json"), declared);
        }
        Second {
            name,
            port,
            containers,
        }
    }
}

fn push(registry: &Registry, version: &str, words: &str) {
    Image::of(version).behaving(words).push(&registry.image());
}

/// Runs a container, with a restart policy that is neither the default nor what a declaration means by none.
fn run_first(name: &str, port: u16, image: &str) {
    let published = format!("127.0.0.1:{port}:8000");
    docker(&[
        "run",
        "-d",
        "--restart",
        "on-failure:7",
        "--name",
        name,
        "-p",
        &published,
        image,
    ]);
}

/// What the health URL at this port says its version is.
pub fn version_at(port: u16) -> Option<String> {
    let output = Command::new("curl")
        .args(["-s", "--max-time", "5", &health_url(port)])
        .output()
        .ok()?;
    let health: Value = serde_json::from_slice(&output.stdout).ok()?;
    health["version"].as_str().map(str::to_string)
}

/// Where the application says how it is.
pub fn health_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/api/health")
}

/// What a container of the application is made of, for backend `docker`.
pub fn declaration(port: u16) -> Value {
    json!({ "ports": [format!("127.0.0.1:{port}:8000")] })
}
