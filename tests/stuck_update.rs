//! [stuck_update] `update_container` that hangs, or does nothing, costs no container and no more time than it is given.

use std::time::{Duration, Instant};

use crate::rollback::Pair;

/// The script may take this long here.
const GIVEN: Duration = Duration::from_secs(3);

/// Deploys with a script that does this wrong, for as long as it lives; everything is as it was, in time.
fn promise(word: &str, expected: &str) {
    let pair = Pair::new("unraid", |setup| {
        setup.set("DEPLOYER_UPDATE_MAX_WAIT", "3s");
    });
    let before = pair.healthy_picture();
    let unraid = pair.host.unraid.as_ref().expect("Unraid's part");
    unraid.behave(word);
    let start = Instant::now();
    let answer = pair.host.deploy("2.0.0");
    let (took, error) = (start.elapsed(), answer.assert_failed());
    assert!(error.contains(expected), "{word}: {error}");
    assert!(error.ends_with("; what was changed is back as it was"), "{error}");
    assert_eq!(pair.picture(), before, "{word}");
    assert!(took < GIVEN + Duration::from_secs(120), "{word}: {took:?}");
    // The one that serves is never shown to the script, so that going back does not need it either.
    assert_eq!(unraid.calls().len(), 1);
}

#[test]
fn a_script_that_hangs_or_does_nothing_costs_no_container() {
    let killed = "update_container was killed, because `update_container ";
    std::thread::scope(|scope| {
        scope.spawn(|| promise("hang", killed));
        scope.spawn(|| promise("hang-removed", killed));
        scope.spawn(|| promise("remove-only", "update_container made no container"));
    });
}
