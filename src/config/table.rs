//! Every variable there is: its default, who reads it, and whether an application may have its own.
//!
//! The parser takes names and defaults from here and from nowhere else. What a variable is for stands in
//! `contrib/settings.txt`; that file, the manual, the sample and the settings page are compared with this table by tests.
//! A name that is not here is a typo until somebody adds it.

use Reads::{Fetch, Front, Run, Serve, Session};

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    pub preset: Preset,
    pub readers: &'static [Reads],
    /// Whether its value is shown to nobody.
    pub is_secret: bool,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// A complaint.
    Required,
    /// Nothing, or something that follows from other settings.
    Unset,
    /// This value, read as if it were set.
    Text(&'static str),
}

/// A role that acts on a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    Serve,
    Session,
    Front,
    Fetch,
    Run,
}

/// Whose setting it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One value for the whole host.
    Host,
    /// Each application may have its own.
    Application,
}

/// The variables in the order of the documents.
pub const SECTIONS: &[(Scope, &[Variable])] = &[
    (Scope::Host, LISTENER),
    (Scope::Application, CALLERS),
    (Scope::Host, HOST),
    (Scope::Application, DEPLOY),
    #[cfg(feature = "terraform")]
    (Scope::Host, super::terraform::VARIABLES),
];

pub(super) const RUN: &[Reads] = &[Run];
pub(super) const SESSION: &[Reads] = &[Session];
const DAEMON: &[Reads] = &[Serve, Session, Run];
const EVERYONE: &[Reads] = &[Serve, Session, Front, Run];

/// One with a default.
pub(super) const fn text(name: &'static str, value: &'static str, readers: &'static [Reads]) -> Variable {
    Variable {
        preset: Preset::Text(value),
        ..unset(name, readers)
    }
}

/// One that must be set.
const fn required(name: &'static str, readers: &'static [Reads]) -> Variable {
    Variable {
        preset: Preset::Required,
        ..unset(name, readers)
    }
}

/// One without a default.
pub(super) const fn unset(name: &'static str, readers: &'static [Reads]) -> Variable {
    Variable {
        name,
        preset: Preset::Unset,
        readers,
        is_secret: false,
    }
}

#[cfg(feature = "terraform")]
/// A secret of `run`.
pub(super) const fn secret(name: &'static str) -> Variable {
    Variable {
        is_secret: true,
        ..unset(name, RUN)
    }
}

const LISTENER: &[Variable] = &[
    text("DEPLOYER_ADDR", ":8443", &[Serve]),
    text("DEPLOYER_IDLE_EXIT", "60s", &[Serve]),
    required("DEPLOYER_CERT_FILE", &[Serve, Front]),
    required("DEPLOYER_KEY_FILE", &[Serve, Front]),
];

const CALLERS: &[Variable] = &[
    text(
        "DEPLOYER_JWKS_URL",
        "https://token.actions.githubusercontent.com/.well-known/jwks",
        &[Session, Fetch],
    ),
    text(
        "DEPLOYER_ISSUER",
        "https://token.actions.githubusercontent.com",
        SESSION,
    ),
    unset("DEPLOYER_CA_FILE", &[Fetch]),
    text("DEPLOYER_AUDIENCE", "engram-deploy", SESSION),
    required("DEPLOYER_REPOSITORY", SESSION),
    required("DEPLOYER_WORKFLOW_REF", SESSION),
    text("DEPLOYER_REF", "refs/heads/main", SESSION),
    unset("DEPLOYER_CLAIMS", SESSION),
    required("DEPLOYER_ALLOWED_IPS", &[Serve, Session]),
    unset("DEPLOYER_STATUS_ALLOWED_IPS", &[Serve, Session]),
];

const HOST: &[Variable] = &[
    text("DEPLOYER_USER", "65521", &[Front]),
    text("DEPLOYER_FETCH_USER", "65522", &[Fetch]),
    text("DEPLOYER_MAX_SESSIONS", "64", &[Serve, Session]),
    text("DEPLOYER_MAX_SESSIONS_PER_SOURCE", "32", &[Serve, Session]),
    text("DEPLOYER_MAX_FOLLOWERS", "64", SESSION),
    text("DEPLOYER_QUEUE_MAX", "32", &[Session, Run]),
    text("DEPLOYER_QUEUE_MAX_WAIT", "15m", RUN),
    text("DEPLOYER_RUN_MAX", "15m", RUN),
    text("DEPLOYER_KEEP_RUNS", "50", RUN),
    text("DEPLOYER_STATE_DIR", "/var/lib/engram-deployer", DAEMON),
    unset("DEPLOYER_RUNS_DIR", &[Session, Run]),
    text("DEPLOYER_RUNTIME_DIR", "/run/engram-deployer", EVERYONE),
    text("DEPLOYER_LOG", "info", DAEMON),
];

const DEPLOY: &[Variable] = &[
    unset("DEPLOYER_NOTIFY_COMMAND", RUN),
    text("DEPLOYER_IMAGE", "ghcr.io/engram-app/engram", RUN),
    text(
        "DEPLOYER_CONTAINERS",
        "engram-saas=8000,engram-selfhost=8001",
        RUN,
    ),
    text("DEPLOYER_BACKEND", "unraid", RUN),
    text(
        "DEPLOYER_TEMPLATE_DIR",
        "/boot/config/plugins/dockerMan/templates-user",
        RUN,
    ),
    text("DEPLOYER_CONTAINER_DIR", "/etc/engram-deployer/containers", RUN),
    unset("DEPLOYER_COMMAND_PATH", RUN),
    text("DEPLOYER_PULL", "off", RUN),
    text("DEPLOYER_DOCKER_PATH", "docker", RUN),
    text(
        "DEPLOYER_UPDATE_CONTAINER_PATH",
        "/usr/local/emhttp/plugins/dynamix.docker.manager/scripts/update_container",
        RUN,
    ),
    text("DEPLOYER_UPDATE_MAX_WAIT", "5m", RUN),
    text("DEPLOYER_ROLLBACK", "on", RUN),
    text("DEPLOYER_HEALTH_POLL_INTERVAL", "2s", RUN),
    text("DEPLOYER_HEALTH_MAX_WAIT", "60s", RUN),
    text("DEPLOYER_HEALTH_STEADY", "10s", RUN),
    text("DEPLOYER_HEALTH_EXPECT", "version", RUN),
    text("DEPLOYER_MIN_FREE", "1GiB", RUN),
    text("DEPLOYER_REQUIRE_REVISION", "warn", RUN),
    text("DEPLOYER_ALLOW_DOWNGRADE", "yes", RUN),
    unset("DEPLOYER_COSIGN_PATH", RUN),
    unset("DEPLOYER_COSIGN_IDENTITY", RUN),
    unset("DEPLOYER_COSIGN_ISSUER", RUN),
    unset("DEPLOYER_REGISTRY_USERNAME", RUN),
    unset("DEPLOYER_REGISTRY_PASSWORD_FILE", &[Serve, Run]),
    text("DEPLOYER_KEEP_IMAGES", "3", RUN),
];

/// Where a run kills itself, for the tests of what a crash leaves behind. No build that anybody installs knows it.
#[cfg(feature = "failpoints")]
const FAILPOINT: Variable = unset("DEPLOYER_FAILPOINT", RUN);

/// All variables, in the order of the documents.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    SECTIONS.iter().flat_map(|(_, section)| *section)
}

/// The variable called `name`.
pub fn variable(name: &str) -> Option<&'static Variable> {
    #[cfg(feature = "failpoints")]
    if name == FAILPOINT.name {
        return Some(&FAILPOINT);
    }
    variables().find(|variable| variable.name == name)
}

/// Whether the value of `name` must not be shown. A name we do not know is judged by its look, and rather hidden.
pub(super) fn is_secret(name: &str) -> bool {
    let words = ["SECRET", "PASSWORD", "PASSPHRASE", "TOKEN", "KEY"];
    let looks_secret = || words.iter().any(|word| name.contains(word));
    variable(name).map_or_else(looks_secret, |known| known.is_secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_stands_once_and_is_read_by_someone() {
        let mut names: Vec<_> = variables().map(|variable| variable.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        for variable in variables() {
            assert!(variable.name.starts_with("DEPLOYER_"), "{}", variable.name);
            assert!(!variable.readers.is_empty(), "{}", variable.name);
        }
    }

    #[test]
    fn every_variable_is_explained_and_the_text_has_its_default() {
        let texts: Vec<(&str, &str)> = include_str!("../../contrib/settings.txt")
            .split("\n\n")
            .skip(1)
            .map(|one| one.split_once('\n').expect("a name and what follows"))
            .collect();
        let known: Vec<&str> = variables().map(|variable| variable.name).collect();
        let explained = texts.iter().map(|(name, _)| *name);
        // A build without terraform knows fewer.
        let of_terraform = |name: &&str| name.contains("_TF_") || name.contains("_GITHUB_");
        let explained = explained.filter(|name| known.contains(name) || !of_terraform(name));
        let explained: Vec<&str> = explained.collect();
        assert_eq!(explained, known);
        for (name, text) in texts {
            let [default, kind, example, about] = text.splitn(4, '\n').collect::<Vec<_>>()[..] else {
                panic!("{name}: {text}")
            };
            assert!(
                kind.starts_with("type: ") && example.starts_with("example: "),
                "{name}"
            );
            assert!(
                about.len() > 10 && !about.trim_end().ends_with('.'),
                "{name}: {about}"
            );
            let default = default.strip_prefix("default: ").expect(name);
            match variable(name).map(|one| one.preset) {
                Some(Preset::Text(text)) => assert_eq!(default, text, "{name}"),
                Some(Preset::Required) => assert_eq!(default, "none; it is required", "{name}"),
                Some(Preset::Unset) => assert!(
                    default == "none" || default.contains(' ') || default == "everyone",
                    "{name}"
                ),
                None => {}
            }
        }
    }

    #[test]
    fn what_stands_in_an_applications_file_is_not_the_hosts() {
        let of = |scope| {
            let sections = SECTIONS.iter().filter(move |(one, _)| *one == scope);
            sections
                .flat_map(|(_, section)| *section)
                .map(|one| one.name)
                .collect::<Vec<_>>()
        };
        for (scope, names) in [
            (
                Scope::Host,
                [
                    "DEPLOYER_ADDR",
                    "DEPLOYER_KEY_FILE",
                    "DEPLOYER_USER",
                    "DEPLOYER_STATE_DIR",
                    "DEPLOYER_QUEUE_MAX",
                ],
            ),
            (
                Scope::Application,
                [
                    "DEPLOYER_CLAIMS",
                    "DEPLOYER_IMAGE",
                    "DEPLOYER_BACKEND",
                    "DEPLOYER_KEEP_IMAGES",
                    "DEPLOYER_NOTIFY_COMMAND",
                ],
            ),
        ] {
            let found = of(scope);
            assert!(names.iter().all(|name| found.contains(name)), "{found:?}");
        }
    }

    #[test]
    fn what_looks_like_a_secret_is_one_unless_it_is_known_not_to_be() {
        for (name, secret) in [
            ("DEPLOYER_TF_AWS_SECRET_ACCESS_KEY", true),
            ("DEPLOYER_KEY_FILE", false),
            ("DEPLOYER_ADDR", false),
            ("DEPLOYER_SOMETHING_PASSWORD", true),
            ("DEPLOYER_SOMETHING_TOKEN", true),
            ("DEPLOYER_SOMETHING", false),
        ] {
            assert_eq!(is_secret(name), secret, "{name}");
        }
    }
}
