//! `init`: the state of a first installation, on the operator's word that no token was ever used here.

use super::{Args, Result, load, print};
use crate::gate::Memory;

/// Makes the folders, and a replay memory that trusts every token.
///
/// # Errors
/// When a memory is there that remembers something, or cannot be read: that is no first installation.
pub fn init(args: &Args) -> Result {
    let places = load(args)?.config.places;
    let state = places.state.display();
    let memory = Memory::of(&places.state);
    let made = memory.create(None).and_then(|made| Ok((made, memory.inspect()?)));
    let said = match made.map_err(|refusal| refusal.detail)? {
        (true, _) => "made, and knows no token",
        (false, 0) => "already there, and knows no token; nothing was changed",
        (false, known) => {
            let why = format!("the replay memory in {state} remembers {known} tokens");
            return Err(format!("this is no first installation: {why}").into());
        }
    };
    print(&format!(
        "state folder:    {state}\nrun folders:     {}\nruntime folder:  {}\nreplay memory:   {said}\n",
        places.runs.display(),
        places.runtime.display(),
    ))
}
