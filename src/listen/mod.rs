//! `serve`: the role that listens and keeps one warm session waiting.

mod notify_status;
mod reload;
pub mod serve;
mod warm_session;
