//! (stand-in for gate::Ask until the gates are merged)

use serde::{Deserialize, Serialize};

/// x
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version(pub String);
/// x
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sha(pub String);
/// x
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// x
    Deploy {
        /// x
        version: Version,
        /// x
        sha: Option<Sha>,
        /// x
        dry_run: bool,
    },
}
