//! (to come)
/// x
pub struct Complaint;
