//! `recover`: has the dead runs completed, as any other finder of a dead run would, and waits until they are.

use super::{Args, ExitStatus, Result, complain, load, print};
use crate::queue::{await_recovery, ensure_recovered};

pub fn recover(args: &Args) -> Result {
    let loaded = load(args)?;
    let places = &loaded.config.places;
    let mut said = "no run is dead\n";
    loop {
        // Whoever finds somebody at it leaves it to them, and so would the one that is started here.
        await_recovery(places)?;
        let Some(mut completer) = ensure_recovered(places, &loaded.settings)? else {
            return print(said);
        };
        said = "the dead runs are completed (`runs` lists them)\n";
        let exit = completer.wait()?;
        if !exit.is_success() {
            complain(&format!("it was not done ({exit}); the log says why"));
            return Ok(ExitStatus::Failed);
        }
    }
}
