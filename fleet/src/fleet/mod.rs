//! Watching a deploy: the deployer's decisions on a real connection and a real clock. For the command line and the MCP server.

mod ask;
mod inventory;
mod watch;

pub use ask::ask;
pub use inventory::Inventory;
pub use watch::watch;

use std::path::Path;

use crate::nats::{self, ConnectArgs, Connection, Patience, Seed};
use crate::os::Exit;
use crate::os::clock::random;
use crate::wire::{Invalid, ReplyTo, RunId};

/// How a deployer connects, and with which key.
#[derive(Clone)]
pub struct Access {
    pub args: ConnectArgs,
    pub seed: Seed,
}

impl Access {
    pub fn of(args: &ConnectArgs, seed_file: &Path) -> Result<Self, Invalid> {
        Ok(Access { args: args.clone(), seed: Seed::read(seed_file)? })
    }

    pub async fn connect(&self) -> Result<Connection, Exit> {
        let ConnectArgs { nats_url, ca_file, .. } = &self.args;
        nats::connect(nats_url, &self.seed, ca_file.as_ref(), Patience::Deployer, "homelab-deploy").await
    }

    /// A fresh subject for answers.
    fn reply_to(&self) -> ReplyTo {
        ReplyTo::of(&RunId::from_random(random()), self.args.responses.as_ref())
    }
}
