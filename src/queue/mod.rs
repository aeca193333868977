//! The queue of runs on disk: a ticket, a folder, a request for each; reserving a place, starting, following and listing.
//!
//! A session needs no more of a run than this. Nothing here changes the host outside the state, run and runtime folders;
//! it trusts what lies there, since only root writes it.

pub mod dead;
pub mod folder;
pub mod follow;
pub mod id;
pub mod journal;
pub mod list;
pub mod notes;
pub mod publish;
pub mod record;
pub mod request;
pub mod reserve;
pub mod ticket;

pub use dead::{await_recovery, ensure_recovered};
pub use folder::RunFolder;
#[cfg(test)]
pub(crate) use folder::testing;
pub use follow::{Followed, Follower};
pub use id::RunId;
#[doc(hidden)] // For fuzz/, which is a crate of its own.
pub use journal::parse as parse_journal;
pub use notes::{EndPolicy, Urgency, cancel};
pub use publish::ensure_published;
pub use request::{Origin, RunRequest};
pub use reserve::{Reservation, reserve};
