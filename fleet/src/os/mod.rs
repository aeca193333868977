//! The machine: clock, random bytes, files, processes. Nothing here knows of deploys.

pub mod clock;
pub mod failpoint;
pub mod files;
pub mod log;
pub mod process;
