//! What `docker inspect` tells of a container and of an image, as types. Pure.
//!
//! States are compared as whole words: `unhealthy` contains `healthy`. What may be absent (a health state without a
//! HEALTHCHECK, labels, networks) is an `Option` or empty, never an error.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// An image's id: `sha256:` and 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

impl ImageId {
    /// As text.
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
            false => Err(format!("{text:?} is no image id")),
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
#[serde(rename_all = "PascalCase")]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    #[serde(default)]
    repo_digests: Option<Vec<String>>,
    #[serde(default)]
    config: Option<ImageConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Image {
    /// Whether it came from a registry under this digest (`sha256:...`).
    pub fn has_digest(&self, digest: &str) -> bool {
        let known = self.repo_digests.iter().flatten();
        known
            .filter_map(|name| name.split_once('@'))
            .any(|(_, has)| has == digest)
    }

    /// The commit it says it was built from (`org.opencontainers.image.revision`), if it says one.
    pub fn revision(&self) -> Option<&str> {
        let labels = self.config.as_ref()?.labels.as_ref()?;
        labels
            .get("org.opencontainers.image.revision")
            .map(String::as_str)
            .filter(|label| !label.is_empty())
    }
}

/// A container, at one moment.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// With the `/` that Docker puts before it.
    name: String,
    /// What it runs, whatever its tag has come to mean since.
    pub image: ImageId,
    /// How often Docker has started it again.
    #[serde(default)]
    pub restart_count: u32,
    /// How it is.
    pub state: State,
    config: Config,
    host_config: HostConfig,
    #[serde(default)]
    network_settings: NetworkSettings,
}

/// How a container is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    /// Docker's word for it.
    pub status: Standing,
    /// Of its last end.
    #[serde(default)]
    pub exit_code: i64,
    /// Why Docker could not start it; empty when it could.
    #[serde(default)]
    pub error: String,
    /// Absent without a HEALTHCHECK.
    #[serde(default)]
    pub health: Option<Health>,
}

/// Docker's words for the state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Made and not started, or the start failed.
    Created,
    /// Its process lives.
    Running,
    /// Its process lives and is frozen.
    Paused,
    /// Its process has ended and Docker is about to start it again.
    Restarting,
    /// It is going away.
    Removing,
    /// Its process has ended.
    Exited,
    /// It could not be removed.
    Dead,
    /// A word of a later Docker.
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Standing::Created => "created",
            Standing::Running => "running",
            Standing::Paused => "paused",
            Standing::Restarting => "restarting",
            Standing::Removing => "removing",
            Standing::Exited => "exited",
            Standing::Dead => "dead",
            Standing::Unknown => "in a state unknown to us",
        })
    }
}

/// What Docker's own health check found.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Health {
    /// Its verdict.
    pub status: HealthStatus,
    #[serde(default)]
    log: Option<Vec<Probe>>,
}

/// Docker's words for health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// No verdict yet.
    Starting,
    /// Good.
    Healthy,
    /// Bad, after the retries.
    Unhealthy,
    /// A HEALTHCHECK that was taken back.
    None,
    /// A word of a later Docker.
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Probe {
    #[serde(default)]
    output: String,
}

impl Health {
    /// What the last probe printed, in one line.
    pub fn last_output(&self) -> String {
        let last = self.log.iter().flatten().next_back();
        let words = last.map_or("", |probe| probe.output.as_str()).split_whitespace();
        words.collect::<Vec<_>>().join(" ")
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    image: String,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    network_mode: String,
    #[serde(default)]
    auto_remove: bool,
    #[serde(default)]
    restart_policy: RestartPolicy,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RestartPolicy {
    #[serde(default)]
    name: String,
    #[serde(default)]
    maximum_retry_count: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings {
    #[serde(default)]
    networks: Option<BTreeMap<String, IgnoredAny>>,
}

/// Who removes a container that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtItsEnd {
    /// It stays.
    Stays,
    /// Docker removes it (`--rm`), so that stopping it loses it.
    IsRemoved,
}

impl Container {
    /// Whether it has this name. Docker also finds a container by the first digits of its id.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.strip_prefix('/') == Some(name)
    }

    /// Its name, without the `/` that Docker puts before it.
    pub fn name(&self) -> &str {
        self.name.strip_prefix('/').unwrap_or(&self.name)
    }

    /// Its process lives and serves: not frozen, not between two starts.
    pub fn is_running(&self) -> bool {
        self.state.status == Standing::Running
    }

    /// What its process exited with; `None` while it has one.
    pub fn exit_status(&self) -> Option<i64> {
        let down = matches!(
            self.state.status,
            Standing::Exited | Standing::Dead | Standing::Restarting
        );
        down.then_some(self.state.exit_code)
    }

    /// The image as it was named when the container was made, without a digest that fixed it.
    pub fn reference(&self) -> &str {
        let named = self.config.image.as_str();
        named.split_once('@').map_or(named, |(name, _)| name)
    }

    /// The value of a label; `None` when it has none of that name.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// The names of the networks it is in.
    pub fn networks(&self) -> BTreeSet<&str> {
        let networks = self.network_settings.networks.iter().flatten();
        networks.map(|(name, _)| name.as_str()).collect()
    }

    /// What it was given as its network. The default has two names, and another container's network is named by an id
    /// that is a new one whenever that container is replaced.
    pub fn network_mode(&self) -> &str {
        match self.host_config.network_mode.as_str() {
            "default" => "bridge",
            other if other.starts_with("container:") => "container",
            other => other,
        }
    }

    /// What becomes of it when it is stopped.
    pub fn at_its_end(&self) -> AtItsEnd {
        match self.host_config.auto_remove {
            true => AtItsEnd::IsRemoved,
            false => AtItsEnd::Stays,
        }
    }

    /// Its restart policy, as `docker update --restart` takes it.
    pub fn restart_policy(&self) -> String {
        let policy = &self.host_config.restart_policy;
        match (policy.name.as_str(), policy.maximum_retry_count) {
            ("", _) => "no".into(),
            ("on-failure", most) if most > 0 => format!("on-failure:{most}"),
            (name, _) => name.into(),
        }
    }

    /// How it is, for a person: `exited with status 3, restarted 2 times`.
    pub fn describe(&self) -> String {
        let mut said = match self.state.status {
            Standing::Exited | Standing::Dead => format!("exited with status {}", self.state.exit_code),
            Standing::Restarting => format!("restarting after exit status {}", self.state.exit_code),
            other => other.to_string(),
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
#[path = "seen_tests.rs"]
mod tests;
