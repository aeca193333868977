//! What a step of a run works with: [`RunContext`], tools and how they are ended, the log, deadlines, cancellation.
//!
//! A run writes to its log and to nothing else; whoever wants to see it follows that file, so no caller can stall a run.
//! Nothing that a tool prints is trusted.

mod context;
pub mod end;
pub mod interrupts;
pub mod log;
mod mask;
pub mod messages;
mod output;
mod step;
mod supervise;
mod tool;

pub use crate::queue::EndPolicy;
pub use context::RunContext;
pub use mask::Mask;
pub use step::{Failure, HumanDuration, Result, fail};
pub use supervise::OnLine;
pub use tool::{Ended, Tool};
