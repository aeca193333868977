//! Settings -> [`Config`]: nothing in a `Config` can be wrong.
//!
//! A [`Settings`] is the raw map, as the environment or an `--env-file` gave it; [`Config::from_settings`] makes sense of
//! all of it or returns every complaint at once. No I/O but reading the environment file: whether a file exists or a
//! program runs is for `check` and for the role that needs it.

mod advice;
mod checks;
mod credential;
mod duration;
mod endpoint;
mod envfile;
mod image;
mod parse;
mod pins;
mod reader;
mod settings;
mod source;
mod table;
mod table_checks;
mod table_terraform;
mod terraform;
mod tf;
mod tf_pins;
mod tf_value;
mod url;
mod value;
mod warnings;

pub use checks::{Checks, Cosign, Downgrade, Login, Revision};
pub use endpoint::{BodyRule, Endpoint, Expected, Job, Pin, RequireSha, TerraformBody};
pub use reader::Complaint;
pub use settings::{FOR_CHILDREN, Settings, SettingsError};
pub use source::{Cidr, SlotKey, Sources, slot_key};
pub use table::{Preset, Reads, Variable, Visibility, variable, variables};
pub use terraform::{
    DEFAULT_MODULE, GithubApp, HealthUrl, Lockfile, Module, RequireDigest, Side, TerraformConfig,
};
pub use url::may_be_fetched;
pub use warnings::{nearest, unknown, warnings};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings, checked: the host's part, and the applications that it deploys. Made only by
/// [`Config::from_settings`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `serve` binds when nobody hands it a socket; the first that can be bound of each family
    /// (`:8443` is `[::]:8443` dual-stack, or `0.0.0.0:8443` where there is no v6).
    pub listen: Listen,
    /// How long `serve` stays without a connection and a run, when its socket is its starter's (`DEPLOYER_IDLE_EXIT`);
    /// `None` is for ever.
    pub idle_exit: Option<Duration>,
    /// Certificate chain, PEM (`DEPLOYER_CERT_FILE`).
    pub cert_file: PathBuf,
    /// Its private key, PEM (`DEPLOYER_KEY_FILE`).
    pub key_file: PathBuf,
    /// Who signs tokens, and where the keys are.
    pub issuer: Issuer,
    /// Who may POST and read run logs (`DEPLOYER_ALLOWED_IPS`).
    pub allowed: Sources,
    /// Who may GET the open paths (`DEPLOYER_STATUS_ALLOWED_IPS`; everyone when unset).
    pub status_allowed: Sources,
    /// The front's user (`DEPLOYER_USER`).
    pub front_user: Account,
    /// The fetcher's user (`DEPLOYER_FETCH_USER`).
    pub fetch_user: Account,
    /// Caps on connections and followers.
    pub caps: Caps,
    /// Bounds on waiting and running.
    pub runs: RunLimits,
    /// Where state lives.
    pub places: Places,
    /// env_logger's filter syntax (`DEPLOYER_LOG`).
    pub log: String,
    /// Who is told of each run's end, if anybody (`DEPLOYER_NOTIFY_COMMAND`).
    pub notify: Option<PathBuf>,
    /// One, for now: that of the main settings.
    pub applications: [Application; 1],
    /// What the terraform endpoints do, where they are configured.
    pub terraform: Option<TerraformConfig>,
    /// Where a run is to be killed (`DEPLOYER_FAILPOINT`): for tests alone.
    #[cfg(feature = "failpoints")]
    pub failpoint: Option<String>,
}

/// One application: who may start its deploy, and what the deploy does.
#[derive(Clone, Debug)]
pub struct Application {
    /// `/deploy`.
    pub endpoint: Endpoint,
    pub deploy: DeployConfig,
}

/// `DEPLOYER_ADDR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `:PORT`: every address of both families.
    Everywhere(u16),
    /// `HOST:PORT` with a literal address.
    At(SocketAddr),
}

/// As `DEPLOYER_ADDR` writes it.
impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Listen::Everywhere(port) => write!(f, ":{port}"),
            Listen::At(address) => write!(f, "{address}"),
        }
    }
}

/// The token issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Equal to a token's `iss`, byte for byte (`DEPLOYER_ISSUER`).
    pub name: String,
    /// https, or http to loopback (`DEPLOYER_JWKS_URL`).
    pub jwks_url: String,
    /// PEM of the authorities to trust instead of the built-in roots (`DEPLOYER_CA_FILE`).
    pub ca_file: Option<PathBuf>,
}

/// A user to become: a name is looked up by the role that needs it; a number is uid and gid.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Account {
    /// uid and gid.
    Id(u32),
    /// A name of the host's user database.
    Name(String),
}

/// Caps on connections that are not yet admitted, and on followers.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// All sources together.
    pub sessions: u32,
    /// One source.
    pub sessions_per_source: u32,
    /// Followers of runs.
    pub followers: u32,
}

/// Bounds on runs.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits {
    /// Waiting runs.
    pub queue_max: u32,
    /// How long a run waits for its turn.
    pub queue_max_wait: Duration,
    /// How long it may take from its turn on.
    pub run_max: Duration,
    /// Run folders kept.
    pub keep: u32,
}

/// The folders of DESIGN section 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Small and lasting (`DEPLOYER_STATE_DIR`).
    pub state: PathBuf,
    /// Run folders (`DEPLOYER_RUNS_DIR`).
    pub runs: PathBuf,
    /// Locks, slots and the public folder (`DEPLOYER_RUNTIME_DIR`).
    pub runtime: PathBuf,
}

impl Places {
    /// What front may read: its root folder.
    pub fn public(&self) -> PathBuf {
        self.runtime.join("public")
    }

    /// Held connections.
    pub fn slots(&self) -> PathBuf {
        self.runtime.join("slots")
    }

    /// Logins of pulls that are under way: a folder for each, gone with the pull.
    pub fn logins(&self) -> PathBuf {
        self.runtime.join("login")
    }

    /// Tickets of runs.
    pub fn queue(&self) -> PathBuf {
        self.runtime.join("queue")
    }
}

/// What `/deploy` does.
#[derive(Clone, Debug)]
pub struct DeployConfig {
    /// Without a tag (`DEPLOYER_IMAGE`).
    pub image: String,
    /// In the order of the deploy (`DEPLOYER_CONTAINERS`).
    pub containers: Vec<Container>,
    /// How a container is replaced.
    pub backend: Backend,
    /// The docker client (`DEPLOYER_DOCKER_PATH`).
    pub docker: PathBuf,
    /// What docker and the operator's command find in their environment; nothing else reaches them.
    pub environment: Vec<(String, String)>,
    /// How health is judged.
    pub health: HealthConfig,
    /// How long `update_container`, or the operator's executable, may take for one container
    /// (`DEPLOYER_UPDATE_MAX_WAIT`).
    pub update_max_wait: Duration,
    /// What becomes of a deploy that fails (`DEPLOYER_ROLLBACK`).
    pub rollback: Rollback,
    /// What must hold before anything is touched.
    pub checks: Checks,
    /// How docker logs in for the pull, if it does.
    pub login: Option<Login>,
    /// Versions of the image that stay on the host (`DEPLOYER_KEEP_IMAGES`).
    pub keep_images: u32,
}

/// One container to deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Docker's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
    pub name: String,
    /// Where its health is asked for, if anywhere.
    pub health_url: Option<String>,
}

/// `DEPLOYER_BACKEND` with what each needs.
#[derive(Clone, Debug)]
pub enum Backend {
    /// Rewrite the template, run Unraid's script, prove by inspection.
    Unraid {
        /// `DEPLOYER_TEMPLATE_DIR`.
        templates: PathBuf,
        /// `DEPLOYER_UPDATE_CONTAINER_PATH`.
        update_container: PathBuf,
    },
    /// Create from a declaration, swap by names.
    Docker {
        /// `DEPLOYER_CONTAINER_DIR`.
        declarations: PathBuf,
    },
    /// The operator's executable.
    Command {
        /// `DEPLOYER_COMMAND_PATH`.
        program: PathBuf,
        /// `DEPLOYER_PULL=on`: pull and tag before it.
        pull: bool,
    },
}

/// `DEPLOYER_ROLLBACK`: what becomes of a deploy that fails, or was interrupted, after it has changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollback {
    /// Everything goes back to what it was.
    On,
    /// It stays as it is; somebody wants to look at it.
    Off,
}

/// How a container's health is judged.
#[derive(Clone, Copy, Debug)]
pub struct HealthConfig {
    /// The longest wait between two probes.
    pub poll_interval: Duration,
    /// How long a container may take to become healthy.
    pub max_wait: Duration,
    /// How long a container must have run without a restart before the deploy counts (`DEPLOYER_HEALTH_STEADY`).
    pub steady: Duration,
    /// What counts.
    pub expect: HealthExpect,
}

/// `DEPLOYER_HEALTH_EXPECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthExpect {
    /// 200 with JSON whose `version` is the one deployed.
    Version,
    /// Any 200.
    Status,
    /// Docker's own health state; without a HEALTHCHECK: running, not restarting, for a while.
    Container,
}
