//! What a listener is set to. Nothing in it can be wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::limits::{HEARTBEAT_MAX, TIMEOUT_MAX};
use crate::nats::ConnectArgs;
use crate::run::FlakeUrl;
use crate::wire::subject::TEMPLATES;
use crate::wire::{Hostname, Invalid, Role, Subject, Template, Tier, subject};

#[derive(Args)]
pub struct StateArgs {
    /// Folder of runs and ids
    #[arg(long, env = "STATE_DIRECTORY", default_value = "/var/lib/homelab-deploy", value_name = "FOLDER")]
    state_dir: String,
}

impl StateArgs {
    /// systemd names several, joined by colons, where a unit has several.
    pub fn folder(&self) -> &Path {
        Path::new(self.state_dir.split(':').next().unwrap_or_default())
    }
}

#[derive(Args)]
pub struct Settings {
    /// Name of this host in subjects
    #[arg(long)]
    pub hostname: Hostname,
    /// Tier of this host
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
    #[arg(long, default_value_t = 600, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=TIMEOUT_MAX))]
    pub timeout: u64,
    /// Subject to take requests on; <hostname>, <tier> and <role> are replaced; repeatable
    #[arg(long, value_name = "TEMPLATE", default_values = TEMPLATES)]
    deploy_subject: Vec<Template>,
    /// Seconds between two progress messages
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=HEARTBEAT_MAX))]
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
    #[arg(long, default_value = "65524", value_name = "NAME|NUMBER", value_parser = user)]
    pub user: u32,
    /// Variable that nixos-rebuild gets from our environment, besides PATH and proxies; repeatable
    #[arg(long, env = "HOMELAB_DEPLOY_PASS_ENV", value_delimiter = ',', value_name = "NAME")]
    pass_env: Vec<String>,
    /// Our unit's file: when it has changed after a deploy, the listener ends, to be started anew
    #[arg(long, env = "HOMELAB_DEPLOY_UNIT_FILE", value_name = "FILE")]
    pub unit_file: Option<PathBuf>,
    #[arg(long, default_value = "nixos-rebuild", hide = true)]
    pub nixos_rebuild: PathBuf,
    #[arg(long, default_value = "nix", hide = true)]
    pub nix: PathBuf,
    #[arg(long, default_value = "/", hide = true)]
    pub root: PathBuf,
    /// Runs in no transient units, also where systemd runs
    #[arg(long, hide = true)]
    pub no_units: bool,
}

fn user(text: &str) -> Result<u32, Invalid> {
    let number = text.parse().ok().or_else(|| Some(nix::unistd::User::from_name(text).ok()??.uid.as_raw()));
    number.filter(|number| *number != 0).ok_or_else(|| Invalid(format!("user {text:?}: no user of this host, or root")))
}

/// What the tool gets of our environment: enough to find programs, certificates and a proxy.
const PASSED: &str =
    "PATH LOCALE_ARCHIVE NIX_SSL_CERT_FILE SSL_CERT_FILE http_proxy https_proxy ftp_proxy all_proxy no_proxy TZDIR";

impl Settings {
    pub fn subjects(&self) -> Result<Vec<Subject>, Invalid> {
        let discover = &self.connect.discover_subject;
        subject::subjects(&self.deploy_subject, &self.hostname, self.tier, self.role.as_ref(), discover)
    }

    /// The tool's whole environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let names = PASSED.split(' ').chain(self.pass_env.iter().map(String::as_str));
        let mut environment: BTreeMap<String, String> =
            names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
        environment.entry("PATH".to_owned()).or_insert_with(|| "/run/current-system/sw/bin:/usr/bin:/bin".to_owned());
        // git and ssh look for their settings there; a service has none.
        environment.entry("HOME".to_owned()).or_insert_with(|| "/root".to_owned());
        environment
    }

    /// A program as an absolute path: a run looks nothing up.
    pub fn program(&self, name: &Path) -> PathBuf {
        let path = &self.environment()["PATH"];
        let mut found = path.split(':').map(|folder| Path::new(folder).join(name)).filter(|path| path.is_file());
        found.next().filter(|_| name.components().count() == 1).unwrap_or(name.to_owned())
    }
}
