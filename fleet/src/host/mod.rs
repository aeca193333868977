//! The listener: a keeper (root, no network) and a network half (no privileges). What the keeper decides is in `admission`,
//! without I/O and clock.

mod active;
pub mod admission;
mod half;
pub mod hold;
mod keeper;
mod link;
mod metrics;
mod metrics_server;
mod network;
mod settings;
mod unit;

pub use half::half;
pub use keeper::listen;
pub use settings::{Settings, StateArgs};
