//! `init`: the state of a first installation, on the operator's word that no token was ever used here.

use std::path::Path;

use crate::cli::arguments::Arguments;
use crate::cli::help::ExitStatus;
use crate::cli::output::{self, CommandError};
use crate::cli::settings_source::{self, Loaded};
use crate::gate::Memory;
use crate::os::places;

/// Makes the folders, and a replay memory that trusts every token.
///
/// # Errors
/// When a memory is there that remembers something, or cannot be read: that is no first installation.
pub fn init(arguments: &Arguments) -> Result<ExitStatus, CommandError> {
    let Loaded { config, .. } = settings_source::load(arguments.env_file())?;
    let state = &config.places.state;
    let memory = Memory::of(state);
    places::prepare(&config.places)?;
    let made = memory.create(None).and_then(|made| Ok((made, memory.inspect()?)));
    let said = match made.map_err(|refusal| refusal.detail)? {
        (true, _) => "made, and knows no token",
        (false, 0) => "already there, and knows no token; nothing was changed",
        (false, known) => return Err(CommandError::from(in_use(state, known))),
    };
    let places = &config.places;
    output::print(&format!(
        "state folder:    {}\nrun folders:     {}\nruntime folder:  {}\nreplay memory:   {said}\n",
        state.display(),
        places.runs.display(),
        places.runtime.display(),
    ))
}

fn in_use(state: &Path, known: usize) -> String {
    format!(
        "the replay memory in {} remembers {known} tokens, so this is no first installation; nothing was changed \
         (`serve` and `check` make a lost memory anew)",
        state.display()
    )
}
