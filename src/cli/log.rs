//! `log`: the lines of a run, those that are there or all that come.

use std::path::Path;

use crate::cli::args::{Follow, Form};
use crate::cli::commands::Verb;
use crate::cli::follow::{self, End};
use crate::cli::given;
use crate::cli::help::Exit;
use crate::cli::out::Trouble;
use crate::cli::show::Show;

/// Prints them; the exit status is the run's, when its outcome is among them.
///
/// # Errors
/// When there is no such run.
pub fn log(env_file: Option<&Path>, run: &str, until: Follow, form: Form) -> Result<Exit, Trouble> {
    let id = follow::run_id(run, Verb::Log)?;
    let given = given::config(env_file)?;
    let end = follow::follow(&given, &id, until, Show::on_stdout(form))?;
    if end == End::Stopped {
        follow::say_it_goes_on(&id);
    }
    Ok(end.exit())
}
