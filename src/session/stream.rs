//! A run's log as a caller's stream: the lines as they come, and a heartbeat while there are none.

use std::io;
use std::time::{Instant, SystemTime};

use crate::event::{Event, Phase, to_line};
use crate::limits::{HEARTBEAT, RETRY};
use crate::os::clock;
use crate::os::poll::{self, For};
use crate::queue::{Followed, Follower};
use crate::session::front_link::FrontLink;
use crate::session::slots::Slot;

/// Streams the run that `follower` follows, to its end or the caller's. The run notices neither.
///
/// # Errors
/// The caller is gone, or the log cannot be read.
pub fn stream(front: &mut FrontLink, mut follower: Follower, _held: Slot) -> io::Result<()> {
    front.begin(follower.run_id().as_str())?;
    let mut last = Instant::now();
    loop {
        match follower.next_line()? {
            Followed::Line(line) => {
                front.line(line)?;
                last = Instant::now();
            }
            Followed::Ended => return front.end(),
            Followed::NothingYet if last.elapsed() >= HEARTBEAT => {
                front.line(heartbeat())?;
                last = Instant::now();
            }
            Followed::NothingYet => {
                front.flush()?;
                wait(front, &follower, last + HEARTBEAT)?;
            }
        }
    }
}

/// Until there may be more, or the caller is gone.
fn wait(front: &mut FrontLink, follower: &Follower, until: Instant) -> io::Result<()> {
    // A change is seen at once; the retry is for what inotify did not say, a dead run among it.
    let until = until.min(Instant::now() + RETRY);
    let changes = follower
        .descriptor()
        .map_or((front.descriptor(), For::HangUp), |changes| {
            (changes, For::Reading)
        });
    let [caller, _] = poll::wait([(front.descriptor(), For::Reading), changes], Some(until))?;
    if caller.any() { front.check_quiet() } else { Ok(()) }
}

fn heartbeat() -> String {
    let event = Event {
        phase: Phase::Heartbeat,
        message: "still at work".into(),
        time: clock::rfc3339(SystemTime::now()),
        run_id: None,
    };
    to_line(&event)
}
