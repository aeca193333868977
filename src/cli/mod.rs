//! The commands typed on the host.
//!
//! [`commands`] is what can be typed, as data; [`arguments`] sorts what was typed; [`help`] says what there is; the
//! rest is a file a command. What a command has to say goes to standard output, why it cannot to standard error. The
//! roles' own names (`session`, `front`, `fetch`, `run`) are the main program's affair and not known here.

pub mod arguments;
mod cancel;
mod check;
mod check_token;
pub mod commands;
#[cfg(feature = "terraform")]
mod commands_terraform;
mod deploy;
mod follow;
pub mod help;
mod history;
mod init;
mod output;
pub mod pin;
mod recover;
mod rollback;
mod serve;
mod settings_source;
mod show;
mod status;
#[cfg(feature = "terraform")]
mod terraform;
mod x509;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use crate::limits::SUPERVISOR_PAUSE;
use crate::listen::{self, Inherited};
use crate::os::poll;
use arguments::Arguments;
use commands::Verb;
use help::ExitStatus;
use output::CommandError;

/// Does what was typed after the program's name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = arguments::parse(arguments);
    let inherited = match &parsed {
        Ok(arguments) if arguments.verb != Verb::Serve => Ok(Inherited::Nothing),
        // With an error too: `serve` may have been meant, and then standard error may be a connection.
        _ => match listen::inherited() {
            Err(None) => return ExitCode::from(ExitStatus::Unable.code()),
            Err(Some(why)) => Err(CommandError::from(why)),
            Ok(inherited) => Ok(inherited),
        },
    };
    let is_restarted_at_once = matches!(inherited, Ok(Inherited::Listening(_)));
    let done = match parsed {
        Ok(arguments) => inherited.and_then(|inherited| execute(&arguments, inherited)),
        Err(error) => Err(CommandError::Usage(error)),
    };
    let exit = done.unwrap_or_else(|error| {
        let exit = output::report(error);
        // The connection that waits at the supervisor's socket has us started again.
        if is_restarted_at_once {
            let _ = poll::wait([], Some(Instant::now() + SUPERVISOR_PAUSE));
        }
        exit
    });
    ExitCode::from(exit.code())
}

fn execute(arguments: &Arguments, inherited: Inherited) -> Result<ExitStatus, CommandError> {
    match arguments.verb {
        Verb::Serve => serve::serve(arguments.env_file(), inherited),
        Verb::Check => check::check(arguments.env_file()),
        Verb::Init => init::init(arguments),
        Verb::Deploy => deploy::deploy(arguments),
        Verb::Rollback => rollback::rollback(arguments),
        Verb::Status => status::status(arguments),
        Verb::Runs => history::runs(arguments),
        Verb::History => history::history(arguments),
        Verb::Log => follow::log(arguments),
        Verb::Cancel => cancel::cancel(arguments),
        #[cfg(feature = "terraform")]
        Verb::TfPlan | Verb::TfApply | Verb::Drift => terraform::terraform(arguments),
        Verb::Pin => pin::print(arguments),
        Verb::CheckToken => check_token::check_token(arguments),
        Verb::Recover => recover::recover(arguments),
        Verb::Version => output::print(concat!("engram-deployer ", env!("CARGO_PKG_VERSION"), "\n")),
        Verb::Help => output::print(&match arguments.operand() {
            "" => help::general(),
            name => help::of(arguments::command_named(name).map_err(CommandError::Usage)?),
        }),
    }
}
