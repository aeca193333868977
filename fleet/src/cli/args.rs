//! The command line. Each value is checked where it is read: a wrong one ends with exit status 2.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::host::{Settings, StateArgs};
use crate::limits::{DEPLOY_SECONDS, TIMEOUT_MAX};
use crate::mcp::Limits;
use crate::nats::ConnectArgs;
use crate::wire::{Action, Hostname, Revision, RunId, Tier};

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

#[derive(Subcommand)]
pub enum Command {
    /// Take requests on this host (a service)
    Listener(Box<Settings>),
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
    Check(Box<Settings>),
    /// Reject deploys on this host until they are released
    Hold(HoldArgs),
    /// Take deploys on this host again
    Release(StateArgs),
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
    /// What nixos-rebuild does
    #[arg(long, env = "HOMELAB_DEPLOY_ACTION", default_value = "switch")]
    pub action: Action,
    /// Seconds to wait for responses
    #[arg(long, env = "HOMELAB_DEPLOY_TIMEOUT", default_value_t = DEPLOY_SECONDS, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MAX))]
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
    #[command(flatten)]
    pub limits: Limits,
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
