//! Places where a run can be made to die, for the tests of what a crash leaves behind.
//!
//! Only with the cargo feature `failpoints`; without it [`failpoint!`](crate::failpoint) is nothing at all, this module is
//! not there, and the setting `DEPLOYER_FAILPOINT` is unknown. A place dies by KILL, which nobody can catch: like a power cut,
//! but for the host's own memory. `tests/kill_matrix.rs` has the list of all places.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The chosen place, and the how-manieth visit counts.
static CHOSEN: OnceLock<(String, u32)> = OnceLock::new();

static VISITS: AtomicU32 = AtomicU32::new(0);

/// Chooses the place to die at: `name`, or `name@2` for its second visit.
pub fn choose(setting: &str) {
    let (name, visit) = setting.split_once('@').unwrap_or((setting, "1"));
    let _ = CHOSEN.set((name.to_owned(), visit.parse().unwrap_or(1)));
}

/// Dies here, if this is the place and the visit.
pub fn visit(name: &'static str) {
    let Some((chosen, visit)) = CHOSEN.get() else {
        return;
    };
    if chosen == name && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *visit {
        crate::os::process::signal(crate::os::process::own_pid(), crate::os::signal::Signal::SIGKILL);
        // A KILL to oneself comes before kill(2) returns; nothing after this line is ever reached.
        std::process::abort();
    }
}
