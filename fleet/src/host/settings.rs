//! What a listener is set to. Nothing in it can be wrong.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::nats::Servers;
use crate::run::{FlakeUrl, Places};
use crate::wire::{Hostname, Role, Subject, Tier};

#[derive(Clone, Debug)]
pub struct Settings {
    pub hostname: Hostname,
    pub tier: Tier,
    pub role: Option<Role>,
    pub servers: Servers,
    pub seed_file: PathBuf,
    pub ca_file: Option<PathBuf>,
    pub flake_url: FlakeUrl,
    pub timeout: Duration,
    pub heartbeat: Duration,
    pub subjects: Vec<Subject>,
    pub discover: Subject,
    pub state: PathBuf,
    /// Whom the network half becomes, where we are root.
    pub user: u32,
    /// Where the metrics are served.
    pub metrics: Option<String>,
    /// Of the tool, and nothing else of ours.
    pub environment: BTreeMap<String, String>,
    pub nixos_rebuild: PathBuf,
    pub nix: PathBuf,
    pub places: Places,
    /// Our own unit: when it has changed after a deploy, we end, so that systemd starts the new one.
    pub unit_file: Option<PathBuf>,
    /// Runs in transient units, where systemd runs.
    pub units: bool,
}
