//! The commands typed on the host.
//!
//! [`commands`] is what can be typed, as data; [`args`] makes sense of what was typed; [`help`] says what there is; the
//! rest is a file a command. What a command has to say goes to standard output, why it cannot to standard error. The
//! roles' own names (`session`, `front`, `fetch`, `run`) are the main program's affair and not known here.

pub mod args;
mod check;
mod check_token;
pub mod commands;
mod given;
pub mod help;
mod init;
mod out;
pub mod pin;
mod serve;
mod words;
mod x509;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Command, Invocation};
use help::Exit;
use out::Trouble;

/// Does what was typed after the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match args::parse(arguments) {
        Ok(invocation) => run(invocation),
        Err(error) => {
            out::complain(&error.to_string());
            ExitCode::from(Exit::Usage.code())
        }
    }
}

/// Carries out one command; its exit status is one of [`help::Exit`].
pub fn run(invocation: Invocation) -> ExitCode {
    let exit = match carry_out(invocation) {
        Ok(exit) => exit,
        Err(Trouble::Unable(lines)) => {
            lines.iter().for_each(|line| out::complain(line));
            Exit::Unable
        }
        Err(Trouble::Unread) => Exit::Unknown,
    };
    ExitCode::from(exit.code())
}

fn carry_out(invocation: Invocation) -> Result<Exit, Trouble> {
    let env_file = invocation.env_file;
    match invocation.command {
        Command::Serve => serve::serve(env_file),
        Command::Check => check::check(env_file.as_deref()),
        Command::Init => init::init(env_file.as_deref()),
        Command::Pin => pin::print(env_file.as_deref()),
        Command::CheckToken { endpoint } => {
            check_token::check_token(env_file.as_deref(), endpoint.as_deref())
        }
        Command::Version => out::print(concat!("engram-deployer ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Help(None) => out::print(&help::general()),
        Command::Help(Some(verb)) => out::print(&help::of(verb)),
        _ => Err(Trouble::unable("this build cannot do that yet")),
    }
}
