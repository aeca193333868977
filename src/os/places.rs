//! The folders of the state on disk, made where they are missing.

use crate::config::Places;
use crate::os::files::{self, ensure_folder};

/// Makes every folder that a role expects. What exists keeps its mode; a new one gets the right one, whatever the umask.
///
/// The runtime and public folders are open to everyone, because the status files in them are for everyone to read; what
/// decides anything stands in folders that only root may enter.
pub fn prepare(places: &Places) -> Result<(), String> {
    let folders = [
        (places.state.clone(), 0o700),
        (places.state.join("last"), 0o700),
        (places.runs.clone(), 0o700),
        (places.runtime.clone(), 0o755),
        (places.public(), 0o755),
        (places.slots(), 0o700),
        (places.queue(), 0o700),
        (places.logins(), 0o700),
    ];
    for (folder, mode) in folders {
        ensure_folder(&folder, mode).map_err(|error| files::describe(&error, "make the folder", &folder))?;
    }
    Ok(())
}
