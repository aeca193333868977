//! One deploy on this host: its folder, its record, and the backend that does it. It speaks no NATS, and goes on when the
//! listener ends. A run that was killed is completed by the same command again, from its journal.

mod carry;
mod flake;
mod folder;
mod judge;
mod links;
mod tool;

pub use carry::carry;
pub use flake::FlakeUrl;
pub use folder::{Order, RunFolder, Runs};
pub use links::Places;

use folder::Journal;
use judge::{Facts, Tool, judge};
use links::Links;
