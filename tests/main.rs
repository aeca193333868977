//! One binary for all promises: it links once, and `cargo test WORD` finds a promise by its module or its name.

#![cfg_attr(
    not(feature = "terraform"),
    allow(dead_code, unused_imports, reason = "what only tests of terraform need")
)]

mod support;

mod architecture;
mod canary;
mod caps;
mod ci_client;
mod cli;
mod container_states;
mod deploy;
mod documents;
mod door;
mod durability;
mod fault_matrix;
mod follow;
mod front;
mod full_disk;
mod gates;
#[cfg(feature = "terraform")]
mod github_app;
mod hermetic;
mod history;
mod install;
#[cfg(feature = "failpoints")]
mod kill_matrix;
mod launcher;
mod manual;
mod notify;
mod package;
mod package_binary;
mod package_manager;
mod parts;
mod plain_words;
#[cfg(feature = "terraform")]
mod plan_isolation;
mod privileges;
mod queue;
mod reading_list;
mod recorded;
mod replay;
mod rollback;
mod scripts;
mod slow_docker;
mod stuck_update;
#[cfg(feature = "terraform")]
mod terraform;
#[cfg(feature = "terraform")]
mod terraform_gates;
mod told;
#[cfg(feature = "terraform")]
mod units;
mod verify;
