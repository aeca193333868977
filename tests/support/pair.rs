//! A host with two containers of one image, in the order of a deploy: version 1.0.0 runs in both.

use super::curl::Call;
use super::deployer::{AUDIENCE, Deployer, Setup};
use super::docker::{Containers, docker, inspect, try_docker};
use super::host::health_url;
use super::images::Image;
use super::oidc::Issuer;
use super::process::text;
use super::registry::Registry;
use super::template::Unraid;
use super::way::Way;
use serde_json::{Value, json};
use std::process::Command;

/// The one policy by which a dockerd that was killed starts its containers again: it ends them when it comes up, and takes
/// that for a stop by hand (moby 20.10), which `unless-stopped` heeds.
const RESTART: &str = "always";

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The one that is deployed first.
    First,
    /// The other.
    Second,
}

impl Place {
    /// What the application in it is called (`ROLE`).
    pub fn role(self) -> &'static str {
        match self {
            Place::First => "first",
            Place::Second => "second",
        }
    }
}

/// How containers are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// By the stand-in for Unraid's script.
    Unraid,
    /// By declarations.
    Docker,
}

/// The parts, in the order in which they go: the daemon before what it works on.
pub struct Pair {
    /// The daemon.
    pub deployer: Deployer,
    /// How it replaces containers.
    pub backend: Backend,
    /// Unraid's part, also where it is not used.
    pub unraid: Unraid,
    /// The containers' names, and the ports of loopback that they publish.
    pub containers: [(String, u16); 2],
    all: Containers,
    issuer: Issuer,
    /// The way to the registry.
    pub way: Way,
    _registry: Registry,
    image: String,
}

impl Pair {
    /// Starts everything; `change` is for settings of the test's own.
    pub fn start(backend: Backend, change: impl FnOnce(&mut Setup)) -> Pair {
        let registry = Registry::start();
        let way = Way::to(registry.image().split('/').next().expect("an address"));
        let image = format!("{}/engram", way.address());
        Image::of("1.0.0").import(&image);
        let prefix = super::unique("pair");
        let containers = ["a", "b"].map(|last| (format!("{prefix}-{last}"), super::free_port()));
        let (issuer, unraid) = (Issuer::start(), Unraid::new());
        let mut setup = Setup::new(&issuer);
        let list = containers
            .each_ref()
            .map(|(name, port)| format!("{name}={}", health_url(*port)));
        setup.set("DEPLOYER_PULL", "on").set("DEPLOYER_IMAGE", &image);
        setup.set("DEPLOYER_CONTAINERS", list.join(","));
        setup.set("DEPLOYER_TEMPLATE_DIR", unraid.templates());
        setup.set("DEPLOYER_UPDATE_CONTAINER_PATH", unraid.update_container());
        setup.set("DEPLOYER_CONTAINER_DIR", setup.folder().join("containers"));
        setup.set(
            "DEPLOYER_BACKEND",
            match backend {
                Backend::Unraid => "unraid",
                Backend::Docker => "docker",
            },
        );
        change(&mut setup);
        let pair = Pair {
            deployer: setup.start(),
            backend,
            unraid,
            containers,
            all: Containers::named(&prefix),
            issuer,
            way,
            _registry: registry,
            image,
        };
        pair.set_up("1.0.0");
        pair
    }

    /// Makes both containers anew, at a version that is on this host, as an operator would.
    pub fn set_up(&self, version: &str) {
        for name in self.all.names() {
            try_docker(&["rm", "-f", "-v", &name]);
        }
        let reference = format!("{}:{version}", self.image);
        docker(&["tag", &reference, &format!("{}:latest", self.image)]);
        for place in [Place::First, Place::Second] {
            let (name, port) = self.container(place);
            self.describe(place, *port, "bridge", version);
            let (port, role) = (format!("127.0.0.1:{port}:8000"), format!("ROLE={}", place.role()));
            let restart = ["--restart", RESTART];
            let run = ["run", "-d", "--name", name, "-p", &port, "-e", &role];
            docker(&[&run[..], &restart, &[&reference]].concat());
        }
    }

    /// A container's name and port.
    pub fn container(&self, place: Place) -> &(String, u16) {
        &self.containers[place as usize]
    }

    /// Writes what a container is made from: its template, or its declaration.
    pub fn describe(&self, place: Place, port: u16, network: &str, version: &str) {
        let (name, _) = self.container(place);
        match self.backend {
            Backend::Unraid => {
                self.unraid
                    .template(name, &format!("{}:{version}", self.image), port);
                let text = self.unraid.read(name);
                let text = text.replace(">bridge<", &format!(">{network}<"));
                let role = format!(
                    "  <Config Name=\"ROLE\" Target=\"ROLE\" Default=\"\" Mode=\"\" Type=\"Variable\">{}</Config>\n</Container>",
                    place.role()
                );
                let restart = format!("--restart {RESTART} --label");
                let text = text
                    .replace("</Container>", &role)
                    .replacen("--label", &restart, 1);
                self.unraid.write(name, &text);
            }
            Backend::Docker => {
                let declared = json!({
                    "ports": [format!("127.0.0.1:{port}:8000")],
                    "env": {"ROLE": place.role()},
                    "networks": [network],
                    "restart": RESTART,
                });
                self.declare(place, &declared.to_string());
            }
        }
    }

    /// Writes a container's declaration.
    pub fn declare(&self, place: Place, text: &str) {
        let (name, _) = self.container(place);
        self.deployer
            .folder()
            .write(&format!("containers/{name}.json"), text);
    }

    /// Sends a signed request for this version, and does not wait.
    pub fn deploy(&self, version: &str) -> Call {
        let token = self.issuer.mint(AUDIENCE);
        let body = json!({"version": version, "sha": "abc1234"});
        self.deployer
            .client()
            .start_post("/deploy", &token, &body.to_string())
    }

    /// What each says its version is.
    pub fn versions(&self) -> [Option<String>; 2] {
        self.containers.each_ref().map(|(_, port)| {
            let mut curl = Command::new("curl");
            curl.args(["-s", "-f", "--max-time", "5", &health_url(*port)]);
            let health: Value = serde_json::from_slice(&curl.output().ok()?.stdout).ok()?;
            health["version"].as_str().map(str::to_owned)
        })
    }

    /// What is not as it must be when `version` is live and nothing is half done.
    pub fn faults(&self, version: &str) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expect = |what: String, is: String, should: &str| {
            if is != should {
                faults.push(format!("{what} is {is} and not {should}"));
            }
        };
        let image = self.image_id(version);
        expect("the tag latest".into(), self.image_id("latest"), &image);
        let names = self.containers.each_ref().map(|(name, _)| name.as_str());
        let mut all = self.all.names();
        all.sort();
        expect("the list of containers".into(), all.join(" "), &names.join(" "));
        for (name, _) in &self.containers {
            let state = inspect(name).unwrap_or_default();
            let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            expect(format!("the image of {name}"), text(&state["Image"]), &image);
            expect(
                format!("the state of {name}"),
                text(&state["State"]["Status"]),
                "running",
            );
            let policy = text(&state["HostConfig"]["RestartPolicy"]["Name"]);
            expect(format!("the restart policy of {name}"), policy, RESTART);
            let networks = state["NetworkSettings"]["Networks"].as_object();
            let networks = networks.map(|all| all.keys().cloned().collect::<Vec<_>>().join(" "));
            expect(
                format!("the network of {name}"),
                networks.unwrap_or_default(),
                "bridge",
            );
            if self.backend == Backend::Unraid {
                let template = self.unraid.read(name);
                let named = template
                    .split("<Repository>")
                    .nth(1)
                    .and_then(|rest| rest.split('<').next());
                let should = format!("{}:{version}", self.image);
                expect(
                    format!("the template of {name}"),
                    named.unwrap_or("-").to_owned(),
                    &should,
                );
            }
        }
        faults
    }

    fn image_id(&self, tag: &str) -> String {
        let reference = format!("{}:{tag}", self.image);
        let output = try_docker(&["image", "inspect", "--format", "{{.Id}}", &reference]);
        text(&output.stdout).trim().to_owned()
    }

    /// An image of the application, of this host's repository, to be pushed.
    pub fn push(&self, image: Image<'_>) {
        image.push(&self.image);
    }

    /// The image, without a tag.
    pub fn image(&self) -> &str {
        &self.image
    }
}
