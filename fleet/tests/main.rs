//! Each promise is a module; `cargo test WORD` finds it by its name.

mod architecture;
mod bad_input;
mod booted;
mod contract;
mod delivery;
mod documents;
mod fan_out;
mod keys;
mod mcp;
mod metrics;
mod module;
mod nixos_backend;
mod permission;
mod privileges;
mod simulation;
mod support;
