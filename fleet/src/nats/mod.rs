//! The connection: connect, subscribe, publish; async-nats' events turned into ours. It decides nothing.

mod connect;
mod event;
pub mod seed;

pub use connect::{ConnectArgs, Connection, Patience, Servers, connect, is_nobody};
pub use event::Happened;
pub use seed::Seed;
