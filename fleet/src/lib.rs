//! Deploys every host over NATS. In reading order: the words (`limits`, `wire`), the deployer's decisions (`rollout`),
//! the machine (`os`), the connection (`nats`), one deploy on this host (`run`), the listener (`host`), watching a
//! deploy (`fleet`), the tools for assistants (`mcp`), the commands (`cli`).

pub mod cli;
pub mod fleet;
pub mod host;
pub mod limits;
pub mod mcp;
pub mod nats;
pub mod os;
pub mod rollout;
pub mod run;
pub mod wire;
