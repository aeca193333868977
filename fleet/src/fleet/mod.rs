//! Watching a deploy: the deployer's decisions on a real connection and a real clock. For the command line and the MCP server.

mod ask;
mod inventory;
mod watch;

pub use ask::ask;
pub use inventory::{Inventory, Member};
pub use watch::{Order, watch};

use std::path::PathBuf;

use crate::nats::{self, Connection, Failure, Patience, Seed, Servers};
use crate::wire::{Role, Subject};

/// How a deployer connects.
#[derive(Clone, Debug)]
pub struct Access {
    pub servers: Servers,
    pub seed: Seed,
    pub ca_file: Option<PathBuf>,
    pub discover: Subject,
    /// The token below which hosts answer this deployer, where the server's permissions ask for one.
    pub responses: Option<Role>,
}

impl Access {
    pub async fn connect(&self) -> Result<Connection, Failure> {
        nats::connect(&self.servers, &self.seed, self.ca_file.as_ref(), Patience::Deployer, "homelab-deploy").await
    }
}
