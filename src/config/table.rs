//! Every variable there is: its default, and whether an application may have its own.
//!
//! The parser takes names and defaults from here and from nowhere else. What a variable is for stands in
//! `contrib/settings.txt`; that file, the manual, the sample and the settings page are compared with this table by tests.
//! A name that is not here is a typo until somebody adds it.

use Preset::{Required, Text, Unset};

use super::pins::GITHUB;

/// A name, and what holds when it is not set.
pub type Variable = (&'static str, Preset);

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

const LISTENER: &[Variable] = &[
    ("DEPLOYER_ADDR", Text(":8443")),
    ("DEPLOYER_IDLE_EXIT", Text("60s")),
    ("DEPLOYER_CERT_FILE", Required),
    ("DEPLOYER_KEY_FILE", Required),
];

const CALLERS: &[Variable] = &[
    (
        "DEPLOYER_JWKS_URL",
        Text("https://token.actions.githubusercontent.com/.well-known/jwks"),
    ),
    ("DEPLOYER_ISSUER", Text(GITHUB)),
    ("DEPLOYER_CA_FILE", Unset),
    ("DEPLOYER_AUDIENCE", Text("engram-deploy")),
    ("DEPLOYER_REPOSITORY", Required),
    ("DEPLOYER_WORKFLOW_REF", Required),
    ("DEPLOYER_REF", Text("refs/heads/main")),
    ("DEPLOYER_CLAIMS", Unset),
    ("DEPLOYER_ALLOWED_IPS", Required),
    ("DEPLOYER_STATUS_ALLOWED_IPS", Unset),
];

const HOST: &[Variable] = &[
    ("DEPLOYER_USER", Text("65521")),
    ("DEPLOYER_FETCH_USER", Text("65522")),
    ("DEPLOYER_MAX_SESSIONS", Text("64")),
    ("DEPLOYER_MAX_SESSIONS_PER_SOURCE", Text("32")),
    ("DEPLOYER_MAX_FOLLOWERS", Text("64")),
    ("DEPLOYER_QUEUE_MAX", Text("32")),
    ("DEPLOYER_QUEUE_MAX_WAIT", Text("15m")),
    ("DEPLOYER_RUN_MAX", Text("15m")),
    ("DEPLOYER_KEEP_RUNS", Text("50")),
    ("DEPLOYER_STATE_DIR", Text("/var/lib/engram-deployer")),
    ("DEPLOYER_RUNS_DIR", Unset),
    ("DEPLOYER_RUNTIME_DIR", Text("/run/engram-deployer")),
    ("DEPLOYER_LOG", Text("info")),
];

const DEPLOY: &[Variable] = &[
    ("DEPLOYER_NOTIFY_COMMAND", Unset),
    ("DEPLOYER_IMAGE", Text("ghcr.io/engram-app/engram")),
    (
        "DEPLOYER_CONTAINERS",
        Text("engram-saas=8000,engram-selfhost=8001"),
    ),
    ("DEPLOYER_BACKEND", Text("unraid")),
    (
        "DEPLOYER_TEMPLATE_DIR",
        Text("/boot/config/plugins/dockerMan/templates-user"),
    ),
    ("DEPLOYER_CONTAINER_DIR", Text("/etc/engram-deployer/containers")),
    ("DEPLOYER_COMMAND_PATH", Unset),
    ("DEPLOYER_PULL", Text("off")),
    ("DEPLOYER_DOCKER_PATH", Text("docker")),
    (
        "DEPLOYER_UPDATE_CONTAINER_PATH",
        Text("/usr/local/emhttp/plugins/dynamix.docker.manager/scripts/update_container"),
    ),
    ("DEPLOYER_UPDATE_MAX_WAIT", Text("5m")),
    ("DEPLOYER_ROLLBACK", Text("on")),
    ("DEPLOYER_HEALTH_POLL_INTERVAL", Text("2s")),
    ("DEPLOYER_HEALTH_MAX_WAIT", Text("60s")),
    ("DEPLOYER_HEALTH_STEADY", Text("10s")),
    ("DEPLOYER_HEALTH_EXPECT", Text("version")),
    ("DEPLOYER_RELAY_LOGS", Text("on")),
    ("DEPLOYER_MIN_FREE", Text("1GiB")),
    ("DEPLOYER_REQUIRE_REVISION", Text("warn")),
    ("DEPLOYER_ALLOW_DOWNGRADE", Text("yes")),
    ("DEPLOYER_COSIGN_PATH", Unset),
    ("DEPLOYER_COSIGN_IDENTITY", Unset),
    ("DEPLOYER_COSIGN_ISSUER", Unset),
    ("DEPLOYER_REGISTRY_USERNAME", Unset),
    ("DEPLOYER_REGISTRY_PASSWORD_FILE", Unset),
    ("DEPLOYER_KEEP_IMAGES", Text("3")),
];

/// All variables, in the order of the documents.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    SECTIONS.iter().flat_map(|(_, section)| *section)
}

/// What holds when `name` is not set; `None` for a name that is not known.
pub fn preset(name: &str) -> Option<Preset> {
    // Where a run kills itself, for the tests of what a crash leaves behind. No build that anybody installs knows it.
    #[cfg(feature = "failpoints")]
    if name == "DEPLOYER_FAILPOINT" {
        return Some(Unset);
    }
    variables()
        .find(|(known, _)| *known == name)
        .map(|(_, preset)| *preset)
}

/// Whether the value of `name` must not be shown: judged by its look, and rather hidden. Where a secret is kept is none.
pub fn is_secret(name: &str) -> bool {
    let words = ["SECRET", "PASSWORD", "PASSPHRASE", "TOKEN", "KEY"];
    !name.ends_with("_FILE") && words.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_stands_once() {
        let mut names: Vec<_> = variables().map(|(name, _)| *name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(names.iter().all(|name| name.starts_with("DEPLOYER_")));
    }

    #[test]
    fn every_variable_is_explained_and_the_text_has_its_default() {
        let texts: Vec<(&str, &str)> = include_str!("../../contrib/settings.txt")
            .split("\n\n")
            .skip(1)
            .map(|one| one.split_once('\n').expect("a name and what follows"))
            .collect();
        let known: Vec<&str> = variables().map(|(name, _)| *name).collect();
        let explained = texts.iter().map(|(name, _)| *name);
        // A build without terraform knows fewer.
        let of_terraform = |name: &&str| name.contains("_TF_") || name.contains("_GITHUB_");
        let explained = explained.filter(|name| known.contains(name) || !of_terraform(name));
        let explained: Vec<&str> = explained.collect();
        assert_eq!(explained, known);
        for (name, text) in texts {
            let [default, roles, kind, example, about] = text.splitn(5, '\n').collect::<Vec<_>>()[..] else {
                panic!("{name}: {text}")
            };
            assert!(
                roles.starts_with("read by: ")
                    && kind.starts_with("type: ")
                    && example.starts_with("example: "),
                "{name}"
            );
            assert_eq!(kind.starts_with("type: a secret"), is_secret(name), "{name}");
            assert!(
                about.len() > 10 && !about.trim_end().ends_with('.'),
                "{name}: {about}"
            );
            let default = default.strip_prefix("default: ").expect(name);
            match preset(name) {
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
                .map(|(name, _)| *name)
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
    fn what_looks_like_a_secret_is_one_unless_it_is_a_file() {
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
