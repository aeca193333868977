//! x
pub mod reference;
pub mod unraid;
