//! The commands typed on the host.
//!
//! [`commands`] is what can be typed, as data; [`args`] makes sense of what was typed; [`help`] says what there is; the
//! rest is a file a command. What a command has to say goes to standard output, why it cannot to standard error. The
//! roles' own names (`session`, `front`, `fetch`, `run`) are the main program's affair and not known here.

pub mod args;
mod cancel;
mod check;
mod check_token;
pub mod commands;
mod commands_terraform;
mod deploy;
mod follow;
mod given;
pub mod help;
mod history;
mod init;
mod log;
mod out;
pub mod pin;
mod recover;
mod rollback;
mod runs;
mod serve;
mod show;
mod status;
mod terraform;
mod words;
mod x509;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use crate::limits::SUPERVISOR_PAUSE;
use crate::listen::{self, Inherited, NotInherited};
use crate::os::poll;
use args::{Command, Invocation};
use help::Exit;
use out::Trouble;

/// Does what was typed after the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = args::parse(arguments);
    let serves = match &parsed {
        Ok(invocation) => invocation.command == Command::Serve,
        // It may have been meant to, and then standard error may be a connection.
        Err(_) => true,
    };
    let inherited = match serves {
        true => listen::inherited(),
        false => Ok(Inherited::Nothing),
    };
    let inherited = match inherited {
        Err(NotInherited::StderrIsSocket) => return ExitCode::from(Exit::Unable.code()),
        Err(NotInherited::Invalid(why)) => Err(Trouble::unable(why)),
        Ok(inherited) => Ok(inherited),
    };
    let is_restarted_at_once = matches!(inherited, Ok(Inherited::Listening(_)));
    let done = match parsed {
        Ok(invocation) => inherited.and_then(|inherited| execute(invocation, inherited)),
        Err(error) => Err(Trouble::Senseless(error)),
    };
    let exit = done.unwrap_or_else(|trouble| {
        let exit = out::explain(trouble);
        // The connection that waits at the supervisor's socket has us started again.
        if is_restarted_at_once {
            let _ = poll::wait([], Some(Instant::now() + SUPERVISOR_PAUSE));
        }
        exit
    });
    ExitCode::from(exit.code())
}

/// Executes one command; its exit status is one of [`help::Exit`].
fn execute(invocation: Invocation, inherited: Inherited) -> Result<Exit, Trouble> {
    let env_file = invocation.env_file;
    let env_file = env_file.as_deref();
    match invocation.command {
        Command::Serve => serve::serve(env_file, inherited),
        Command::Check => check::check(env_file),
        Command::Init => init::init(env_file),
        Command::Deploy(asked) => deploy::deploy(env_file, &asked),
        Command::Rollback { effect, form } => rollback::rollback(env_file, effect, form),
        Command::Status(form) => status::status(env_file, form),
        Command::Runs(form) => runs::runs(env_file, form),
        Command::History(form) => history::history(env_file, form),
        Command::Log { run, follow, form } => log::log(env_file, &run, follow, form),
        Command::Cancel { run, urgency } => cancel::cancel(env_file, &run, urgency),
        Command::Terraform(asked) => terraform::terraform(env_file, &asked),
        Command::Pin => pin::print(env_file),
        Command::CheckToken { endpoint } => check_token::check_token(env_file, endpoint.as_deref()),
        Command::Recover => recover::recover(env_file),
        Command::Version => out::print(concat!("engram-deployer ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Help(None) => out::print(&help::general()),
        Command::Help(Some(verb)) => out::print(&help::of(verb)),
    }
}
