//! x
use crate::event::Outcome;
use serde::{Deserialize, Serialize};
/// x
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// x
    pub outcome: Outcome,
}
