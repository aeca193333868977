//! The machine: clock, random bytes, files, processes. Nothing here knows of deploys.

pub mod clock;
mod exit;
pub mod failpoint;
pub mod files;
pub mod log;
pub mod process;

pub use exit::Exit;
