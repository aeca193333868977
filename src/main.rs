//! `engram-deployer`: argv -> role or command; joins the parts.

use std::ffi::OsStr;
use std::io;
use std::process::ExitCode;

#[cfg(feature = "terraform")]
use engram_deployer::jail;
use engram_deployer::os::{logging, process};
use engram_deployer::{cli, fetch, front, runner, session};

fn main() -> ExitCode {
    process::set_usual_umask();
    let arguments = || std::env::args_os().skip(1);
    match arguments().next().as_deref().and_then(OsStr::to_str) {
        Some("session") => role("session", session::role),
        Some("front") => front::role().unwrap_or(ExitCode::FAILURE),
        Some("fetch") => role("fetch", fetch::role),
        #[cfg(feature = "terraform")]
        Some(jail::ROLE) => {
            process::be_called(jail::ROLE);
            jail::role()
        }
        Some("run") => role("run", runner::role),
        _ => cli::main(arguments()),
    }
}

/// A role's end: its error is logged, also one that came before the settings.
fn role(name: &'static str, body: impl FnOnce() -> io::Result<()>) -> ExitCode {
    process::be_called(name);
    match body() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logging::start(name, "error");
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
