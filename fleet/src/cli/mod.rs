//! The commands. Exit status: 0 every host completed; 1 some host did not; 2 usage; 3 nothing was sent, or nobody got it;
//! 4 sent, and how it ended is not known.

mod args;
mod check;
mod deploy;
mod keygen;
mod listener;
mod print;
mod show;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

pub const USAGE: u8 = 2;
pub const NOBODY: u8 = 3;

pub use args::command;

/// A runtime of one thread; the listener's processes have their own, or none.
fn block_on<F: std::future::Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(future)
}

/// `half` and `run ID --state-dir FOLDER` are what the listener starts: they need none of the command line's tree.
fn started_by_the_listener() -> Option<std::io::Result<()>> {
    let arguments: Option<Vec<String>> = std::env::args_os().skip(1).map(|word| word.into_string().ok()).collect();
    let arguments = arguments?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["half"] => Some(crate::host::half()),
        ["run", id, "--state-dir", state] => Some(crate::run::carry(state.as_ref(), &id.parse().ok()?)),
        _ => None,
    }
}

pub fn main() -> ExitCode {
    if let Some(ended) = started_by_the_listener() {
        return match ended {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                crate::os::log::line(&why.to_string());
                ExitCode::FAILURE
            }
        };
    }
    let cli = Cli::parse();
    if cli.debug {
        crate::os::log::enable_debug();
    }
    let ended = match cli.command {
        Command::Listener(args) => listener::listener(args),
        Command::Deploy(args) => block_on(deploy::deploy(*args)),
        Command::Mcp(args) => args
            .settings()
            .map_err(usage)
            .and_then(|settings| block_on(crate::mcp::serve(settings)).map_err(|why| (1, why)).map(|()| 0)),
        Command::ListHosts(args) => block_on(show::list_hosts(args)),
        Command::Status(args) => block_on(show::status(args)),
        Command::Keygen(args) => keygen::keygen(args),
        Command::Check(args) => block_on(check::check(*args)),
        Command::Hold(args) => listener::hold(&args),
        Command::Release(args) => listener::release(&args),
    };
    ExitCode::from(ended.unwrap_or_else(|(status, why)| {
        crate::os::log::line(&why);
        status
    }))
}

/// An exit status, or one with a sentence for standard error.
pub type Ended = Result<u8, (u8, String)>;

fn fault(why: std::io::Error) -> (u8, String) {
    (1, why.to_string())
}

fn usage(why: crate::wire::Invalid) -> (u8, String) {
    (USAGE, why.0)
}

fn nobody(why: crate::nats::Failure) -> (u8, String) {
    (NOBODY, why.0)
}
