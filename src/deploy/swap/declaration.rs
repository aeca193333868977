//! A container's declaration: JSON -> [`Declaration`]; nothing in one can be wrong. Bytes in, no I/O.
//!
//! The image is not in it: that is what a deploy brings. Unknown members are refused, and every mistake is named with
//! its field, so that an operator corrects a file once. What would break the swap of names (`--name`, `--rm`) or has a
//! member of its own is refused among the extra arguments.

use serde::Serialize;
use serde_json::Value;

use super::values;
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

/// What a checker of one text says: what it should be.
pub type Rule = fn(&str) -> Result<(), String>;

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
                "env" => declared.env = reader.map(name, value, values::variable, values::text),
                "env_file" => declared.env_file = reader.one(name, value, values::absolute_path),
                "volumes" => declared.volumes = reader.list(name, value, values::volume),
                "networks" => declared.networks = reader.list(name, value, values::network),
                "restart" => declared.restart = reader.one(name, value, values::restart).unwrap_or_default(),
                "labels" => declared.labels = reader.map(name, value, values::label, values::text),
                "user" => declared.user = reader.one(name, value, values::word),
                "hostname" => declared.hostname = reader.one(name, value, values::word),
                "arguments" => declared.arguments = reader.list(name, value, values::argument),
                "command" => declared.command = reader.list(name, value, values::text),
                "image" => reader.mistake(name, "the image comes with each deploy: remove this member"),
                _ => reader.mistake(name, UNKNOWN),
            }
        }
        reader.alone(&declared.networks);
        reader.deliverable(&declared.env);
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

/// Reads values and gathers mistakes.
#[derive(Default)]
struct Reading {
    /// Each with its field: `ports[1]`, `env.TOKEN`.
    mistakes: Vec<String>,
}

impl Reading {
    fn mistake(&mut self, field: &str, what: impl std::fmt::Display) {
        self.mistakes.push(format!("{field}: {what}"));
    }

    fn one(&mut self, field: &str, value: &Value, rule: Rule) -> Option<String> {
        let Value::String(text) = value else {
            self.mistake(field, format!("{} must be a text in quotes", kind(value)));
            return None;
        };
        match values::text(text).and_then(|()| rule(text)) {
            Ok(()) => Some(text.clone()),
            Err(should) => {
                self.mistake(field, should);
                None
            }
        }
    }

    fn list(&mut self, field: &str, value: &Value, rule: Rule) -> Vec<String> {
        let Value::Array(values) = value else {
            self.mistake(field, format!("{} must be a list: [\"...\"]", kind(value)));
            return Vec::new();
        };
        let each = values.iter().enumerate();
        each.filter_map(|(index, value)| self.one(&format!("{field}[{index}]"), value, rule))
            .collect()
    }

    fn map(&mut self, field: &str, value: &Value, name_rule: Rule, rule: Rule) -> Vec<(String, String)> {
        let Value::Object(members) = value else {
            self.mistake(
                field,
                format!("{} must be an object: {{\"NAME\": \"value\"}}", kind(value)),
            );
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in members {
            let field = format!("{field}.{name}");
            if let Err(should) = values::text(name).and_then(|()| name_rule(name)) {
                self.mistake(&field, should);
            }
            if let Some(value) = self.one(&field, value, rule) {
                found.push((name.clone(), value));
            }
        }
        found
    }

    fn deliverable(&mut self, env: &[(String, String)]) {
        for (name, value) in env {
            if !values::fits_env_file(value) && values::acts_on_the_client(name) {
                self.mistake(
                    &format!("env.{name}"),
                    "a value of several lines would change docker itself",
                );
            }
        }
    }

    fn alone(&mut self, networks: &[String]) {
        if networks.len() > 1 && networks.iter().any(|name| is_special(name)) {
            self.mistake("networks", "host, none and container:NAME must stand alone");
        }
    }
}

/// What a value is. Not the value: it may be a secret in the wrong place.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "declaration_tests.rs"]
mod tests;
