//! Completing dead runs without a run of one's own.

use std::io;
use std::time::Instant;

use crate::config::Config;
use crate::os::{lock, process};
use crate::queue::dead::{RECOVERY_WAITS, recovering, something_died};
use crate::run::interrupts::Interrupts;
use crate::runner::complete::Completer;
use crate::runner::notice;
use crate::runner::turn::{self, Waited};

/// The role behind [`crate::queue::ensure_recovered`], and `engram-deployer recover`: waits for the turn and completes what is dead.
/// One at a time: a second one has nothing to do.
///
/// # Errors
/// Those of the machine, and what kept a dead run from being completed.
pub fn recover(config: &Config) -> io::Result<()> {
    process::leave_session()?;
    let mut interrupts = Interrupts::block()?;
    let places = &config.places;
    // Again after letting go: a run may have died just after the last look, when its finder met our lock.
    while something_died(places)? {
        let Some(_alone) = lock::try_exclusive(&recovering(places))? else {
            return Ok(());
        };
        let until = Instant::now() + RECOVERY_WAITS;
        let _turn = match turn::wait(places, 0, &mut interrupts, until, &mut |_| {})? {
            Waited::Turn(turn) => turn,
            Waited::Cancelled => return Err(io::Error::other("asked to end before its turn came")),
            Waited::TooLong(ahead) => return Err(io::Error::other(format!("waited too long for {ahead}"))),
        };
        let say = &mut |what: &str| log::info!("{what}");
        let mut completer = Completer {
            config,
            interrupts: &mut interrupts,
            say,
            tell: &mut |record| notice::tell(config, record),
        };
        completer
            .complete_all()
            .map_err(|failure| io::Error::other(failure.to_string()))?;
    }
    Ok(())
}
