//! A pull-based deploy daemon. The modules stand in reading order; imports point up this list and never down.
//!
//! ```text
//! bytes -> Head -> Request -> Unverified -> Signed -> Claimed -> Permitted -> Grant      (session: gate/)
//!       -> run folder + ticket -> turn -> Step, Step, Step -> Event, Event -> log         (runner)
//!                                                      log -> follow -> chunked stream    (session -> front)
//!                                                      Outcome -> record -> public status
//! ```

// Words.
pub mod checked_text;
pub mod event;
pub mod hash;
pub mod limits;
pub mod secret;
// Bytes in, facts out; no I/O.
pub mod config;
pub mod http;
pub mod jwt;
pub mod link;
// The machine.
pub mod os;
// What a request needs.
pub mod fetch;
pub mod gate;
pub mod queue;
// What a run does.
pub mod deploy;
#[cfg(feature = "terraform")]
pub mod jail;
pub mod run;
pub mod runner;
#[cfg(feature = "terraform")]
pub mod terraform;
// One connection.
pub mod front;
pub mod session;
// How it starts.
pub mod cli;
pub mod listen;
