//! (to come)
/// x
#[derive(Clone, Debug)]
pub struct Cidr;
/// x
#[derive(Clone, Debug)]
pub struct Sources;
