//! The command line. Each value is checked where it is read: a wrong one ends with exit status 2.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::fleet::Access;
use crate::limits::{APPROVAL_WAIT, MCP_PATIENCE};
use crate::nats::{Seed, Servers};
use crate::os::log;
use crate::run::FlakeUrl;
use crate::wire::subject::{DISCOVER, TEMPLATES};
use crate::wire::{Action, Hostname, Invalid, Revision, Role, RunId, Subject, Template, Tier};

/// Deploys every NixOS host of a homelab over NATS.
#[derive(Parser)]
#[command(name = "homelab-deploy", version)]
pub struct Cli {
    /// Log more
    #[arg(long, global = true)]
    pub debug: bool,
    #[command(subcommand)]
    pub command: Command,
}

pub fn command() -> clap::Command {
    Cli::command()
}

#[derive(Subcommand)]
pub enum Command {
    /// Take requests on this host (a service)
    Listener(Box<ListenerArgs>),
    /// Deploy to a subject or an alias
    Deploy(Box<DeployArgs>),
    /// Offer the deploy tools to an assistant, over standard input and output
    Mcp(McpArgs),
    /// Show which hosts are there
    ListHosts(ListArgs),
    /// Show what each host last did, or how a deploy ended
    Status(StatusArgs),
    /// Make a user's key, or print the public key of a seed
    Keygen(KeygenArgs),
    /// Try what this host's listener needs: seed, server and permissions
    Check(Box<ListenerArgs>),
    /// Reject deploys on this host until they are released
    Hold(HoldArgs),
    /// Take deploys on this host again
    Release(StateArgs),
}

#[derive(Args)]
pub struct ConnectArgs {
    /// NATS servers, joined by commas: nats://host:4222, tls://host:4222
    #[arg(long, env = "HOMELAB_DEPLOY_NATS_URL", value_name = "URL")]
    pub nats_url: Servers,
    /// File with the NKey seed
    #[arg(long, env = "HOMELAB_DEPLOY_NKEY_FILE", value_name = "FILE")]
    pub nkey_file: PathBuf,
    /// PEM file with the certificates that may have signed the server's
    #[arg(long, env = "HOMELAB_DEPLOY_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Subject of discovery
    #[arg(long, default_value = DISCOVER, value_name = "SUBJECT")]
    pub discover_subject: Subject,
    /// Take answers below deploy.responses.NAME: for servers that give each deployer subjects of its own
    #[arg(long, env = "HOMELAB_DEPLOY_RESPONSES", value_name = "NAME")]
    pub responses: Option<Role>,
}

impl ConnectArgs {
    /// Reads the seed.
    pub fn access(&self) -> Result<Access, Invalid> {
        access(&self.nkey_file, self)
    }
}

/// Access with another seed than the first one.
pub fn access(file: &std::path::Path, connect: &ConnectArgs) -> Result<Access, Invalid> {
    let (seed, warning) = Seed::read(file)?;
    warning.iter().for_each(|text| log::line(text));
    Ok(Access {
        servers: connect.nats_url.clone(),
        seed,
        ca_file: connect.ca_file.clone(),
        discover: connect.discover_subject.clone(),
        responses: connect.responses.clone(),
    })
}

#[derive(Args)]
pub struct StateArgs {
    /// Folder of runs and ids
    #[arg(long, env = "STATE_DIRECTORY", default_value = "/var/lib/homelab-deploy", value_name = "FOLDER")]
    state_dir: String,
}

impl StateArgs {
    /// systemd names several, joined by colons, where a unit has several.
    pub fn folder(&self) -> PathBuf {
        PathBuf::from(self.state_dir.split(':').next().unwrap_or_default())
    }
}

#[derive(Args)]
pub struct ListenerArgs {
    /// Name of this host in subjects
    #[arg(long)]
    pub hostname: Hostname,
    /// test or prod
    #[arg(long)]
    pub tier: Tier,
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Flake that nixos-rebuild builds, without ref and rev: git+https://host/configs.git
    #[arg(long, value_name = "URL")]
    pub flake_url: FlakeUrl,
    /// Role of this host in subjects
    #[arg(long)]
    pub role: Option<Role>,
    /// Seconds that a deploy may take
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// Subject to take requests on; <hostname>, <tier> and <role> are replaced; repeatable
    #[arg(long, value_name = "TEMPLATE", default_values = TEMPLATES)]
    pub deploy_subject: Vec<Template>,
    /// Seconds between two progress messages
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub heartbeat_interval: u64,
    /// Serve metrics over HTTP
    #[arg(long)]
    pub metrics_enabled: bool,
    /// Where the metrics are served
    #[arg(long, default_value = ":9972", value_name = "ADDRESS")]
    pub metrics_addr: String,
    #[command(flatten)]
    pub state: StateArgs,
    /// User of the network half where this runs as root
    #[arg(long, default_value = "65524", value_name = "NAME|NUMBER")]
    pub user: String,
    /// Variable that nixos-rebuild gets from our environment, besides PATH and proxies; repeatable
    #[arg(long, env = "HOMELAB_DEPLOY_PASS_ENV", value_delimiter = ',', value_name = "NAME")]
    pub pass_env: Vec<String>,
    /// Our unit's file: when it has changed after a deploy, the listener ends, to be started anew
    #[arg(long, env = "HOMELAB_DEPLOY_UNIT_FILE", value_name = "FILE")]
    pub unit_file: Option<PathBuf>,
    #[arg(long, default_value = "nixos-rebuild", hide = true)]
    pub nixos_rebuild: PathBuf,
    #[arg(long, default_value = "nix", hide = true)]
    pub nix: PathBuf,
    #[arg(long, default_value = "/", hide = true)]
    pub root: PathBuf,
    #[arg(long, hide = true)]
    pub no_units: bool,
}

#[derive(Args)]
pub struct DeployArgs {
    /// A subject (deploy.prod.myhost), or an alias: NAME stands for HOMELAB_DEPLOY_ALIAS_<NAME>
    pub target: String,
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Branch, tag or commit
    #[arg(long, env = "HOMELAB_DEPLOY_BRANCH", default_value = "master", value_name = "REVISION")]
    pub branch: Revision,
    /// Branch that a commit is on: nix fetches it by that
    #[arg(long, value_name = "BRANCH")]
    pub on_branch: Option<Revision>,
    /// switch, boot, test or dry-activate
    #[arg(long, env = "HOMELAB_DEPLOY_ACTION", default_value = "switch")]
    pub action: Action,
    /// Seconds to wait for responses
    #[arg(long, env = "HOMELAB_DEPLOY_TIMEOUT", default_value_t = 900, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
    /// File of the hosts that must be there: lines of `hostname tier role|- [public key]`
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    /// Hosts that must be there, joined by commas
    #[arg(long, value_delimiter = ',', value_name = "HOSTS", conflicts_with = "hosts")]
    pub expect: Vec<Hostname>,
    /// Host that may be away; repeatable
    #[arg(long, value_delimiter = ',', value_name = "HOSTS")]
    pub optional: Vec<Hostname>,
    /// Every host may be away
    #[arg(long)]
    pub skip_offline: bool,
    /// Seconds that discovery may take
    #[arg(long, default_value_t = 3.0, value_name = "SECONDS", value_parser = seconds)]
    pub discover_wait: f64,
    /// Seconds until a host that has not accepted is unreachable
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS", value_parser = seconds)]
    pub accept_wait: f64,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
}

/// 0.1 to 60.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=60.0).contains(seconds));
    seconds.ok_or_else(|| "0.1 to 60 seconds".to_owned())
}

#[derive(Args)]
pub struct McpArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Offer deploy_admin, for all tiers
    #[arg(long, requires = "admin_nkey_file")]
    pub enable_admin: bool,
    /// File with the NKey seed for all tiers
    #[arg(long, value_name = "FILE")]
    pub admin_nkey_file: Option<PathBuf>,
    /// Offer no tool that deploys
    #[arg(long)]
    pub read_only: bool,
    /// Branches, tags and commits that may be deployed; `*` stands for any letters; repeatable
    #[arg(long, value_name = "GLOB")]
    pub allow_branch: Vec<String>,
    /// Hosts that one deploy may reach
    #[arg(long, value_name = "NUMBER")]
    pub max_hosts: Option<usize>,
    /// Refuse deploy_admin to clients that cannot ask a person
    #[arg(long)]
    pub require_approval: bool,
    #[arg(long, default_value_t = APPROVAL_WAIT.as_secs(), hide = true)]
    pub approval_wait: u64,
    #[arg(long, default_value_t = MCP_PATIENCE.as_secs(), hide = true)]
    pub patience: u64,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Only hosts of this tier
    #[arg(long)]
    pub tier: Option<Tier>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct StatusArgs {
    /// The deploy's id, as `deploy` prints it
    pub id: Option<RunId>,
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct KeygenArgs {
    /// Where the seed is written; with --public, where it is
    pub file: PathBuf,
    /// Print the public key of a seed that is there
    #[arg(long)]
    pub public: bool,
}

#[derive(Args)]
pub struct HoldArgs {
    /// Why
    #[arg(long, default_value = "no reason was given", value_name = "TEXT")]
    pub reason: String,
    #[command(flatten)]
    pub state: StateArgs,
}

/// The subject that an argument of `deploy` stands for.
pub fn target(text: &str) -> Result<crate::wire::Target, Invalid> {
    if text.contains('.') {
        return text.parse();
    }
    let name = format!("HOMELAB_DEPLOY_ALIAS_{}", text.to_uppercase().replace('-', "_"));
    match std::env::var(&name) {
        Ok(value) if value.contains('.') => {
            value.parse().map_err(|why: Invalid| Invalid(format!("{name} holds {value:?}: {}", why.0)))
        }
        Ok(value) => Err(Invalid(format!("{name} holds {value:?}, which is no subject"))),
        Err(_) => Err(Invalid(format!("{text:?} has no dot, and there is no alias of that name: {name} is not set"))),
    }
}

impl McpArgs {
    pub fn settings(self) -> Result<crate::mcp::Settings, Invalid> {
        let tests = self.connect.access()?;
        let admin = match (&self.admin_nkey_file, self.enable_admin) {
            (Some(file), true) => Some(access(file, &self.connect)?),
            _ => None,
        };
        Ok(crate::mcp::Settings {
            tests,
            admin,
            read_only: self.read_only,
            allow_branch: self.allow_branch,
            max_hosts: self.max_hosts,
            require_approval: self.require_approval,
            approval_wait: Duration::from_secs(self.approval_wait),
            patience: Duration::from_secs(self.patience),
        })
    }
}
