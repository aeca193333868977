//! One binary for all promises: it links once, and `cargo test WORD` finds a promise by its module or its name.

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
mod github_app;
mod history;
mod install;
#[cfg(feature = "failpoints")]
mod kill_matrix;
mod launcher;
mod manual;
mod notify;
mod package;
mod package_binary;
mod parts;
mod plain_words;
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
mod terraform;
mod terraform_gates;
mod units;
mod verify;
