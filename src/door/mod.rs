//! How a connection reaches us, and `serve`: the role that keeps one warm session waiting.

mod duty;
mod opening;
mod reload;
pub mod serve;
mod warm;

pub use opening::{Door, NoDoor, find};
