//! (to come)
mod slots;
