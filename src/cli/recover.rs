//! `recover`: has the dead runs completed, and waits until they are.

use std::path::Path;

use crate::cli::given;
use crate::cli::help::Exit;
use crate::cli::out::{self, Trouble};
use crate::os::places;
use crate::queue::{await_recovery, ensure_recovered};

/// Starts the role that completes them, as any other finder of a dead run would, and waits for its end.
///
/// # Errors
/// When it cannot be started.
pub fn recover(env_file: Option<&Path>) -> Result<Exit, Trouble> {
    let given = given::config(env_file)?;
    places::prepare(&given.config.places)?;
    let mut were_dead = false;
    loop {
        // Whoever finds somebody at it leaves it to them, and so would the one that is started here.
        await_recovery(&given.config.places)?;
        let Some(mut completer) = ensure_recovered(&given.config.places, &given.settings)? else {
            break;
        };
        were_dead = true;
        let exit = completer.wait()?;
        if !exit.is_success() {
            out::complain(&format!(
                "completing the dead runs ended with {exit}; the log says why"
            ));
            return Ok(Exit::Failed);
        }
    }
    out::print(match were_dead {
        true => "the dead runs are completed; `engram-deployer runs` lists them\n",
        false => "no run is dead\n",
    })
}
