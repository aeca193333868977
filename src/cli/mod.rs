//! The commands typed on the host.
//!
//! [`commands`] is what can be typed, as data; [`arguments`] sorts what was typed; [`help`] says what there is; the
//! others do what was asked for. What a command has to say goes to standard output, why it cannot to standard error. The
//! roles' own names (`session`, `front`, `fetch`, `run`) are the main program's affair and not known here.

pub mod arguments;
mod check;
mod check_token;
pub mod commands;
mod deploy;
mod follow;
pub mod help;
mod init;
mod output;
pub mod pin;
mod recover;
mod rollback;
mod runs;
mod serve;
mod settings_source;
mod show;
#[cfg(feature = "terraform")]
mod terraform;
mod x509;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use crate::limits::SUPERVISOR_PAUSE;
use crate::os::poll;
use crate::os::supervisor::{self, Inherited};
use arguments::Args;
use output::{CommandError, ExitStatus, Result, complain, print, report};
use settings_source::{Loaded, load};
use show::Show;

const NOT_ROOT: &str = "not root: front and fetch keep our user, and docker must let it in";
const NEW_MEMORY: &str = "was not there and is new: tokens issued before now are refused";

/// Does what was typed after the program's name.
pub fn main(typed: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(execute(typed) as u8)
}

fn execute(typed: impl IntoIterator<Item = OsString>) -> ExitStatus {
    let parsed = arguments::parse(typed);
    if let Ok(args) = &parsed
        && let Some(run) = args.spec.run
    {
        return run(args).unwrap_or_else(report);
    }
    // With an error too: `serve` may have been meant, and then standard error may be a connection.
    let inherited = match supervisor::inherited() {
        // Standard error may be a stranger's connection: nothing is written to it.
        Err(None) => return ExitStatus::Unable,
        Err(Some(why)) => Err(CommandError::from(why)),
        Ok(inherited) => Ok(inherited),
    };
    let is_restarted_at_once = matches!(inherited, Ok(Inherited::Listening(_)));
    let done = parsed.and_then(|args| serve::serve(args.env_file(), inherited?));
    done.unwrap_or_else(|error| {
        let exit = report(error);
        // The connection that waits at the supervisor's socket has us started again.
        if is_restarted_at_once {
            let _ = poll::wait([], Some(Instant::now() + SUPERVISOR_PAUSE));
        }
        exit
    })
}
