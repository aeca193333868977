//! A container's declaration: JSON -> [`Declaration`]; nothing in one can be wrong. Bytes in, no I/O.
//!
//! The image is not in it: that is what a deploy brings. Unknown members are refused, and every mistake is named with
//! its field, so that an operator corrects a file once. What would break the swap of names (`--name`, `--rm`) or has a
//! member of its own is refused among the extra arguments.

use serde::Serialize;
use serde_json::Value;

use super::values::{self, Checked};
use crate::jwt::json;

/// How a container is to be made; every text in it is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Declaration {
    /// `docker create --publish`.
    pub ports: Vec<String>,
    /// Variables, in the order of their names. Values may be secret: they never reach argv.
    pub env: Vec<(String, String)>,
    /// `docker create --env-file`: a file of the host.
    pub env_file: Option<String>,
    /// `docker create --volume`.
    pub volumes: Vec<String>,
    /// The first is given at creation; the container is connected to the others before it starts.
    pub networks: Vec<String>,
    /// `docker create --restart`; `unless-stopped` when not declared.
    pub restart: String,
    /// `docker create --label`, in the order of their names.
    pub labels: Vec<(String, String)>,
    /// `docker create --user`.
    pub user: Option<String>,
    /// `docker create --hostname`.
    pub hostname: Option<String>,
    /// Further flags of `docker create`, each one word: `--memory=1g`.
    pub arguments: Vec<String>,
    /// After the image.
    pub command: Vec<String>,
}

/// Docker's default would leave a container down after the host starts again, which no deploy means.
const RESTART: &str = "unless-stopped";

impl Declaration {
    /// Reads a declaration.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<String>> {
        let members = json::object(bytes).map_err(|why| vec![format!("not a JSON object: {why}")])?;
        let mut reader = Reading::default();
        let mut declared = Self {
            restart: RESTART.into(),
            ..Self::default()
        };
        for (name, value) in &members {
            match name.as_str() {
                "ports" => declared.ports = reader.list(name, value, values::port),
                "env" => declared.env = reader.map(name, value, values::variable),
                "env_file" => declared.env_file = reader.one(name, value, values::absolute_path),
                "volumes" => declared.volumes = reader.list(name, value, values::volume),
                "networks" => declared.networks = reader.list(name, value, values::network),
                "restart" => declared.restart = reader.one(name, value, values::restart).unwrap_or_default(),
                "labels" => declared.labels = reader.map(name, value, values::label),
                "user" => declared.user = reader.one(name, value, values::word),
                "hostname" => declared.hostname = reader.one(name, value, values::word),
                "arguments" => declared.arguments = reader.list(name, value, values::argument),
                "command" => declared.command = reader.list(name, value, values::text),
                "image" => reader.mistake(name, "the image comes with each deploy: remove this member"),
                _ => reader.mistake(name, UNKNOWN),
            }
        }
        let networks = &declared.networks;
        if networks.len() > 1 && networks.iter().any(|name| is_special(name)) {
            reader.mistake("networks", "host, none and container:NAME must stand alone");
        }
        for (name, value) in &declared.env {
            if !values::fits_env_file(value) && values::acts_on_the_client(name) {
                let why = "a value of several lines would change docker itself";
                reader.mistake(&format!("env.{name}"), why);
            }
        }
        match reader.mistakes.is_empty() {
            true => Ok(declared),
            false => Err(reader.mistakes),
        }
    }

    /// Whether Docker lets it have further names on its first network.
    pub fn has_aliases(&self) -> bool {
        let first = self.networks.first();
        first.is_some_and(|network| !is_special(network) && network != "bridge" && network != "default")
    }
}

const UNKNOWN: &str = "unknown; there are ports, env, env_file, volumes, networks, restart, labels, user, hostname, arguments and command";

/// Networks of Docker's own, on which no container is found by a name, and of other containers.
fn is_special(network: &str) -> bool {
    matches!(network, "host" | "none") || network.starts_with("container:")
}

/// Reads values and gathers mistakes. None quotes a value that no rule has seen: it may be a secret in the wrong place.
#[derive(Default)]
struct Reading {
    /// Each with its field: `ports[1]`, `env.TOKEN`.
    mistakes: Vec<String>,
}

impl Reading {
    fn mistake(&mut self, field: &str, what: &str) {
        self.mistakes.push(format!("{field}: {what}"));
    }

    fn one(&mut self, field: &str, value: &Value, rule: fn(&str) -> Checked) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.mistake(field, "must be a text in quotes");
            return None;
        };
        let checked = values::text(text).and_then(|()| rule(text));
        checked.map_err(|should| self.mistake(field, &should)).ok()?;
        Some(text.to_owned())
    }

    fn list(&mut self, field: &str, value: &Value, rule: fn(&str) -> Checked) -> Vec<String> {
        let Some(values) = value.as_array() else {
            self.mistake(field, "must be a list: [\"...\"]");
            return Vec::new();
        };
        let each = values.iter().enumerate();
        each.filter_map(|(index, value)| self.one(&format!("{field}[{index}]"), value, rule))
            .collect()
    }

    /// The rule is for the names; the values may be any texts.
    fn map(&mut self, field: &str, value: &Value, rule: fn(&str) -> Checked) -> Vec<(String, String)> {
        let Some(members) = value.as_object() else {
            self.mistake(field, "must be an object: {\"NAME\": \"value\"}");
            return Vec::new();
        };
        let each = members.iter().filter_map(|(name, value)| {
            let field = format!("{field}.{name}");
            let name = self.one(&field, &name.as_str().into(), rule);
            let value = self.one(&field, value, values::text);
            Some((name?, value?))
        });
        each.collect()
    }
}

#[cfg(test)]
#[path = "declaration_tests.rs"]
mod tests;
