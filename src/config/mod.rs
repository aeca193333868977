//! Settings -> [`Config`]: nothing in a `Config` can be wrong.
//!
//! A [`Settings`] is the raw map, as the environment or an `--env-file` gave it; [`Config::from_settings`] makes sense of
//! all of it or returns every complaint at once. No I/O but reading the environment file: whether a file exists or a
//! program runs is for `check` and for the role that needs it.

mod advice;
mod deploy;
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
#[cfg(feature = "terraform")]
mod terraform;
mod url;
mod value;
mod warnings;

pub use deploy::{Backend, Container, Cosign, DeployConfig, HealthExpect, Login, Revision};
pub use endpoint::{BodyRule, DEFAULT_MODULE, Endpoint, Expected, Job, Pin, TerraformBody};
pub use settings::{FOR_CHILDREN, Settings};
pub use source::{Sources, slot_key};
pub use table::{Preset, SECTIONS, Scope, Variable, is_secret, preset, variables};
#[cfg(feature = "terraform")]
pub use terraform::{GithubApp, HealthUrl, Module, Side, TerraformConfig};
pub use url::may_be_fetched;
pub use warnings::{nearest, warnings};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings, checked: the host's part, and the applications that it deploys. Made only by
/// [`Config::from_settings`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Where `serve` binds when no socket is passed in; the first that can be bound of each family
    /// (`:8443` is `[::]:8443` dual-stack, or `0.0.0.0:8443` where there is no v6).
    pub listen: Listen,
    /// How long `serve` stays without a connection and a run under socket activation (`DEPLOYER_IDLE_EXIT`);
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
    /// The front's user (`DEPLOYER_USER`): a name is looked up by the role that needs it; a number is uid and gid.
    pub front_user: String,
    /// The fetcher's user (`DEPLOYER_FETCH_USER`).
    pub fetch_user: String,
    /// Caps on connections and followers.
    pub caps: Caps,
    /// Bounds on waiting and running.
    pub runs: RunLimits,
    /// Where state lives.
    pub places: Places,
    /// env_logger's filter syntax (`DEPLOYER_LOG`).
    pub log: String,
    /// What gets each run's result, if anything (`DEPLOYER_NOTIFY_COMMAND`).
    pub notify: Option<PathBuf>,
    /// One, for now: that of the main settings.
    pub applications: [Application; 1],
    /// What the terraform endpoints do, where they are configured.
    #[cfg(feature = "terraform")]
    pub terraform: Option<TerraformConfig>,
    /// Where a run is to be killed (`DEPLOYER_FAILPOINT`): for tests alone.
    #[cfg(feature = "failpoints")]
    pub failpoint: Option<String>,
}

/// A daemon for deploys alone has no modules, and offers no plan.
#[cfg(not(feature = "terraform"))]
impl Config {
    pub fn module_names(&self) -> Vec<String> {
        Vec::new()
    }

    pub fn no_plan(&self) -> Option<String> {
        None
    }

    pub fn without_plan(self, _why: &str) -> Config {
        self
    }
}

impl Config {
    /// What a deploy of the one application does.
    pub fn deploy(&self) -> &DeployConfig {
        &self.applications[0].deploy
    }

    /// What can be asked for with a token.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        let endpoints = self.applications.iter().map(|one| &one.endpoint);
        #[cfg(feature = "terraform")]
        let endpoints = endpoints.chain(self.terraform.iter().flat_map(|terraform| &terraform.endpoints));
        endpoints
    }

    /// Who the roles run as, with the variable of each; root is left out.
    pub fn users(&self) -> Vec<(&'static str, &String)> {
        let users = [
            ("DEPLOYER_USER", &self.front_user),
            ("DEPLOYER_FETCH_USER", &self.fetch_user),
        ];
        let users = users.into_iter();
        #[cfg(feature = "terraform")]
        let users = users.chain(self.terraform.iter().flat_map(TerraformConfig::users));
        users.collect()
    }

    /// The endpoint called `name`.
    pub fn endpoint_named(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints().find(|endpoint| endpoint.name == name)
    }
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

impl Default for Listen {
    fn default() -> Listen {
        Listen::Everywhere(0)
    }
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
#[derive(Clone, Debug, PartialEq)]
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
