//! `serve`: the role that listens and keeps one warm session waiting; and the sockets that a supervisor passes.

mod listen_fds;
mod notify_status;
mod reload;
pub mod serve;
mod warm_session;

pub use listen_fds::{Inherited, inherited};
