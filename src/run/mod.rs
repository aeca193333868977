//! A run: its place in the queue, its turn, its steps, its record.
//!
//! What a run does is a list of [`Step`]s that somebody else writes; this folder knows when they may begin, how their
//! tools are ended, and that every admitted run ends in a recorded result. A run writes to its log and to nothing
//! else; whoever wants to see it follows that file, so no caller can stall a run. It trusts what lies in the state,
//! run and runtime folders, since only root writes there; it trusts nothing that a tool prints.

mod back;
pub mod cancel;
mod carry;
mod complete;
pub mod context;
pub mod dead;
mod ending;
mod folder;
pub mod follow;
pub mod history;
pub mod id;
mod interrupts;
pub mod jobs;
mod journal;
mod leftover;
mod log;
mod mask;
pub mod messages;
pub mod notice;
mod output;
pub mod present;
pub mod queue;
pub mod record;
pub mod request;
pub mod runner;
pub mod step;
mod ticket;
pub mod tool;
mod turn;

pub use crate::gate::{DeployTask, Task, TerraformTask};
pub use cancel::{CancelError, Urgency, cancel};
pub use carry::OnLine;
pub use context::RunContext;
pub use dead::{RECOVER, await_recovery, ensure_recovered, recover};
pub use folder::RunFolder;
#[cfg(test)]
pub(crate) use folder::testing;
pub use follow::{Followed, Follower};
pub use id::RunId;
pub use jobs::{Aftermath, Jobs, Saying, Undone};
#[doc(hidden)] // For fuzz/, which is a crate of its own.
pub use journal::parse as parse_journal;
pub use mask::Mask;
pub use present::{Present, present};
pub use queue::{Complaints, Reservation, ReserveError, reserve};
pub use record::ensure_published;
pub use request::{Origin, RunRequest};
pub use runner::carry_out;
pub use step::{Effect, Failure, Plan, Step};
pub use tool::{AtWork, Captured, Ended, Ending, Tool, ToolEnd};
