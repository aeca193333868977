//! terraform, and what it works with: a repository, a bucket for its state, a provider that takes its time, a daemon.
//!
//! terraform itself is `DEPLOYER_TF_BINARY_PATH` or on `PATH`; the Python of the bucket and of the provider is what
//! `tests/run.sh` makes. Neither is ever skipped.

pub mod at_work;
pub mod bucket;
pub mod forge;
pub mod notes;
pub mod provider;
pub mod repository;
pub mod site;
pub mod text;

use std::path::{Path, PathBuf};
use std::process::Command;

/// terraform, with its whole path.
#[track_caller]
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("DEPLOYER_TF_BINARY_PATH") {
        return named.into();
    }
    on_path("terraform").expect(
        "there is no terraform: start the tests by tests/run.sh, or name it in DEPLOYER_TF_BINARY_PATH",
    )
}

/// git, with its whole path.
#[track_caller]
pub fn git() -> PathBuf {
    on_path("git").expect("git is not installed: apt-get install git, or start the tests by tests/run.sh")
}

/// The Python that has moto and tf.
#[track_caller]
pub fn python() -> PathBuf {
    let made = std::env::var_os("ENGRAM_TEST_PYTHON");
    made.expect("ENGRAM_TEST_PYTHON names no Python: start the tests by tests/run.sh, which makes one")
        .into()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|place| place.is_file())
}

/// terraform by hand, in the folder of its configuration, with an environment that has nothing of this process.
pub fn by_hand(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(root).env_clear();
    command
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", root)
        .env("TF_IN_AUTOMATION", "1")
        .env("TF_INPUT", "0")
        .env("CHECKPOINT_DISABLE", "1")
        .env("AWS_ACCESS_KEY_ID", "t")
        .env("AWS_SECRET_ACCESS_KEY", "t");
    command
}
