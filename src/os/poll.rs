//! Waiting: every wait of every role is one poll(2).

use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{POLLIN, POLLOUT};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// What to wait for on a descriptor.
#[derive(Clone, Copy)]
#[repr(i16)]
pub enum For {
    /// Bytes, a connection, end of file.
    Reading = POLLIN,
    /// Room to write, or an error that a write would show.
    Writing = POLLOUT,
    /// Either.
    Both = POLLIN | POLLOUT,
    /// Only that the other end is gone.
    HangUp = 0,
}

/// What a wait found out about one descriptor.
#[derive(Clone, Copy)]
pub struct Ready(PollFlags);

impl Ready {
    /// Anything at all: what was waited for, or a hang-up.
    pub fn any(self) -> bool {
        !self.0.is_empty()
    }

    /// A write will not wait.
    pub fn writing(self) -> bool {
        self.0.contains(PollFlags::POLLOUT)
    }

    /// The other end is gone, or the descriptor is in error. A read does not wait then: it returns what is left.
    pub fn hung_up(self) -> bool {
        self.0
            .intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL)
    }
}

/// Waits until one of `sources` is ready or `until` has come; `None` waits without end. The answer has one entry for
/// each source, in order.
pub fn wait<const N: usize>(
    sources: [(BorrowedFd<'_>, For); N],
    until: Option<Instant>,
) -> io::Result<[Ready; N]> {
    let ready = wait_for_any(&sources, until)?;
    Ok(std::array::from_fn(|at| ready[at]))
}

/// The same for as many sources as there happen to be.
pub fn wait_for_any(sources: &[(BorrowedFd<'_>, For)], until: Option<Instant>) -> io::Result<Vec<Ready>> {
    let mut polled: Vec<_> = sources
        .iter()
        .map(|(descriptor, what)| PollFd::new(*descriptor, PollFlags::from_bits_truncate(*what as i16)))
        .collect();
    while let Err(error) = poll(&mut polled, timeout(until)) {
        if error != Errno::EINTR {
            return Err(error.into());
        }
    }
    let found = |one: &PollFd| Ready(one.revents().unwrap_or(PollFlags::empty()));
    Ok(polled.iter().map(found).collect())
}

fn timeout(until: Option<Instant>) -> PollTimeout {
    let Some(until) = until else {
        return PollTimeout::NONE;
    };
    // Rounded up, so that a wait never ends a fraction before its time and spins.
    let left = until.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX)
}
