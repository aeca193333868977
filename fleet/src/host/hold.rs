//! A hold: deploys are rejected until it is released.

use std::io;
use std::path::Path;

use crate::os::files;
use crate::wire::{harmless, tail};

fn path(state: &Path) -> std::path::PathBuf {
    state.join("held")
}

pub fn hold(state: &Path, reason: &str) -> io::Result<()> {
    files::make_folder(state)?;
    files::write(&path(state), harmless(tail(reason, 200)).as_bytes())
}

pub fn release(state: &Path) -> io::Result<()> {
    files::remove(&path(state))
}

/// The reason, where there is a hold. A file that cannot be read holds too.
pub fn held(state: &Path) -> Option<String> {
    match files::read(&path(state), 4_096) {
        Ok(None) => None,
        Ok(Some(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(why) => Some(format!("the hold cannot be read: {why}")),
    }
}
