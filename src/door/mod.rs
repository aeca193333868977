//! How a connection reaches us, and `serve`: the role that keeps one warm session waiting.

mod reload;
pub mod serve;
mod warm;
