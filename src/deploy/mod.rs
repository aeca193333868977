//! x
pub mod docker;
pub mod reference;
pub mod unraid;
