//! Places where a run can be made to die, for the tests of what a crash leaves behind.
//!
//! Only with the cargo feature `failpoints`; without it [`failpoint!`](crate::failpoint) is nothing at all, this module is
//! not there, and the setting `DEPLOYER_FAILPOINT` is unknown. A place dies by KILL, which nobody can catch: like a power cut, but for the
//! host's own memory. The list is data, so that a test can say which place it never came to.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a place is on the way to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the new version: a deploy that would succeed comes by.
    Forward,
    /// Back to the old one: a deploy that fails comes by.
    Back,
}

/// Every place: its name, which backends come by (`unraid`, `docker`, or both), on which way.
pub const PLACES: &[(&str, &[&str], Way)] = {
    use Way::{Back, Forward};
    const UNRAID: &[&str] = &["unraid"];
    const DOCKER: &[&str] = &["docker"];
    const BOTH: &[&str] = &["unraid", "docker"];
    &[
        ("journal-begun", BOTH, Forward),
        ("tag-noted", BOTH, Forward),
        ("tagged", BOTH, Forward),
        ("container-noted", BOTH, Forward),
        ("template-written", UNRAID, Forward),
        ("created", DOCKER, Forward),
        ("old-renamed", BOTH, Forward),
        ("script-at-work", UNRAID, Forward),
        ("script-ended", UNRAID, Forward),
        ("next-renamed", DOCKER, Forward),
        ("old-policy-cleared", BOTH, Forward),
        ("old-stopped", BOTH, Forward),
        ("new-started", BOTH, Forward),
        ("healthy", BOTH, Forward),
        ("before-settled", BOTH, Forward),
        ("settled", BOTH, Forward),
        ("old-removed", BOTH, Forward),
        ("before-result", BOTH, Forward),
        ("result-written", BOTH, Forward),
        ("published", BOTH, Forward),
        ("journal-ended", BOTH, Forward),
        ("going-back", BOTH, Back),
        ("template-restored", UNRAID, Back),
        ("new-removed", BOTH, Back),
        ("old-renamed-back", BOTH, Back),
        ("old-policy-back", BOTH, Back),
        ("old-started-again", BOTH, Back),
        ("container-back", BOTH, Back),
        ("tag-back", BOTH, Back),
        ("gone-back", BOTH, Back),
    ]
};

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
    debug_assert!(
        PLACES.iter().any(|(place, _, _)| *place == name),
        "{name} is not listed"
    );
    let Some((chosen, visit)) = CHOSEN.get() else {
        return;
    };
    if chosen == name && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *visit {
        crate::os::process::signal(crate::os::process::own_pid(), crate::os::signal::Signal::SIGKILL);
        // A KILL to oneself comes before kill(2) returns; nothing after this line is ever reached.
        std::process::abort();
    }
}
