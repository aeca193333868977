//! What `docker inspect` tells of a container and of an image, as types. Pure.
//!
//! Docker's states are compared as whole words: `unhealthy` contains `healthy`. What may be absent (a health state
//! without a HEALTHCHECK, labels, networks) is an `Option` or empty, never an error.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::checked_text::{CheckedText, TextRule, is_sha256};
use crate::deploy::reference::short_id;

/// An image's id. For a person it is short: `sha256:` and 12 digits.
pub type ImageId = CheckedText<ImageIdRule>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageIdRule {}

impl TextRule for ImageIdRule {
    const SENTENCE: &'static str = "an image id is sha256: and 64 hex digits";

    fn admits(text: &str) -> bool {
        is_sha256(text)
    }

    fn shown(text: &str) -> &str {
        short_id(text)
    }
}

/// An image on this host.
#[derive(Debug, Deserialize)]
pub struct Image {
    #[serde(rename = "Id")]
    pub id: ImageId,
    #[serde(flatten)]
    rest: Value,
}

impl Image {
    /// Whether it came from a registry under this digest (`sha256:...`).
    pub fn has_digest(&self, digest: &str) -> bool {
        let mut known = self.rest["RepoDigests"].as_array().into_iter().flatten();
        known.any(|name| {
            name.as_str()
                .is_some_and(|name| name.ends_with(&format!("@{digest}")))
        })
    }

    /// The commit it says it was built from (`org.opencontainers.image.revision`), if it says one.
    pub fn revision(&self) -> Option<&str> {
        let label = &self.rest["Config"]["Labels"]["org.opencontainers.image.revision"];
        label.as_str().filter(|label| !label.is_empty())
    }
}

/// A container, at one moment.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// 64 hex digits. It keeps this id whatever it is called.
    pub id: String,
    /// With the `/` that Docker puts before it.
    name: String,
    /// What it runs, whatever its tag has come to mean since.
    pub image: ImageId,
    /// How often Docker has started it again.
    #[serde(default)]
    pub restart_count: u64,
    #[serde(flatten)]
    rest: Value,
}

/// Whether one of this status has a process.
pub fn is_active(status: &str) -> bool {
    matches!(status, "running" | "paused" | "restarting")
}

impl Container {
    fn at(&self, pointer: &str) -> &Value {
        self.rest.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or("")
    }

    /// Docker's word: `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub fn status(&self) -> &str {
        self.text("/State/Status")
    }

    /// What Docker's own health check found: its word (`starting`, `healthy`, `unhealthy`), and what the last probe
    /// printed, in one line. `None` without a HEALTHCHECK, and for one that was taken back.
    pub fn health(&self) -> Option<(&str, String)> {
        let word = self.text("/State/Health/Status");
        let last = self.at("/State/Health/Log").as_array().and_then(|log| log.last());
        let output = last.and_then(|probe| probe["Output"].as_str()).unwrap_or("");
        let output = output.split_whitespace().collect::<Vec<_>>().join(" ");
        (!matches!(word, "" | "none")).then_some((word, output))
    }

    pub fn name(&self) -> &str {
        self.name.trim_start_matches('/')
    }

    /// Its process lives and serves: not frozen, not between two starts.
    pub fn is_running(&self) -> bool {
        self.status() == "running"
    }

    /// Docker has a process for it, or is about to have one again: it has to be stopped before it can be removed or renamed.
    pub fn is_active(&self) -> bool {
        is_active(self.status())
    }

    /// What is left of one that Docker could not remove, or is removing: it can never be started again.
    pub fn is_lost(&self) -> bool {
        matches!(self.status(), "dead" | "removing")
    }

    /// The image as it was named when the container was made, without a digest that fixed it.
    pub fn reference(&self) -> &str {
        self.text("/Config/Image").split('@').next().unwrap_or("")
    }

    /// The value of a label; `None` when it has none of that name.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.at("/Config/Labels").get(name)?.as_str()
    }

    /// What it is on each network that it is in.
    fn endpoints(&self) -> impl Iterator<Item = (&String, &Value)> {
        let networks = self.at("/NetworkSettings/Networks").as_object();
        networks.into_iter().flatten()
    }

    /// The names of the networks it is in.
    pub fn networks(&self) -> BTreeSet<String> {
        self.endpoints().map(|(network, _)| network.clone()).collect()
    }

    /// The networks on which other containers do not find it by `name` any more when it is renamed. On Docker's own
    /// networks nothing is found by a name.
    pub fn networks_without_alias(&self, name: &str) -> Vec<&str> {
        let is_without = |network: &str, one: &Value| {
            let has = one["Aliases"]
                .as_array()
                .is_some_and(|all| all.contains(&name.into()));
            !has && !matches!(network, "bridge" | "host" | "none")
        };
        let without = self.endpoints().filter(|(network, one)| is_without(network, one));
        without.map(|(network, _)| network.as_str()).collect()
    }

    /// Whether it has an address of its own on a network, which it would lose when it is connected anew.
    pub fn has_own_address(&self, network: &str) -> bool {
        let one = &self.at("/NetworkSettings/Networks")[network];
        let asked = one["IPAMConfig"].as_object();
        let mac = one["MacAddress"].as_str();
        asked.is_some_and(|asked| !asked.is_empty()) || mac.is_some_and(|mac| !mac.is_empty())
    }

    /// What it was given as its network. The default has two names, and another container's network is named by an id
    /// that is a new one whenever that container is replaced.
    pub fn network_mode(&self) -> &str {
        match self.text("/HostConfig/NetworkMode") {
            "default" => "bridge",
            other if other.starts_with("container:") => "container",
            other => other,
        }
    }

    /// Whether Docker removes it when it ends (`--rm`), so that stopping it loses it.
    pub fn removes_itself(&self) -> bool {
        *self.at("/HostConfig/AutoRemove") == true
    }

    /// Its restart policy, as `docker update --restart` takes it.
    pub fn restart_policy(&self) -> String {
        let most = self.at("/HostConfig/RestartPolicy/MaximumRetryCount").as_u64();
        match (self.text("/HostConfig/RestartPolicy/Name"), most) {
            ("", _) => "no".into(),
            ("on-failure", Some(most)) if most > 0 => format!("on-failure:{most}"),
            (name, _) => name.into(),
        }
    }

    /// How it is, for a person: `exited with status 3, restarted 2 times`.
    pub fn describe(&self) -> String {
        let code = self.at("/State/ExitCode");
        let mut said = match self.status() {
            "exited" | "dead" => format!("exited with status {code}"),
            "restarting" => format!("restarting after exit status {code}"),
            other => other.to_owned(),
        };
        match self.restart_count {
            0 => {}
            1 => said.push_str(", restarted once"),
            count => said.push_str(&format!(", restarted {count} times")),
        }
        match self.text("/State/Error") {
            "" => said,
            error => format!("{said}, {error}"),
        }
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
