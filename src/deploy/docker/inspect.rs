//! What `docker inspect` tells of a container and of an image, as types. Pure.
//!
//! Docker's states are compared as whole words: `unhealthy` contains `healthy`. What may be absent (a health state
//! without a HEALTHCHECK, labels, networks) is an `Option` or empty, never an error.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An image's id: `sha256:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

impl ImageId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ImageId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix("sha256:").unwrap_or_default();
        match digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            true => Ok(Self(text)),
            false => Err(format!("\"{text}\" is no image id")),
        }
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.0
    }
}

impl std::fmt::Display for ImageId {
    /// Short: `sha256:` and 12 digits.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(crate::deploy::reference::short_id(&self.0))
    }
}

/// An image on this host.
#[derive(Clone, Debug, Deserialize)]
pub struct Image {
    #[serde(rename = "Id")]
    pub id: ImageId,
    #[serde(flatten)]
    rest: Value,
}

impl Image {
    /// Whether it came from a registry under this digest (`sha256:...`).
    pub fn has_digest(&self, digest: &str) -> bool {
        let known = self.rest["RepoDigests"].as_array().into_iter().flatten();
        known
            .filter_map(|name| name.as_str()?.split_once('@'))
            .any(|(_, has)| has == digest)
    }

    /// The commit it says it was built from (`org.opencontainers.image.revision`), if it says one.
    pub fn revision(&self) -> Option<&str> {
        let label = &self.rest["Config"]["Labels"]["org.opencontainers.image.revision"];
        label.as_str().filter(|label| !label.is_empty())
    }
}

/// A container, at one moment.
#[derive(Clone, Debug, Deserialize)]
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
    state: State,
    #[serde(flatten)]
    rest: Value,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    /// Of its last end.
    #[serde(default)]
    exit_code: i64,
    /// Why Docker could not start it; empty when it could.
    #[serde(default)]
    error: String,
    /// Absent without a HEALTHCHECK.
    #[serde(default)]
    health: Value,
}

impl Container {
    /// Docker's word: `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
    pub fn status(&self) -> &str {
        &self.state.status
    }

    /// What Docker's own health check found: its word (`starting`, `healthy`, `unhealthy`), and what the last probe
    /// printed, in one line. `None` without a HEALTHCHECK, and for one that was taken back.
    pub fn health(&self) -> Option<(&str, String)> {
        let health = &self.state.health;
        let word = health["Status"].as_str().filter(|word| *word != "none")?;
        let last = health["Log"].as_array().and_then(|log| log.last());
        let output = last.and_then(|probe| probe["Output"].as_str()).unwrap_or("");
        Some((word, output.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    /// Whether it has this name. Docker also finds a container by the first digits of its id.
    pub fn is_named(&self, name: &str) -> bool {
        self.name() == name
    }

    /// Its name, without the `/` that Docker puts before it.
    pub fn name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }

    /// Its process lives and serves: not frozen, not between two starts.
    pub fn is_running(&self) -> bool {
        self.status() == "running"
    }

    /// Docker has a process for it, or is about to have one again: it has to be stopped before it can be removed or renamed.
    pub fn is_active(&self) -> bool {
        matches!(self.status(), "running" | "paused" | "restarting")
    }

    /// What is left of one that Docker could not remove, or is removing: it can never be started again.
    pub fn is_lost(&self) -> bool {
        matches!(self.status(), "dead" | "removing")
    }

    /// The image as it was named when the container was made, without a digest that fixed it.
    pub fn reference(&self) -> &str {
        let named = self.rest["Config"]["Image"].as_str().unwrap_or("");
        named.split_once('@').map_or(named, |(name, _)| name)
    }

    /// The value of a label; `None` when it has none of that name.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.rest["Config"]["Labels"][name].as_str()
    }

    /// What it is on each network that it is in.
    fn endpoints(&self) -> impl Iterator<Item = (&str, &Value)> {
        let networks = self.rest["NetworkSettings"]["Networks"].as_object();
        networks
            .into_iter()
            .flatten()
            .map(|(network, one)| (network.as_str(), one))
    }

    /// The names of the networks it is in.
    pub fn networks(&self) -> BTreeSet<&str> {
        self.endpoints().map(|(network, _)| network).collect()
    }

    /// The networks on which other containers do not find it by `name` any more when it is renamed. On Docker's own
    /// networks nothing is found by a name.
    pub fn networks_without_alias(&self, name: &str) -> Vec<&str> {
        let without = |(network, one): &(&str, &Value)| {
            let aliases = one["Aliases"].as_array().into_iter().flatten();
            !matches!(*network, "bridge" | "host" | "none") && !aliases.into_iter().any(|alias| alias == name)
        };
        let without = self.endpoints().filter(without);
        without.map(|(network, _)| network).collect()
    }

    /// Whether it has an address of its own on a network, which it would lose when it is connected anew.
    pub fn has_own_address(&self, network: &str) -> bool {
        let one = &self.rest["NetworkSettings"]["Networks"][network];
        let asked = one["IPAMConfig"].as_object();
        asked.is_some_and(|asked| !asked.is_empty())
            || one["MacAddress"].as_str().is_some_and(|mac| !mac.is_empty())
    }

    /// What it was given as its network. The default has two names, and another container's network is named by an id
    /// that is a new one whenever that container is replaced.
    pub fn network_mode(&self) -> &str {
        match self.rest["HostConfig"]["NetworkMode"].as_str().unwrap_or("") {
            "default" => "bridge",
            other if other.starts_with("container:") => "container",
            other => other,
        }
    }

    /// Whether Docker removes it when it ends (`--rm`), so that stopping it loses it.
    pub fn removes_itself(&self) -> bool {
        self.rest["HostConfig"]["AutoRemove"] == true
    }

    /// Its restart policy, as `docker update --restart` takes it.
    pub fn restart_policy(&self) -> String {
        let policy = &self.rest["HostConfig"]["RestartPolicy"];
        match (policy["Name"].as_str(), policy["MaximumRetryCount"].as_u64()) {
            (None | Some(""), _) => "no".into(),
            (Some("on-failure"), Some(most)) if most > 0 => format!("on-failure:{most}"),
            (Some(name), _) => name.into(),
        }
    }

    /// How it is, for a person: `exited with status 3, restarted 2 times`.
    pub fn describe(&self) -> String {
        let mut said = match self.status() {
            "exited" | "dead" => format!("exited with status {}", self.state.exit_code),
            "restarting" => format!("restarting after exit status {}", self.state.exit_code),
            other => other.to_owned(),
        };
        match self.restart_count {
            0 => {}
            1 => said.push_str(", restarted once"),
            count => said.push_str(&format!(", restarted {count} times")),
        }
        if !self.state.error.is_empty() {
            said.push_str(&format!(", {}", self.state.error));
        }
        said
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
