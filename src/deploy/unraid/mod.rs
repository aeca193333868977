//! x
pub mod template;
pub mod xml;
