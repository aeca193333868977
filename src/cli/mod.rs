//! The commands typed on the host.
//!
//! [`commands`] is what can be typed, as data; [`args`] makes sense of what was typed; [`help`] says what there is; the rest is a file a command. The
//! roles' own names (`session`, `front`, `fetch`, `run`) are the main program's affair and not known here.

pub mod args;
pub mod commands;
pub mod help;
pub mod pin;
mod words;
