//! `recover`: has the dead runs completed, and waits until they are.

use crate::cli::arguments::Arguments;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::settings_source;
use crate::os::places;
use crate::queue::{await_recovery, ensure_recovered};

/// Starts the role that completes them, as any other finder of a dead run would, and waits for its end.
///
/// # Errors
/// When it cannot be started.
pub fn recover(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let loaded = settings_source::load(arguments.env_file())?;
    places::prepare(&loaded.config.places)?;
    let mut were_dead = false;
    loop {
        // Whoever finds somebody at it leaves it to them, and so would the one that is started here.
        await_recovery(&loaded.config.places)?;
        let Some(mut completer) = ensure_recovered(&loaded.config.places, &loaded.settings)? else {
            break;
        };
        were_dead = true;
        let exit = completer.wait()?;
        if !exit.is_success() {
            output::complain(&format!(
                "completing the dead runs ended with {exit}; the log says why"
            ));
            return Ok(ExitStatus::Failed);
        }
    }
    output::print(match were_dead {
        true => "the dead runs are completed; `engram-deployer runs` lists them\n",
        false => "no run is dead\n",
    })
}
