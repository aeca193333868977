//! [terraform] Plan and apply, with the real terraform and the real git: what is reviewed is what is applied, and whatever
//! happens to us costs no more than it would have cost terraform alone.

mod basics;
mod canary;
mod commits;
mod inits;
mod plan_digest;
mod queue;
mod rig;
mod signal_table;
