//! The `jail` role.

use std::io;

/// Its word on the command line.
pub const ROLE: &str = "jail";

/// The role.
pub fn role() -> io::Result<()> {
    Err(io::Error::other("not yet"))
}
