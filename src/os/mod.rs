//! The only folder that touches the machine: descriptors, children, locks, files, privileges, signals, the clock.
//!
//! Nothing in here decides anything about a request or a run. Every descriptor made here is close-on-exec; a child
//! gets the ones that are handed to it and no others.

pub mod child;
pub mod clock;
pub mod descriptor;
pub mod disk;
pub mod files;
pub mod lock;
pub mod logging;
pub mod net;
pub mod places;
pub mod poll;
pub mod privilege;
pub mod process;
pub mod random;
pub mod secret;
pub mod settings;
pub mod signal;
pub mod trusted;
pub mod watch;
