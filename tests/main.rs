//! One binary for all promises: it links once, and `cargo test WORD` finds a promise by its module or its name.

mod support;

mod architecture;
mod caps;
mod deploy;
mod front;
mod gates;
mod parts;
mod privileges;
mod replay;
