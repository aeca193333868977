//! Each promise is a module; `cargo test WORD` finds it by its name.

mod architecture;
mod bad_input;
mod contract;
mod delivery;
mod fan_out;
mod keys;
mod metrics;
mod nixos_backend;
mod permission;
mod privileges;
mod support;
