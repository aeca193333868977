//! `init`: the state of a first installation, on the operator's word that no token was ever used here.

use std::time::SystemTime;

use super::{Arguments, CommandResult, load, print};
use crate::gate::{Creation, Memory, Past};

/// Makes the folders, and a replay memory that trusts every token.
///
/// # Errors
/// When a memory is there that remembers something, or cannot be read: that is no first installation.
pub fn init(args: &Arguments) -> CommandResult {
    let places = load(args)?.config.places;
    let state = places.state.display();
    let memory = Memory::of(&places.state);
    let made = memory.create(Past::Unused, SystemTime::now())?;
    let said = match (made, memory.inspect()?) {
        (Creation::New, _) => "made, and knows no token",
        (Creation::Exists, 0) => "already there, and knows no token; nothing was changed",
        (Creation::Exists, known) => {
            let what = format!("the replay memory in {state} remembers {known} tokens, so this is");
            return Err(format!("{what} no first installation; nothing was changed").into());
        }
    };
    print(&format!(
        "state folder:    {state}\nrun folders:     {}\nruntime folder:  {}\nreplay memory:   {said}\n",
        places.runs.display(),
        places.runtime.display(),
    ))
}
