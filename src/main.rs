//! `engram-deployer`: argv -> role or command; joins the parts.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

#[cfg(feature = "terraform")]
use engram_deployer::jail;
use engram_deployer::os::{descriptor, logging, process, settings};
use engram_deployer::session::{self, Arrival, Waiting};
use engram_deployer::{cli, fetch, front, runner};

fn main() -> ExitCode {
    process::set_usual_umask();
    let arguments = || std::env::args_os().skip(1);
    match arguments().next().as_deref().and_then(OsStr::to_str) {
        Some("session") => role("session", session_role),
        Some("front") => front_role().unwrap_or(ExitCode::FAILURE),
        Some("fetch") => role("fetch", fetch_role),
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

/// Settings on standard input, the line to `serve` as 3, its listeners from 4 on: one, or as many as the argument says.
fn session_role() -> io::Result<()> {
    let count = std::env::args().nth(2).map_or(Ok(1), |count| count.parse());
    let count = count.map_err(|error| io::Error::other(format!("the number of listeners: {error}")))?;
    let numbers: Vec<_> = (descriptor::FIRST..).take(1 + count).collect();
    descriptor::close_inherited(&numbers)?;
    let serve = UnixStream::from(descriptor::adopt(descriptor::FIRST)?);
    let listeners: io::Result<Vec<_>> = numbers[1..]
        .iter()
        .map(|number| descriptor::adopt(*number).map(TcpListener::from))
        .collect();
    let waiting = Waiting {
        listeners: listeners?,
        serve,
    };
    let (settings, config) = settings::received("session")?;
    session::session(Arrival::Shared(waiting), &settings, &config)
}

/// The link as 3; it has no settings but those that come over it, and no log of its own.
fn front_role() -> io::Result<ExitCode> {
    process::be_called("front");
    descriptor::close_inherited(&[descriptor::FIRST])?;
    Ok(front::main(descriptor::adopt(descriptor::FIRST)?))
}

/// Its order is on standard input, its answer goes to standard output.
fn fetch_role() -> io::Result<()> {
    descriptor::close_inherited(&[])?;
    fetch::role()
}
