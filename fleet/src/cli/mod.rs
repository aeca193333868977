//! The commands. Exit status: 0 every host completed; 1 some host did not; 2 usage; 3 nothing was sent, or nobody got it;
//! 4 sent, and how it ended is not known.

mod args;
mod check;
mod deploy;
mod local;
mod print;
mod show;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::fleet::Access;
use crate::os::{Exit, log};
use args::{Cli, Command, McpArgs};

/// An exit status, also where the command has said all that there is to say.
type Ended = Result<u8, Exit>;

/// The tree of the command line, for the tests of its documents.
pub fn command() -> clap::Command {
    Cli::command()
}

/// A runtime of one thread; the listener's processes have their own, or none.
fn block_on<F: std::future::Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(future)
}

/// `half` and `run ID --state-dir FOLDER` are what the listener starts: they need none of the command line's tree.
fn started_by_the_listener() -> Option<std::io::Result<()>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Option<Vec<&str>> = arguments.iter().map(|word| word.to_str()).collect();
    match words?[..] {
        ["half"] => Some(crate::host::half()),
        ["run", id, "--state-dir", state] => Some(crate::run::carry(state.as_ref(), &id.parse().ok()?)),
        _ => None,
    }
}

fn mcp(args: McpArgs) -> Ended {
    let admin = args.admin_nkey_file.as_ref().filter(|_| args.enable_admin);
    let admin = admin.map(|file| Access::of(&args.connect, file)).transpose()?;
    let tests = Access::of(&args.connect, &args.connect.nkey_file)?;
    block_on(crate::mcp::serve(tests, admin, args.limits)).map_err(|why| Exit(1, why))?;
    Ok(0)
}

pub fn main() -> ExitCode {
    let ended = started_by_the_listener().map(|ended| Ok(ended.map(|()| 0)?)).unwrap_or_else(|| {
        let cli = Cli::parse();
        if cli.debug {
            log::enable_debug();
        }
        match cli.command {
            Command::Listener(settings) => crate::host::listen(*settings),
            Command::Deploy(args) => block_on(deploy::deploy(*args)),
            Command::Mcp(args) => mcp(args),
            Command::ListHosts(args) => block_on(show::list_hosts(args)),
            Command::Status(args) => block_on(show::status(args)),
            Command::Keygen(args) => local::keygen(&args),
            Command::Check(settings) => block_on(check::check(*settings)),
            Command::Hold(args) => local::hold(&args),
            Command::Release(args) => local::release(&args),
        }
    });
    ExitCode::from(ended.unwrap_or_else(|Exit(status, why)| {
        log::line(&why);
        status
    }))
}
