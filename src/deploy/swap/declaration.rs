//! A container's declaration: JSON -> [`Declaration`]; nothing in one can be wrong. Bytes in, no I/O.
//!
//! The image is not in it: that is what a deploy brings. Unknown members are refused, and every mistake is named with
//! its field, so that an operator corrects a file once. What would break the swap of names (`--name`, `--rm`) or has a
//! member of its own is refused among the extra arguments.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

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

impl Declaration {
    /// Reads a declaration.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn read(bytes: &[u8]) -> Result<Self, Vec<String>> {
        let members = json::object(bytes).map_err(|why| vec![format!("not a JSON object: {why}")])?;
        let mut reader = Reading::default();
        let mut declared = Self {
            // Docker's default would leave a container down after the host starts again, which no deploy means.
            restart: "unless-stopped".into(),
            ..Self::default()
        };
        for (name, value) in &members {
            match name.as_str() {
                "ports" => declared.ports = reader.list(name, value, port),
                "env" => declared.env = reader.map(name, value, variable),
                "env_file" => declared.env_file = reader.one(name, value, absolute_path),
                "volumes" => declared.volumes = reader.list(name, value, volume),
                "networks" => declared.networks = reader.list(name, value, network),
                "restart" => declared.restart = reader.one(name, value, restart).unwrap_or_default(),
                "labels" => declared.labels = reader.map(name, value, label),
                "user" => declared.user = reader.one(name, value, word),
                "hostname" => declared.hostname = reader.one(name, value, word),
                "arguments" => declared.arguments = reader.list(name, value, argument),
                "command" => declared.command = reader.list(name, value, any_text),
                "image" => reader.mistake(name, "remove it: the image comes with each deploy"),
                _ => reader.mistake(name, UNKNOWN),
            }
        }
        let networks = &declared.networks;
        if networks.len() > 1 && networks.iter().any(|name| is_special(name)) {
            reader.mistake("networks", "host, none and container:NAME must stand alone");
        }
        for (name, value) in &declared.env {
            if !fits_env_file(value) && acts_on_the_client(name) {
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

const UNKNOWN: &str = "unknown; known are ports, env, env_file, volumes, networks, restart, labels, user, hostname, arguments and command";

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
        let checked = any_text(text).and_then(|()| rule(text));
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
            let value = self.one(&field, value, any_text);
            Some((name?, value?))
        });
        each.collect()
    }
}

/// Flags that stand alone. Every other one must bring its value along, or it would take the next word, in the end our
/// image, for its value.
const ALONE: &[&str] = &[
    "--init",
    "--interactive",
    "--no-healthcheck",
    "--oom-kill-disable",
    "--privileged",
    "--publish-all",
    "--read-only",
    "--tty",
];

/// Flags that are refused, and why.
const REFUSED: &[(&str, &str)] = &[
    ("--name", "the name is the declaration's own"),
    ("--rm", "a container that removes itself is no way back"),
    ("--detach", "a flag of docker run, not of docker create"),
    ("--cidfile", "the next deploy would find the file"),
    ("--pull", "the image is here already"),
    ("--help", "it would make no container"),
    ("--env", "use env"),
    ("--env-file", "use env_file"),
    ("--publish", "use ports"),
    ("--volume", "use volumes"),
    ("--network", "use networks"),
    ("--net", "use networks"),
    ("--restart", "use restart"),
    ("--label", "use labels"),
    ("--user", "use user"),
    ("--hostname", "use hostname"),
];

/// What a rule says of a text: an error is what it should be.
type Checked = Result<(), String>;

fn must(holds: bool, text: &str, be: &str) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(format!("\"{text}\" must be {be}")),
    }
}

/// Any text that a program can be given.
fn any_text(text: &str) -> Checked {
    match text.contains('\0') {
        true => Err("a NUL cannot be handed to a program".into()),
        false => Ok(()),
    }
}

/// Not empty, without blanks.
fn word(text: &str) -> Checked {
    let holds = !text.is_empty() && !text.contains(char::is_whitespace);
    must(holds, text, "one word")
}

/// `[ADDRESS:][PORT:]PORT[/tcp|udp|sctp]`, ranges too: `8000:8000`, `127.0.0.1:8000:8000/tcp`, `[::1]:80-81:80-81`.
fn port(text: &str) -> Checked {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let fits = match ports.rsplit_once(':') {
        Some((outer, inner)) => is_outer(outer) && is_ports(inner),
        None => is_ports(ports),
    };
    let holds = fits && matches!(protocol, "tcp" | "udp" | "sctp");
    must(holds, text, "[ADDRESS:][HOST PORT:]CONTAINER PORT[/tcp]")
}

fn is_outer(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((address, port)) => is_address(address) && (port.is_empty() || is_ports(port)),
        None => is_ports(text),
    }
}

fn is_address(text: &str) -> bool {
    let v6 = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = v6.unwrap_or(text).parse::<IpAddr>();
    address.is_ok_and(|address| address.is_ipv6() == v6.is_some())
}

fn is_ports(text: &str) -> bool {
    let number = |text: &str| {
        text.parse()
            .ok()
            .filter(|port: &u16| *port > 0 && !text.starts_with('+'))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last)
}

/// A variable's name.
fn variable(name: &str) -> Checked {
    let is_odd = |c: char| matches!(c, '=' | '#') || c.is_whitespace() || c.is_control();
    let holds = !name.is_empty() && !name.contains(is_odd);
    must(holds, name, "a name without blanks, `=` and `#`")
}

/// Whether docker reads the value back from an env-file as it was written: it reads lines, of 64 KiB at most.
pub fn fits_env_file(value: &str) -> bool {
    !value.contains(['\n', '\r']) && value.len() < 32 * 1024
}

/// A value that does not fit goes through the docker client's environment, where these would act on the client.
fn acts_on_the_client(name: &str) -> bool {
    let begins = ["DOCKER_", "LD_", "GO"];
    matches!(name, "PATH" | "HOME" | "TMPDIR") || begins.iter().any(|begin| name.starts_with(begin))
}

/// A file of the host.
fn absolute_path(text: &str) -> Checked {
    must(text.starts_with('/'), text, "a path that begins with /")
}

/// A source is a path or the name of a volume: without one it would be a new, empty volume at each deploy.
fn volume(text: &str) -> Checked {
    let parts: Vec<&str> = text.split(':').collect();
    let holds = match parts[..] {
        [source, target] | [source, target, _] => {
            (source.starts_with('/') || is_name(source)) && target.starts_with('/')
        }
        _ => false,
    };
    must(holds, text, "/PATH:/TARGET[:OPTIONS] or NAME:/TARGET[:OPTIONS]")
}

fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.bytes().all(inner)
}

/// A network's name, or `container:NAME`.
fn network(text: &str) -> Checked {
    let holds = is_name(text.strip_prefix("container:").unwrap_or(text));
    must(holds, text, "a network's name, host, none or container:NAME")
}

/// A restart policy.
fn restart(text: &str) -> Checked {
    let most = text.strip_prefix("on-failure:");
    let holds = matches!(text, "no" | "always" | "unless-stopped" | "on-failure")
        || most.is_some_and(|most| most.parse::<u32>().is_ok());
    must(holds, text, "no, always, unless-stopped or on-failure[:N]")
}

/// A label's name. Ours say what was deployed, and must not lie.
fn label(name: &str) -> Checked {
    let holds = !name.is_empty() && !name.contains('=') && !name.starts_with("engram.");
    must(holds, name, "a name without `=` that does not begin with engram.")
}

/// A flag of `docker create` in one word.
fn argument(text: &str) -> Checked {
    let flag = text.split('=').next().unwrap_or(text);
    if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == flag) {
        return Err(format!("{flag} is refused: {why}"));
    }
    let is_whole = flag != text || ALONE.contains(&flag);
    let holds = flag.starts_with("--") && flag.len() > 2 && is_whole;
    must(holds, text, "one long flag with its value: --memory=1g")
}

#[cfg(test)]
#[path = "declaration_tests.rs"]
mod tests;
