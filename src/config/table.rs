//! Every variable there is, as data: its default, what it means, who reads it.
//!
//! The parser takes names and defaults from here and from nowhere else; `check`, the sample environment file and the
//! documents are compared with it by tests. A name that is not here is a typo until somebody adds it.

use super::table_checks::CHECKS;
use super::table_terraform::TERRAFORM;

/// One variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub preset: Preset,
    /// Who reads it.
    pub readers: &'static [Reads],
    /// One line for a person, and what a complaint says when it is required and missing.
    pub meaning: &'static str,
    /// Whether its value may be shown.
    pub visibility: Visibility,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Nothing does: it must be set (or, where its meaning says so, under which condition).
    Required,
    /// Nothing does, and that is fine.
    Unset,
    /// This value, read as if it were set.
    Text(&'static str),
    /// Something that follows from other settings, in words.
    Follows(&'static str),
}

/// Whether a variable's value may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// It may.
    Plain,
    /// It may not, to anyone.
    Secret,
}

/// A role that acts on a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// `serve`.
    Serve,
    /// `session`.
    Session,
    /// `front`.
    Front,
    /// `fetch`.
    Fetch,
    /// `run`.
    Run,
}

use Preset::{Follows, Required, Text, Unset};
use Reads::{Fetch, Front, Run, Serve, Session};

const fn plain(
    name: &'static str,
    preset: Preset,
    readers: &'static [Reads],
    meaning: &'static str,
) -> Variable {
    Variable {
        name,
        preset,
        readers,
        meaning,
        visibility: Visibility::Plain,
    }
}

/// One that `run` alone acts on.
pub(super) const fn of_run(name: &'static str, preset: Preset, meaning: &'static str) -> Variable {
    plain(name, preset, &[Run], meaning)
}

/// One that `session` alone acts on.
pub(super) const fn of_session(name: &'static str, preset: Preset, meaning: &'static str) -> Variable {
    plain(name, preset, &[Session], meaning)
}

/// A secret, which is `run`'s.
pub(super) const fn secret(name: &'static str, meaning: &'static str) -> Variable {
    Variable {
        visibility: Visibility::Secret,
        ..of_run(name, Unset, meaning)
    }
}

/// All variables, in the order of the documents.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    VARIABLES.iter().chain(CHECKS).chain(TERRAFORM)
}

/// The variable called `name`.
pub fn variable(name: &str) -> Option<&'static Variable> {
    let known = variables();
    #[cfg(feature = "failpoints")]
    let known = known.chain([&FAILPOINT]);
    let mut known = known;
    known.find(|variable| variable.name == name)
}

/// Where a run kills itself, for the tests of what a crash leaves behind. No build that anybody installs knows it.
#[cfg(feature = "failpoints")]
const FAILPOINT: Variable = plain(
    "DEPLOYER_FAILPOINT",
    Unset,
    &[Run],
    "where to be killed: a name of a failpoint, and @N for its Nth visit",
);

/// Whether `name` belongs to the terraform endpoints.
pub(super) fn is_for_terraform(name: &str) -> bool {
    TERRAFORM.iter().any(|variable| variable.name == name)
}

/// Whether the value of `name` must not be shown. A name we do not know is judged by its look, and rather hidden.
pub(super) fn is_secret(name: &str) -> bool {
    match variable(name) {
        Some(known) => known.visibility == Visibility::Secret,
        None => ["SECRET", "PASSWORD", "PASSPHRASE", "TOKEN", "KEY"]
            .iter()
            .any(|word| name.contains(word)),
    }
}

const SESSIONS: &[Reads] = &[Serve, Session];

const VARIABLES: &[Variable] = &[
    plain(
        "DEPLOYER_ADDR",
        Text(":8443"),
        &[Serve],
        "where to listen when nobody hands over a socket",
    ),
    plain(
        "DEPLOYER_IDLE_EXIT",
        Text("60s"),
        &[Serve],
        "when a socket of the starter's started us: how long without a connection and a run until we end, and the next \
         connection starts us again; 0 or off: never",
    ),
    plain(
        "DEPLOYER_CERT_FILE",
        Required,
        &[Serve, Front],
        "the certificate chain, PEM: an absolute path, or `cred:NAME` for one of systemd's LoadCredential=",
    ),
    plain(
        "DEPLOYER_KEY_FILE",
        Required,
        &[Serve, Front],
        "the certificate's private key, PEM: an absolute path, or `cred:NAME` for one of systemd's LoadCredential=",
    ),
    plain(
        "DEPLOYER_JWKS_URL",
        Text("https://token.actions.githubusercontent.com/.well-known/jwks"),
        &[Session, Fetch],
        "where the issuer's keys are: https, or http to loopback; required with an issuer other than GitHub",
    ),
    plain(
        "DEPLOYER_ISSUER",
        Text("https://token.actions.githubusercontent.com"),
        &[Session],
        "who signs tokens: the URL that is their `iss`, exactly",
    ),
    plain(
        "DEPLOYER_CA_FILE",
        Unset,
        &[Fetch],
        "authorities to trust for outbound https instead of the built-in roots, PEM: an absolute path",
    ),
    plain(
        "DEPLOYER_AUDIENCE",
        Text("engram-deploy"),
        &[Session],
        "the `aud` of a token for /deploy, exactly",
    ),
    plain(
        "DEPLOYER_REPOSITORY",
        Required,
        &[Session],
        "the repository whose workflow may deploy, OWNER/NAME; may be empty with an issuer other than GitHub",
    ),
    plain(
        "DEPLOYER_WORKFLOW_REF",
        Required,
        &[Session],
        "the workflow that may deploy, OWNER/NAME/.github/workflows/FILE@refs/heads/BRANCH, or a comma-separated list \
         of such; may be empty with an issuer other than GitHub",
    ),
    plain(
        "DEPLOYER_REF",
        Text("refs/heads/main"),
        &[Session],
        "the git reference that may deploy, exactly",
    ),
    plain(
        "DEPLOYER_CLAIMS",
        Unset,
        &[Session],
        "further claims that must hold for /deploy, NAME=VALUE,NAME=VALUE; a repeated name means any of these",
    ),
    plain(
        "DEPLOYER_ALLOWED_IPS",
        Required,
        SESSIONS,
        "who may deploy and read run logs: addresses and CIDR ranges, separated by commas",
    ),
    plain(
        "DEPLOYER_STATUS_ALLOWED_IPS",
        Follows("everyone"),
        SESSIONS,
        "who may read the open paths: addresses and CIDR ranges, separated by commas",
    ),
    plain(
        "DEPLOYER_USER",
        Text("65521"),
        &[Front],
        "whom the front becomes: a user's name, or a number for uid and gid",
    ),
    plain(
        "DEPLOYER_FETCH_USER",
        Text("65522"),
        &[Fetch],
        "whom the fetcher becomes: a user's name, or a number for uid and gid",
    ),
    plain(
        "DEPLOYER_MAX_SESSIONS",
        Text("64"),
        SESSIONS,
        "connections not yet admitted, in all",
    ),
    plain(
        "DEPLOYER_MAX_SESSIONS_PER_SOURCE",
        Text("32"),
        SESSIONS,
        "connections not yet admitted, from one address (an IPv6 /64 is one)",
    ),
    plain(
        "DEPLOYER_MAX_FOLLOWERS",
        Text("64"),
        &[Session],
        "callers that follow a run at one time",
    ),
    plain(
        "DEPLOYER_QUEUE_MAX",
        Text("32"),
        &[Session, Run],
        "runs that may wait for their turn",
    ),
    plain(
        "DEPLOYER_QUEUE_MAX_WAIT",
        Text("15m"),
        &[Run],
        "how long a run waits for its turn",
    ),
    plain(
        "DEPLOYER_RUN_MAX",
        Text("15m"),
        &[Run],
        "how long a run may take from its turn on",
    ),
    plain(
        "DEPLOYER_KEEP_RUNS",
        Text("50"),
        &[Run],
        "run folders that are kept",
    ),
    plain(
        "DEPLOYER_STATE_DIR",
        Text("/var/lib/engram-deployer"),
        &[Serve, Session, Run],
        "the lasting state: small, and must survive a loss of power",
    ),
    plain(
        "DEPLOYER_RUNS_DIR",
        Follows("the folder `runs` in DEPLOYER_STATE_DIR"),
        &[Session, Run],
        "the runs' folders with their logs",
    ),
    plain(
        "DEPLOYER_RUNTIME_DIR",
        Text("/run/engram-deployer"),
        &[Serve, Session, Front, Run],
        "locks, the queue and the public files; the same for everything that deploys on this host",
    ),
    plain(
        "DEPLOYER_LOG",
        Text("info"),
        &[Serve, Session, Run],
        "what is logged, in env_logger's syntax",
    ),
    plain(
        "DEPLOYER_NOTIFY_COMMAND",
        Unset,
        &[Run],
        "your executable that is given each run's result on standard input: an absolute path",
    ),
    plain(
        "DEPLOYER_IMAGE",
        Text("ghcr.io/engram-app/engram"),
        &[Run],
        "the image to deploy, without tag or digest",
    ),
    plain(
        "DEPLOYER_CONTAINERS",
        Text("engram-saas=8000,engram-selfhost=8001"),
        &[Run],
        "what to deploy, in this order: NAME=PORT (health at http://localhost:PORT/api/health), NAME=URL \
         (https, or http to loopback), or NAME alone",
    ),
    plain(
        "DEPLOYER_BACKEND",
        Text("unraid"),
        &[Run],
        "how a container is replaced: unraid, docker or command",
    ),
    plain(
        "DEPLOYER_TEMPLATE_DIR",
        Text("/boot/config/plugins/dockerMan/templates-user"),
        &[Run],
        "backend unraid: the folder of the containers' templates",
    ),
    plain(
        "DEPLOYER_CONTAINER_DIR",
        Text("/etc/engram-deployer/containers"),
        &[Run],
        "backend docker: the folder of the containers' declarations",
    ),
    plain(
        "DEPLOYER_COMMAND_PATH",
        Unset,
        &[Run],
        "backend command: your executable; required there",
    ),
    plain(
        "DEPLOYER_PULL",
        Text("off"),
        &[Run],
        "backend command: `on` pulls and tags the image before your executable runs",
    ),
    plain(
        "DEPLOYER_DOCKER_PATH",
        Text("docker"),
        &[Run],
        "the docker client: an absolute path, or a name to look up in PATH",
    ),
    plain(
        "DEPLOYER_UPDATE_CONTAINER_PATH",
        Text("/usr/local/emhttp/plugins/dynamix.docker.manager/scripts/update_container"),
        &[Run],
        "backend unraid: the host's own script that replaces a container",
    ),
    plain(
        "DEPLOYER_UPDATE_MAX_WAIT",
        Text("5m"),
        &[Run],
        "how long update_container, or your executable, may take for one container",
    ),
    plain(
        "DEPLOYER_ROLLBACK",
        Text("on"),
        &[Run],
        "whether a deploy that fails, or was interrupted, is put back: on or off",
    ),
    plain(
        "DEPLOYER_HEALTH_POLL_INTERVAL",
        Text("2s"),
        &[Run],
        "the longest wait between two health probes",
    ),
    plain(
        "DEPLOYER_HEALTH_MAX_WAIT",
        Text("60s"),
        &[Run],
        "how long a container may take to become healthy",
    ),
    plain(
        "DEPLOYER_HEALTH_STEADY",
        Text("10s"),
        &[Run],
        "how long each container must have run without a restart before a deploy counts; not read with backend command",
    ),
    plain(
        "DEPLOYER_HEALTH_EXPECT",
        Text("version"),
        &[Run],
        "what is healthy: version (200, and JSON with the deployed version), status (any 200), or container (Docker's \
         own health state)",
    ),
];

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
            assert!(
                !variable.meaning.is_empty() && !variable.meaning.ends_with('.'),
                "{}",
                variable.name
            );
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
