//! The only folder that touches the machine: descriptors, children, locks, files, privileges, signals, the clock.
//!
//! Nothing in here decides anything about a request or a run. Every descriptor made here is close-on-exec; a child
//! gets the ones that are handed to it and no others.

pub mod child;
pub mod clock;
pub mod descriptor;
pub mod disk;
#[cfg(feature = "failpoints")]
pub mod failpoint;
pub mod files;
pub mod lock;
pub mod logging;
#[cfg(feature = "terraform")]
pub mod namespace;
pub mod net;
pub mod notify;
pub mod places;
pub mod poll;
pub mod privilege;
pub mod process;
pub mod random;
pub mod secret;
pub mod settings;
pub mod signal;
pub mod supervisor;
pub mod syslog;
pub mod tree;
pub mod trusted;
pub mod watch;

/// A place where a run can be made to die, for the tests of what a crash leaves behind; nothing at all without the cargo
/// feature `failpoints`.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::os::failpoint::visit($name);
    };
}
